"""How a version becomes visible: written aside in a draft, numbered and renamed under the lock. A crash at any point
leaves either no version or a whole one."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from head_service.repository import ledger, serving_config
from head_service.repository.layout import DRAFT_PREFIX, MANIFEST, check_head_name, version_numbers
from head_service.repository.locking import locked
from head_service.repository.manifest import Manifest
from head_service.repository.roles import move_stable
from twohop_service import durable

ABANDONED_AFTER_S = 24 * 3600


@dataclass(frozen=True)
class Published:
    version: int
    path: Path
    promoted: bool


@contextmanager
def draft(repository: Path, head: str) -> Iterator[Path]:
    """An empty folder in the repository's own file system to write a version into; gone at the end unless published.
    Makes the repository where there is none. Raises InvalidInput (the name), Failed (cannot be written)."""
    folder = repository / check_head_name(head) / f"{DRAFT_PREFIX}{uuid.uuid4().hex[:12]}"
    with durable.explained("write the repository", repository):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # refused unless the head has nothing at all, so a failed first training leaves no trace


def publish(
    repository: Path, written: Path, manifest: Manifest, *, promote: bool = False, serve_root: str | None = None
) -> Published:
    """Makes the version in the draft `written` visible under the next number, with `manifest` as its head.json. It
    becomes stable where the head has no stable version yet, or with `promote`. Raises Failed."""
    with durable.explained("publish in", repository), locked(repository):
        _sweep(written.parent, keep=written)
        book = ledger.read(repository)
        book.serve_root = serve_root or book.serve_root
        page = book.page(manifest.head)
        page.newest_ever = max([page.newest_ever, *version_numbers(written.parent)]) + 1
        final = written.with_name(str(page.newest_ever))
        manifest_path = written / MANIFEST
        manifest_path.parent.mkdir(exist_ok=True)
        manifest_path.write_text(manifest.numbered(page.newest_ever).as_json(), encoding="utf-8")
        durable.sync_tree(written)
        ledger.write(repository, book)
        stable = serving_config.read(repository).get(manifest.head, serving_config.Roles()).stable
        os.rename(written, final)
        durable.sync(final.parent)
        if promoted := promote or stable is None:
            move_stable(repository, book, manifest.head, page.newest_ever)
    return Published(page.newest_ever, final.absolute(), promoted)


def _sweep(head_folder: Path, *, keep: Path) -> None:
    """Removes drafts whose trainer was killed long ago."""
    for entry in head_folder.glob(f"{DRAFT_PREFIX}*"):
        with suppress(OSError):
            if entry != keep and time.time() - entry.stat().st_mtime > ABANDONED_AFTER_S:
                shutil.rmtree(entry, ignore_errors=True)
