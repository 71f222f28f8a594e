"""Moving the stable role: promote to a version, roll back to the one that was stable before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from head_service.repository import ledger, serving_config
from head_service.repository.layout import GRAPH
from head_service.repository.locking import locked
from head_service.repository.versions import existing, unknown
from twohop.errors import Failed, InvalidInput, NotFound
from twohop_service import durable


@dataclass(frozen=True)
class Move:
    """What happened to the stable role of one head; `before` None: no version had it."""

    before: int | None
    after: int


def promote(repository: Path, head: str, version: int | None = None) -> Move:
    """Makes `version`, by default the newest, stable. Raises InvalidInput (the name), NotFound, Failed."""
    numbers = existing(repository, head)
    chosen = numbers[0] if version is None else version
    if chosen not in numbers:
        raise unknown(head, chosen, numbers)
    if not (repository / head / str(chosen) / GRAPH).is_file():
        raise Failed(f"{repository / head / str(chosen)} has no {GRAPH}: TF-Serving could not load it, so it stays as it is")
    with durable.explained("change the roles in", repository), locked(repository):
        return move_stable(repository, ledger.read(repository), head, chosen)


def rollback(repository: Path, head: str, version: int | None = None) -> Move:
    """Makes the version that was stable before stable again; with `version`, goes back as far as that one.
    Raises InvalidInput (the name, a version that was never stable), NotFound, Failed."""
    numbers = existing(repository, head)
    with durable.explained("change the roles in", repository), locked(repository):
        book = ledger.read(repository)
        page = book.page(head)
        stable = serving_config.read(repository).get(head, serving_config.Roles()).stable
        earlier = [number for number in page.stable_before if number in numbers and number != stable]
        if not earlier:
            raise NotFound(f"head {head} has no version that was stable before {stable}: promote one", detail={"head": head})
        target = earlier[-1] if version is None else version
        if target not in earlier:
            raise InvalidInput(
                f"version {target} of head {head} was not stable before {stable}: these were: {', '.join(map(str, earlier))}; "
                "any other can be promoted",
                detail={"head": head, "version": target, "stable_before": earlier[-50:]},
            )
        # Reading skips what is stable now, so a crash between the two writes loses nothing.
        _write_roles(repository, book, head, target)
        page.stable_before = earlier[: len(earlier) - 1 - earlier[::-1].index(target)]
        ledger.write(repository, book)
        return Move(stable, target)


def move_stable(repository: Path, book: ledger.Ledger, head: str, version: int) -> Move:
    """Makes `version` stable and remembers which one was; a canary that becomes stable is none any more. The caller
    holds the lock. Raises OSError, Failed."""
    before = serving_config.read(repository).get(head, serving_config.Roles()).stable
    if before is not None and before != version:
        book.page(head).stable_before.append(before)
    ledger.write(repository, book)
    _write_roles(repository, book, head, version)
    return Move(before, version)


def _write_roles(repository: Path, book: ledger.Ledger, head: str, stable: int) -> None:
    roles = serving_config.read(repository).get(head, serving_config.Roles())
    canary = None if roles.canary == stable else roles.canary
    serving_config.write(repository, {head: replace(roles, stable=stable, canary=canary)}, serve_root=book.serve_root)
