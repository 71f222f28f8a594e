"""Files with a text a row, as far as all their readers see them alike: the kind by the name, UTF-8, lines, tables with a
header, and how what is wrong is told."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from twohop.errors import InvalidInput
from twohop_service import durable

FASTTEXT_PREFIX = "__label__"

Reader = TypeVar("Reader")
# Line number from 1 (where it begins), and its fields; none: a blank line.
Record = tuple[int, list[str]]


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


def tsv(path: Path, text: str, wanted: Sequence[str]) -> Iterator[Record]:
    """The `wanted` columns of every row. Raises InvalidInput."""
    return _columns(path, _tsv_records(text), wanted, "<TAB>")


def csv_by_rfc_4180(path: Path, text: str, wanted: Sequence[str]) -> Iterator[Record]:
    """The `wanted` columns of every row. Raises InvalidInput."""
    return _columns(path, _csv_records(path, text), wanted, ",")


def _tsv_records(text: str) -> Iterator[Record]:
    for number, line in enumerate(lines(text), start=1):
        fields = line.removesuffix("\r").split("\t")
        yield number, [] if len(fields) == 1 and not fields[0].strip() else fields


def _csv_records(path: Path, text: str) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)
    records = csv.reader(io.StringIO(text, newline=""), strict=True)
    end = 0     # a quoted field may hold line breaks, so a record begins after the end of the one before
    try:
        for fields in records:
            start, end = end + 1, records.line_num
            yield start, [] if len(fields) == 1 and not fields[0].strip() else fields
    except csv.Error as error:
        refuse(path, end + 1, f"no CSV by RFC 4180 ({error}); quote fields that hold commas, quotes or line breaks")


def _columns(path: Path, records: Iterator[Record], wanted: Sequence[str], separator: str) -> Iterator[Record]:
    header: list[str] = []
    for number, fields in records:
        if not header:
            header = [name.strip() for name in fields]
            places = [_place(path, number, header, name, separator.join(wanted)) for name in wanted]
        elif not fields:
            yield number, []
        elif len(fields) != len(header):
            refuse(path, number, f"{len(fields)} columns where the header has {len(header)}; add or remove separators")
        else:
            yield number, [fields[place] for place in places]


def _place(path: Path, line: int, header: Sequence[str], name: str, example: str) -> int:
    if header.count(name) != 1:
        found = ", ".join(repr(column[:30]) for column in header[:6])
        problem = "has no" if name not in header else "has more than one"
        refuse(path, line, f"the header {problem} column {name!r} (found {found}); let the first line be {example}")
    return header.index(name)


def json_of(path: Path, number: int, line: str) -> Any:
    """Raises InvalidInput."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        refuse(path, number, f"no JSON ({error}); write one object a line")


def refuse(path: Path, line: int, problem: str) -> NoReturn:
    """Raises InvalidInput."""
    raise InvalidInput(f"{path}, line {line}: {problem}", detail={"path": str(path), "line": line})
