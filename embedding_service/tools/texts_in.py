"""Texts of a file for `encode`, row by row as they are read: .tsv, .csv, .jsonl, .txt (one text a line) and .parquet.

Blank lines are skipped. Every error names file, line (of .parquet: row, from 0) and remedy.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

from twohop.errors import InvalidInput
from twohop_service.durable import explained

DEFAULT_ID = "id"
LARGEST_ID = 2**63 - 1
KINDS = (".tsv", ".csv", ".jsonl", ".txt", ".parquet")


@dataclass(frozen=True)
class Columns:
    """Where text and id stand. `id` None: the column `id` if there is one, else rows are numbered from 0."""

    text: str = "text"
    id: str | None = None


class Row(NamedTuple):
    """`reached`: how much of the input has been read with this row, of `size`."""

    id: int | str
    text: str
    reached: int


@dataclass(frozen=True)
class Texts:
    """An input that has at least one row. `size`: all of it, in what `Row.reached` counts; `id_kind`: of all rows alike."""

    path: Path
    size: int
    id_kind: type[int] | type[str]
    _rows: Iterator[Row]

    @classmethod
    def open(cls, path: Path, columns: Columns) -> Texts:
        """Reads the first row. Raises InvalidInput and Failed as `rows` does, and for an unknown kind of file."""
        kind = path.suffix.lower()
        if kind not in KINDS:
            raise InvalidInput(f"{path}: unknown kind of input: name it {', '.join(KINDS)}", detail={"path": str(path)})
        size, rows = _of_parquet(path, columns) if kind == ".parquet" else _of_lines(path, kind, columns)
        rows = _explained(path, rows)
        first = next(rows, None)
        if first is None:
            raise InvalidInput(f"{path}: no text in it", detail={"path": str(path)})
        return cls(path, size, int if isinstance(first.id, int) else str, chain([first], rows))

    def rows(self) -> Iterator[Row]:
        """All rows, once. Raises InvalidInput (what is wrong, in which line), Failed (the file cannot be read)."""
        return self._rows


def _of_lines(path: Path, kind: str, columns: Columns) -> tuple[int, Iterator[Row]]:
    with explained("read", path):
        size = path.stat().st_size
    return size, _Check(path, "line").rows(_FIELDS[kind](path, columns))


def _of_parquet(path: Path, columns: Columns) -> tuple[int, Iterator[Row]]:
    from embedding_service.tools.parquet import read_columns

    with explained("read", path):
        size, fields = read_columns(path, columns)
    return size, _Check(path, "row").rows(fields)


# (line, text, id or None: number the row, Row.reached)
Fields = Iterator[tuple[int, object, object, int]]


class _Check:
    """What rows must be."""

    def __init__(self, path: Path, unit: str) -> None:
        self._path, self._unit = path, unit

    def rows(self, fields: Fields) -> Iterator[Row]:
        """Raises InvalidInput naming the place."""
        kind: type | None = None
        are_named = False
        for number, (place, text, name, reached) in enumerate(fields):
            if number == 0:
                are_named = name is not None
            elif (name is not None) is not are_named:
                have = "those before have ids, and this has none" if are_named else "this has an id, and those before have none"
                self._refuse(place, f"{have}; give every text one, or none")
            text, key = self._text(place, text), number if name is None else self._key(place, name)
            kind = kind or type(key)
            if type(key) is not kind:
                before = "strings" if kind is str else "numbers"
                self._refuse(place, f"the id is {_shown(key)}, those before are {before}; make all of one kind")
            yield Row(key, text, reached)

    def _text(self, place: int, text: object) -> str:
        if not isinstance(text, str):
            self._refuse(place, f"the text is {_shown(text)}, no string; put it between quotation marks, or remove the row")
        if not text or text.isspace():
            self._refuse(place, "the text is empty; give it one, or remove the row")
        return self._whole(place, text)

    def _key(self, place: int, key: object) -> int | str:
        if isinstance(key, str):
            return self._whole(place, key)
        if not isinstance(key, int) or isinstance(key, bool):
            self._refuse(place, f"the id is {_shown(key)}, neither a string nor a whole number")
        if not -LARGEST_ID - 1 <= key <= LARGEST_ID:
            self._refuse(place, f"the id {key} does not fit into 64 bits; write ids as strings")
        return key

    def _whole(self, place: int, value: str) -> str:
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            self._refuse(place, "half of a surrogate pair (\\ud800 to \\udfff) is no character; remove it")
        return value

    def _refuse(self, place: int, problem: str) -> NoReturn:
        refuse(self._path, place, problem, unit=self._unit)


def _lines(path: Path) -> Iterator[tuple[int, str, int]]:
    """(number from 1, line with its end, bytes read so far)."""
    reached = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            reached += len(raw)
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8"), reached
            except UnicodeDecodeError as error:
                refuse(path, number, f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8")


def _txt(path: Path, columns: Columns) -> Fields:
    if columns.id is not None:
        raise InvalidInput(f"{path}: a .txt has one text a line and no ids: leave --id-column out", detail={"path": str(path)})
    for number, line, reached in _lines(path):
        if line.strip():
            yield number, line.removesuffix("\n").removesuffix("\r"), None, reached


def _tsv(path: Path, columns: Columns) -> Fields:
    table: _Table | None = None
    for number, line, reached in _lines(path):
        line = line.removesuffix("\n").removesuffix("\r")
        if table is None:
            table = _Table(path, number, line.split("\t"), columns)
        elif "\t" in line or line.strip() or (table.width == 1 and line):
            yield number, *table.pick(number, line.split("\t")), reached


def _csv(path: Path, columns: Columns) -> Fields:
    csv.field_size_limit(sys.maxsize)
    table: _Table | None = None
    reached = [0]
    records = csv.reader(_counting(path, reached), strict=True)
    end = 0         # a quoted field may hold line breaks, so a record begins after the end of the one before
    try:
        for fields in records:
            start, end = end + 1, records.line_num
            if table is None:
                table = _Table(path, start, fields, columns)
            elif len(fields) > 1 or (fields and fields[0].strip()):
                yield start, *table.pick(start, fields), reached[0]
    except csv.Error as error:
        refuse(path, end + 1, f"no CSV by RFC 4180 ({error}); quote fields that hold commas, quotes or line breaks")


def _counting(path: Path, reached: list[int]) -> Iterator[str]:
    for _, line, reached[0] in _lines(path):
        yield line


def _jsonl(path: Path, columns: Columns) -> Fields:
    for number, line, reached in _lines(path):
        if line.strip():
            yield number, *_members(path, number, line, columns), reached


def _members(path: Path, number: int, line: str, columns: Columns) -> tuple[object, object]:
    try:
        members = json.loads(line)
    except (ValueError, RecursionError) as error:
        refuse(path, number, f"no JSON ({error}); write one object a line")
    example = f'write an object with it, such as {{"{columns.text}":"…"}}, or name another by'
    if not isinstance(members, dict) or columns.text not in members:
        refuse(path, number, f"there is no {columns.text!r}; {example} --text-column")
    if columns.id is not None and columns.id not in members:
        refuse(path, number, f"there is no {columns.id!r}; give every object one, or name another by --id-column")
    key = columns.id or DEFAULT_ID
    if key in members and members[key] is None:
        refuse(path, number, f"{key!r} is null; give it a value, or leave it out of every object")
    return members[columns.text], members.get(key)


class _Table:
    """Where text and id stand in a table with a header."""

    def __init__(self, path: Path, line: int, header: list[str], columns: Columns) -> None:
        names = [name.strip() for name in header]
        self._path, self.width = path, len(names)
        text, key = positions(path, names, columns, f", line {line}")
        self._text, self._id = text, key

    def pick(self, line: int, fields: list[str]) -> tuple[str, object]:
        if len(fields) != self.width:
            refuse(self._path, line, f"{len(fields)} columns where the header has {self.width}; add or remove separators")
        return fields[self._text], None if self._id is None else fields[self._id]


def positions(path: Path, names: Sequence[str], columns: Columns, place: str = "") -> tuple[int, int | None]:
    """Which of the columns `names` are text and id (None: there is none, and none was asked for). Raises InvalidInput."""
    key = columns.id or (DEFAULT_ID if DEFAULT_ID in names else None)
    for name, option in ((columns.text, "--text-column"), *([(key, "--id-column")] if key is not None else [])):
        if names.count(name) != 1:
            found = ", ".join(repr(column[:30]) for column in names[:6])
            problem = "no" if name not in names else "more than one"
            raise InvalidInput(f"{path}{place}: {problem} column {name!r} (found {found}); name another by {option}",
                               detail={"path": str(path), "column": name})
    return names.index(columns.text), None if key is None else names.index(key)


def _explained(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    with explained("read", path):
        yield from rows


def refuse(path: Path, place: int, problem: str, unit: str = "line") -> NoReturn:
    raise InvalidInput(f"{path}, {unit} {place}: {problem}", detail={"path": str(path), unit: place})


def _shown(value: object) -> str:
    return repr(value)[:40] if not isinstance(value, (dict, list)) else f"a {type(value).__name__}"


_FIELDS = {".tsv": _tsv, ".csv": _csv, ".jsonl": _jsonl, ".txt": _txt}
