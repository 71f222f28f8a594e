"""Where a version is written before it is published, and what killed processes left of such work. A draft is held by a lock of
its own: the system lets it go with the process, so whoever can take it knows that nobody works there any more."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from head_service.repository.layout import CONFIG, DRAFT_PREFIX, HELD, LEDGER, REMOVED_PREFIX, check_head_name
from twohop.errors import Failed
from twohop_service import durable

if TYPE_CHECKING:
    from filelock import BaseFileLock

TRIES = 10


@contextmanager
def draft(repository: Path, head: str) -> Iterator[Path]:
    """An empty folder in the repository's own file system to write a version into; gone at the end unless published.
    Makes the repository where there is none. Raises InvalidInput (the name), Failed (cannot be written)."""
    head_folder = repository / check_head_name(head)
    with durable.explained("write the repository", repository):
        folder, lock = _held_folder(head_folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        with suppress(OSError):
            head_folder.rmdir()  # refused unless the head has nothing at all, so a failed first training leaves no trace


def sweep(repository: Path, head_folder: Path) -> None:
    """Deletes what nobody works on any more: drafts of dead trainers, removed versions, files half written. The caller
    holds the repository's lock."""
    for folder in head_folder.glob(f"{DRAFT_PREFIX}*"):
        if (lock := _hold(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
    for folder in head_folder.glob(f"{REMOVED_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for name in (CONFIG, LEDGER):
        for aside in repository.glob(durable.aside(name, "*")):
            with suppress(OSError):
                aside.unlink()


def _held_folder(head_folder: Path) -> tuple[Path, BaseFileLock]:
    """A sweep may take the folder between its making and its lock: then another is made. Raises OSError."""
    for _ in range(TRIES):
        folder = head_folder / f"{DRAFT_PREFIX}{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        if (lock := _hold(folder)) is not None:
            return folder, lock
    raise Failed(f"cannot hold a draft in {head_folder}: does its file system know locks (flock)?")


def _hold(folder: Path) -> BaseFileLock | None:
    """The lock of a draft, None where another has it or the folder is gone."""
    from filelock import FileLock, Timeout  # here, so that readers of a repository (the gateway) need no filelock

    lock = FileLock(folder / HELD, timeout=0)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return None
    return lock
