"""Texts for a command: arguments, or the lines of a file or of standard input, read as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from twohop.errors import Failed, InvalidInput, TwoHopError

READ_BYTES = 64 * 1024


class ReadsWhatIsThere(Protocol):
    """io.BufferedReader and io.BytesIO: `read1` returns as soon as there is something."""

    def read1(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Chunk:
    """Some texts and where each comes from."""

    texts: Sequence[str]
    places: Sequence[str]

    def locate(self, error: TwoHopError) -> TwoHopError:
        """The error with the place of the text that it is about."""
        index = error.detail.get("index")
        if not isinstance(index, int) or not 0 <= index < len(self.places):
            return error
        detail = {**error.detail, "place": self.places[index]}
        return type(error)(f"{self.places[index]}: {error.message}", detail=detail, retry_after_s=error.retry_after_s)


class Arguments:
    """The texts of the command line, all at once."""

    skipped = 0

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def chunks(self) -> Iterator[Chunk]:
        yield Chunk(self._texts, [f"argument {number}" for number in range(1, len(self._texts) + 1)])


class Lines:
    """One text a line, UTF-8, a byte order mark allowed. Blank lines are skipped and counted. A chunk is what was there to
    read, so a pipe that trickles is answered line by line and a file in large pieces."""

    def __init__(self, name: str, stream: ReadsWhatIsThere) -> None:
        self.skipped = 0
        self._name, self._stream, self._line = name, stream, 0

    def chunks(self) -> Iterator[Chunk]:
        """Raises InvalidInput, naming file and line, for bytes that are no UTF-8, and for an input without any text."""
        any_text = False
        for block in self._blocks():
            chunk = self._read(block)
            any_text = any_text or bool(chunk.texts)
            if chunk.texts:
                yield chunk
        if not any_text:
            raise InvalidInput(f"{self._name}: no text in it", detail={"file": self._name})

    def _blocks(self) -> Iterator[list[bytes]]:
        """Whole lines."""
        begun: list[bytes] = []
        while piece := self._stream.read1(READ_BYTES):
            head, found, rest = piece.rpartition(b"\n")
            if found:
                yield b"".join([*begun, head]).split(b"\n")
                begun = []
            begun.append(rest)
        if last := b"".join(begun):
            yield [last]

    def _read(self, block: list[bytes]) -> Chunk:
        texts, places = [], []
        for raw in block:
            self._line += 1
            text = self._decoded(raw)
            if text.strip():
                texts.append(text)
                places.append(f"{self._name}, line {self._line}")
            else:
                self.skipped += 1
        return Chunk(texts, places)

    def _decoded(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8-sig" if self._line == 1 else "utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{self._name}, line {self._line}: no UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start})",
                detail={"file": self._name, "line": self._line},
            ) from None


def open_file(path: Path) -> BufferedReader:
    """Raises Failed where the file cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Failed(f"{path}: cannot be read ({error.strerror})", detail={"file": str(path)}) from error

