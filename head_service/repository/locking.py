"""One lock per repository: whoever gives a number, makes a version visible or moves a role holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from head_service.repository.layout import LOCK
from twohop.errors import Failed
from twohop_service import durable

TIMEOUT_S = 60.0


@contextmanager
def locked(repository: Path, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Holds the lock; the system lets it go when the process dies. Raises Failed where it cannot be had in time."""
    from filelock import FileLock, Timeout  # here, so that readers of a repository (the gateway) need no filelock

    path = repository / LOCK
    lock = FileLock(path, timeout=timeout_s, mode=0o666)
    try:
        with durable.explained("lock", path):
            lock.acquire()
    except Timeout as error:
        raise Failed(
            f"another process has held {path} for {timeout_s:g} s: wait until it is done, or end it", detail={"path": str(path)}
        ) from error
    try:
        yield
    finally:
        lock.release()
