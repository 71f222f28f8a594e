"""Files that a reader finds whole or not at all, also after a crash or a power cut: write aside, fsync, rename."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twohop.errors import Failed


def replace(path: Path, content: str) -> None:
    """Puts `content` (UTF-8) in the place of `path`. Raises OSError."""
    written = path.with_name(aside(path.name, uuid.uuid4().hex[:8]))
    try:
        # Plain open, not tempfile: the umask decides who may read, and TF-Serving often runs as somebody else.
        with open(written, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    sync(path.parent)


def aside(name: str, mark: str) -> str:
    """What the file `name` is called while it is written; a killed writer leaves it behind."""
    return f".{name}-{mark}"


def sync_tree(folder: Path) -> None:
    """Every file and folder below `folder`, and itself, is on the disk when this returns."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """An OSError inside becomes Failed: what could not be done, where, and why."""
    try:
        yield
    except OSError as error:
        raise Failed(f"cannot {action} {path}: {error.strerror or error}", detail={"path": str(path)}) from error
