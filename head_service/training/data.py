"""Reading labelled data: .tsv, .csv, .jsonl and fastText's .txt. Every error names file, line and remedy."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from head_service.training.rows import Rows
from twohop.errors import InvalidInput
from twohop_service import durable

FASTTEXT_PREFIX = "__label__"
Row = tuple[int, str, str] | None  # line number from 1, text, label; None: a blank line


def read(path: Path) -> Rows:
    """Raises InvalidInput (what is wrong, in which line), Failed (the file cannot be read)."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(f"{path}: unknown kind of data file: name it {', '.join(_READERS)}", detail={"path": str(path)})
    with durable.explained("read", path):
        content = path.read_bytes()
    texts, labels, skipped = [], [], 0
    for row in reader(path, _decode(path, content)):
        if row is None:
            skipped += 1
            continue
        line, text, label = row
        _check(path, line, text, label)
        texts.append(text)
        labels.append(label.strip())
    if not texts:
        raise InvalidInput(f"{path}: no rows in it; each row needs a text and a label", detail={"path": str(path)})
    return Rows(path, texts, labels, skipped, hashlib.sha256(content).hexdigest())


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        _refuse(path, line, f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8")


def _check(path: Path, line: int, text: str, label: str) -> None:
    if not text.strip():
        _refuse(path, line, "the text is empty; give it one, or remove the row")
    if not label.strip():
        _refuse(path, line, "the label is empty; give it one, or remove the row")
    for value in (text, label):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            _refuse(path, line, "half of a surrogate pair (\\ud800 to \\udfff) is no character; remove it")


def _tsv(path: Path, content: str) -> Iterator[Row]:
    lines = (line.removesuffix("\r") for line in content.removesuffix("\n").split("\n"))
    columns = _Columns(path, 1, next(lines).split("\t"), example="text<TAB>label")
    for number, line in enumerate(lines, start=2):
        blank = "\t" not in line and not line.strip()
        yield None if blank else columns.row(number, line.split("\t"))


def _csv(path: Path, content: str) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    records = csv.reader(io.StringIO(content, newline=""), strict=True)
    columns = None
    end = 0  # a quoted field may hold line breaks, so a record begins after the end of the one before
    try:
        for fields in records:
            start, end = end + 1, records.line_num
            if columns is None:
                columns = _Columns(path, start, fields, example="text,label")
            else:
                blank = not fields or (len(fields) == 1 and not fields[0].strip())
                yield None if blank else columns.row(start, fields)
    except csv.Error as error:
        _refuse(path, end + 1, f"no CSV by RFC 4180 ({error}); quote fields that hold commas, quotes or line breaks")


def _jsonl(path: Path, content: str) -> Iterator[Row]:
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        yield _json_row(path, number, line) if line.strip() else None


def _json_row(path: Path, number: int, line: str) -> Row:
    try:
        fields = json.loads(line)
    except ValueError as error:
        _refuse(path, number, f"no JSON ({error}); write one object a line")
    if not isinstance(fields, dict) or not {"text", "label"} <= fields.keys():
        _refuse(path, number, 'write an object with both keys, such as {"text":"…","label":"…"}')
    if isinstance(fields["label"], list):
        _refuse_several_labels(path, number)
    for name in ("text", "label"):
        if not isinstance(fields[name], str):
            _refuse(path, number, f"{name} is {json.dumps(fields[name])[:40]}, no string; put it between quotation marks")
    return number, fields["text"], fields["label"]


def _fasttext(path: Path, content: str) -> Iterator[Row]:
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        yield _fasttext_row(path, number, line) if line.strip() else None


def _fasttext_row(path: Path, number: int, line: str) -> Row:
    first, *rest = line.strip().split(maxsplit=1)
    if not first.startswith(FASTTEXT_PREFIX):
        _refuse(path, number, f"begins with {first[:40]!r}; write {FASTTEXT_PREFIX} and the label before the text")
    text = rest[0] if rest else ""
    if text.startswith(FASTTEXT_PREFIX):
        _refuse_several_labels(path, number)
    return number, text, first.removeprefix(FASTTEXT_PREFIX)


class _Columns:
    """Where text and label stand in a table with a header."""

    def __init__(self, path: Path, line: int, header: list[str], *, example: str) -> None:
        self.path, self.width = path, len(header)
        names = [name.strip() for name in header]
        for name in ("text", "label"):
            if names.count(name) != 1:
                found = ", ".join(repr(column[:30]) for column in names[:6])
                problem = "has no" if name not in names else "has more than one"
                _refuse(path, line, f"the header {problem} column {name!r} (found {found}); let the first line be {example}")
        self.text, self.label = names.index("text"), names.index("label")

    def row(self, line: int, fields: list[str]) -> Row:
        if len(fields) != self.width:
            _refuse(self.path, line, f"{len(fields)} columns where the header has {self.width}; add or remove separators")
        return line, fields[self.text], fields[self.label]


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise InvalidInput(f"{path}, line {line}: {problem}", detail={"path": str(path), "line": line})


def _refuse_several_labels(path: Path, line: int) -> NoReturn:
    _refuse(path, line, "several labels for one text: multi-label heads are not built yet; give one label a text")


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".txt": _fasttext,
}
