"""How a version becomes visible: written aside in a draft, numbered and renamed under the lock. A crash at any point
leaves either no version or a whole one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from head_service.repository import ledger, serving_config
from head_service.repository.drafts import sweep
from head_service.repository.layout import HELD, MANIFEST, version_numbers
from head_service.repository.locking import locked
from head_service.repository.manifest import Manifest
from head_service.repository.roles import move_stable
from twohop_service import durable


@dataclass(frozen=True)
class Published:
    version: int
    path: Path
    promoted: bool


def publish(
    repository: Path, written: Path, manifest: Manifest, *, promote: bool = False, serve_root: str | None = None
) -> Published:
    """Makes the version in the draft `written` visible under the next number, with `manifest` as its head.json. It
    becomes stable where nothing of the head is served yet, or with `promote`. Raises Failed."""
    with durable.explained("publish in", repository), locked(repository):
        sweep(repository, written.parent)
        book = ledger.read(repository)
        book.serve_root = serve_root or book.serve_root
        page = book.page(manifest.head)
        page.newest_ever = max([page.newest_ever, *version_numbers(written.parent)]) + 1
        final = written.with_name(str(page.newest_ever))
        manifest_path = written / MANIFEST
        manifest_path.parent.mkdir(exist_ok=True)
        manifest_path.write_text(manifest.numbered(page.newest_ever).as_json(), encoding="utf-8")
        (written / HELD).unlink()       # sweeps wait for the repository's lock, which is ours, so nobody misses it
        durable.sync_tree(written)
        ledger.write(repository, book)
        is_first = not serving_config.named(repository, manifest.head) & set(version_numbers(written.parent))
        os.rename(written, final)
        durable.sync(final.parent)
        if promoted := promote or is_first:
            move_stable(repository, book, manifest.head, page.newest_ever)
    return Published(page.newest_ever, final.absolute(), promoted)
