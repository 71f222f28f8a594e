"""Removing old versions of a head, never what serves. Each goes by a rename first, so that whoever polls the folder sees it
whole or not at all; a server that has it loaded keeps it in memory until its roles say otherwise."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from head_service.repository import ledger, serving_config
from head_service.repository.drafts import sweep
from head_service.repository.layout import REMOVED_PREFIX
from head_service.repository.locking import locked
from head_service.repository.versions import Version, existing, stable_before, versions
from twohop_service import durable


@dataclass(frozen=True)
class Pruned:
    """`removed`: numbers, newest first; `kept`: number -> why; `freed_bytes`: what the removed ones took. With `dry_run`
    they are still there."""

    removed: list[int]
    kept: Mapping[int, list[str]]
    freed_bytes: int
    dry_run: bool


def prune(repository: Path, head: str, keep: int, *, dry_run: bool = False) -> Pruned:
    """Removes all versions but the newest `keep`, those that serve, the one that rollback goes to, and those that
    head-service did not make. Raises InvalidInput (the name), NotFound, Failed."""
    existing(repository, head)      # before the lock, which would need a folder
    with durable.explained("remove versions in", repository), locked(repository):
        book = ledger.read(repository)
        found = versions(repository, head)
        kept = reasons(found, keep, serving_config.named(repository, head), _goes_back_to(repository, head, book, found))
        going = [version for version in found if version.number not in kept]
        freed_bytes = sum(version.size_bytes() for version in going)
        if not dry_run:
            _remove(repository, head, book, going)
    return Pruned([version.number for version in going], kept, freed_bytes, dry_run)


def reasons(found: Sequence[Version], keep: int, named: frozenset[int], before: int | None) -> dict[int, list[str]]:
    """Why which of the versions `found` (newest first) stay. `named`: in models.config; `before`: rollback goes there."""
    kept = {}
    for place, version in enumerate(found):
        why = [*version.roles]
        if version.number in named and not version.roles:
            why.append("named in models.config")
        if version.number == before:
            why.append("rollback goes to it")
        if version.manifest is None:
            why.append("not made by head-service")
        if place < keep:
            why.append(f"of the newest {keep}" if keep > 1 else "the newest")
        if why:
            kept[version.number] = why
    return kept


def _goes_back_to(repository: Path, head: str, book: ledger.Ledger, found: Sequence[Version]) -> int | None:
    numbers = [version.number for version in found]
    earlier = stable_before(book.page(head), numbers, serving_config.roles_of(repository, head).stable)
    return earlier[-1] if earlier else None


def _remove(repository: Path, head: str, book: ledger.Ledger, going: Sequence[Version]) -> None:
    sweep(repository, repository / head)
    page = book.page(head)
    gone = {version.number for version in going}
    page.newest_ever = max([page.newest_ever, *gone])       # their numbers are never given again
    page.stable_before = [number for number in page.stable_before if number not in gone]
    ledger.write(repository, book)
    away = [version.path.with_name(f"{REMOVED_PREFIX}{version.number}-{uuid.uuid4().hex[:8]}") for version in going]
    for version, place in zip(going, away, strict=True):
        os.rename(version.path, place)
    durable.sync(repository / head)
    for place in away:
        shutil.rmtree(place)
