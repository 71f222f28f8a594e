"""Files with a text a row, as far as all their readers see them alike: the kind by the name, UTF-8, lines, and how what is
wrong is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from twohop.errors import InvalidInput
from twohop_service import durable

FASTTEXT_PREFIX = "__label__"

Reader = TypeVar("Reader")


class Content(NamedTuple):
    raw: bytes
    text: str


def reader_of(path: Path, readers: Mapping[str, Reader]) -> Reader:
    """The one for this file's suffix. Raises InvalidInput."""
    found = readers.get(path.suffix.lower())
    if found is None:
        raise InvalidInput(f"{path}: unknown kind of data file: name it {', '.join(readers)}", detail={"path": str(path)})
    return found


def content(path: Path) -> Content:
    """Raises InvalidInput (no UTF-8), Failed (the file cannot be read)."""
    with durable.explained("read", path):
        raw = path.read_bytes()
    try:
        return Content(raw, raw.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        refuse(path, line, f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8")


def lines(text: str) -> list[str]:
    """One at least; the last one may end or not."""
    return text.removesuffix("\n").split("\n")


def json_of(path: Path, number: int, line: str) -> Any:
    """Raises InvalidInput."""
    try:
        return json.loads(line)
    except ValueError as error:
        refuse(path, number, f"no JSON ({error}); write one object a line")


def refuse(path: Path, line: int, problem: str) -> NoReturn:
    """Raises InvalidInput."""
    raise InvalidInput(f"{path}, line {line}: {problem}", detail={"path": str(path), "line": line})
