"""The work folder of one `encode`, OUTPUT.parts: what the run is about, and each finished window as a file of its own.

A part counts once it has its name, and it gets that after all of it is on the disk: whatever kills the run, what is there
under a part's name is whole. The name says which texts it was made of.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from twohop.errors import Failed
from twohop_service.durable import explained, sync

ABOUT, LOCK, ASIDE = "run.json", "lock", ".new"
_PART = re.compile(r"(?P<number>\d{8})-(?P<digest>[0-9a-f]{32})\.arrow")


class Journal:
    """Of one output; `opened` gives one that nobody else has."""

    def __init__(self, folder: Path, *, may_replace: bool) -> None:
        self.folder = folder
        self._may_replace = may_replace
        self._parts: dict[int, Path] = {}

    @classmethod
    @contextmanager
    def opened(cls, output: Path, *, may_replace: bool) -> Iterator[Journal]:
        """Holds the lock; the system lets it go when the process dies. `may_replace`: an output that is there is no
        hindrance, and parts of another run are thrown away. Raises Failed."""
        folder = cls.folder_of(output)
        _refuse_existing(output, may_replace)
        with explained("write", folder):
            _refuse_foreign(folder)
            lock = _locked(folder, output)
        with lock:
            journal = cls(folder, may_replace=may_replace)
            try:
                _refuse_existing(output, may_replace)     # written by whoever had the lock before
                yield journal
            except BaseException:
                if not (folder / ABOUT).exists():         # nothing was begun
                    journal.remove()
                raise

    @staticmethod
    def folder_of(output: Path) -> Path:
        return output.with_name(f"{output.name}.parts")

    def begin(self, about: Mapping[str, object]) -> None:
        """Finds the parts of an earlier run about the same. Raises Failed, naming what differs, if it was about another."""
        path = self.folder / ABOUT
        with explained("read", path):
            earlier = _read(path)
            if earlier is not None and earlier != about:
                if not self._may_replace:
                    raise self._differs(earlier, about)
                earlier = None
            if earlier is None:
                self._clear()
        if earlier is None:
            with explained("write", path), self.written(path) as file:
                file.write(json.dumps(about, indent=2).encode())
        for entry in sorted(self.folder.iterdir()):
            if match := _PART.fullmatch(entry.name):
                self._parts[int(match["number"])] = entry
            elif entry.name.endswith(ASIDE):
                entry.unlink(missing_ok=True)             # begun by a run that was killed

    def has(self, number: int, digest: str, what: str) -> bool:
        """Whether this window is done. Raises Failed where it was done of other texts, unless it may be replaced."""
        part = self._parts.get(number)
        if part is None or part == self.part(number, digest):
            return part is not None
        if not self._may_replace:
            raise Failed(f"{what} of the input are not those that {self.folder} was made of: put the input back as it was, or "
                         "start anew with --overwrite", detail={"parts": str(self.folder), "differs": ["input"]})
        del self._parts[number]
        part.unlink()
        return False

    def part(self, number: int, digest: str) -> Path:
        return self.folder / f"{number:08d}-{digest}.arrow"

    @contextmanager
    def written(self, path: Path) -> Iterator[BinaryIO]:
        """A file that is at `path` whole, and on the disk, when the block ends; or not at all. Raises OSError."""
        aside = self.folder / f"{path.name}{ASIDE}"
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        for folder in {path.parent, self.folder}:
            sync(folder)

    def finished(self, windows: int) -> None:
        """Raises Failed if there are parts beyond the input's last window, unless they may be replaced."""
        beyond = [part for number, part in self._parts.items() if number >= windows]
        if beyond and not self._may_replace:
            raise Failed(f"the input is shorter than the one that {self.folder} was made of: put it back as it was, or start "
                         "anew with --overwrite", detail={"parts": str(self.folder), "differs": ["input"]})

    def remove(self) -> None:
        with suppress(OSError):
            self._clear()
            (self.folder / LOCK).unlink()
            self.folder.rmdir()

    def _clear(self) -> None:
        """The statement of what they are about goes first: without it no part counts."""
        (self.folder / ABOUT).unlink(missing_ok=True)
        for entry in self.folder.iterdir():
            if entry.name != LOCK and _is_ours(entry):
                entry.unlink()

    def _differs(self, earlier: Mapping[str, object], about: Mapping[str, object]) -> Failed:
        names = [name for name in {**earlier, **about} if earlier.get(name) != about.get(name)]
        changes = ", ".join(f"{name} was {earlier.get(name)}, is {about.get(name)}" for name in names)
        return Failed(f"{self.folder} is of a run with other settings: {changes}. Run it as it was to continue, or start anew "
                      "with --overwrite", detail={"parts": str(self.folder), "differs": names})


def _refuse_existing(output: Path, may_replace: bool) -> None:
    if output.exists() and not may_replace:
        raise Failed(f"{output} is there already: name another output, or say --overwrite", detail={"path": str(output)})


def _refuse_foreign(folder: Path) -> None:
    """A folder of this name that somebody else made is nobody's to clear."""
    foreign = next((entry for entry in sorted(folder.iterdir()) if not _is_ours(entry)), None) if folder.exists() else None
    if foreign is not None:
        raise Failed(f"{folder} is for parts of the output, and holds {foreign.name}: move that away, or name another output",
                     detail={"path": str(foreign)})


def _is_ours(entry: Path) -> bool:
    """What a run puts there: for a while also the output, before it is moved to its place."""
    name = entry.name.removesuffix(ASIDE)
    is_output = Journal.folder_of(entry.parent.with_name(name)) == entry.parent and name != entry.name
    return name in (ABOUT, LOCK) or is_output or _PART.fullmatch(name) is not None


def _locked(folder: Path, output: Path) -> BinaryIO:
    """Raises Failed if another process has it."""
    while True:
        folder.mkdir(exist_ok=True)
        file = (folder / LOCK).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            detail = {"path": str(output)}
            raise Failed(f"another encode is writing {output}: wait until it is done, or end it", detail=detail) from None
        if (folder / LOCK).exists() and os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
            return file
        file.close()        # a run that was just done has removed the folder in between


def _read(path: Path) -> dict[str, object] | None:
    """None: there is none, so nothing was begun."""
    try:
        about = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return about if isinstance(about, dict) else None
