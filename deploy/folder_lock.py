"""One run at a time in a folder; the lock goes with the process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


class FolderInUse(Exception):
    """Another run works in this folder just now."""


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Makes the folder. Raises FolderInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"another run works in {folder} just now; wait for it, or choose another folder") from None
        yield
