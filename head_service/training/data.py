"""Reading labelled data: .tsv, .csv, .jsonl and fastText's .txt. Every error names file, line and remedy.

A text with a list of labels (.jsonl), or with several `__label__` (.txt), makes the file multi-label; an empty list is a
text to which no label applies.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from head_service import data_files
from head_service.data_files import FASTTEXT_PREFIX, refuse
from head_service.training.rows import Rows
from twohop.errors import InvalidInput

# Line number from 1, text, its label (a list of them where the file says so); None: a blank line.
Row = tuple[int, str, str | list[str]] | None


def read(path: Path) -> Rows:
    """Raises InvalidInput (what is wrong, in which line), Failed (the file cannot be read)."""
    reader = data_files.reader_of(path, _READERS)
    content = data_files.content(path)
    texts: list[str] = []
    label_sets: list[tuple[str, ...]] = []
    skipped, multi_label = 0, False
    for row in reader(path, content.text):
        if row is None:
            skipped += 1
            continue
        line, text, given = row
        multi_label = multi_label or isinstance(given, list)
        labels = [given] if isinstance(given, str) else given
        _check(path, line, text, labels)
        texts.append(text)
        label_sets.append(tuple(sorted({label.strip() for label in labels})))
    if not texts:
        raise InvalidInput(f"{path}: no rows in it; each row needs a text and a label", detail={"path": str(path)})
    return Rows(path, texts, label_sets, skipped, hashlib.sha256(content.raw).hexdigest(), multi_label)


def _check(path: Path, line: int, text: str, labels: Sequence[str]) -> None:
    if not text.strip():
        refuse(path, line, "the text is empty; give it one, or remove the row")
    if not all(label.strip() for label in labels):
        refuse(path, line, "the label is empty; give it one, or remove the row")
    for value in (text, *labels):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            refuse(path, line, "half of a surrogate pair (\\ud800 to \\udfff) is no character; remove it")


def _tsv(path: Path, content: str) -> Iterator[Row]:
    lines = (line.removesuffix("\r") for line in data_files.lines(content))
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
        refuse(path, end + 1, f"no CSV by RFC 4180 ({error}); quote fields that hold commas, quotes or line breaks")


def _jsonl(path: Path, content: str) -> Iterator[Row]:
    for number, line in enumerate(data_files.lines(content), start=1):
        yield _json_row(path, number, line) if line.strip() else None


def _json_row(path: Path, number: int, line: str) -> Row:
    fields = data_files.json_of(path, number, line)
    if not isinstance(fields, dict) or not {"text", "label"} <= fields.keys():
        refuse(path, number, 'write an object with both keys, such as {"text":"…","label":"…"}')
    text, label = fields["text"], fields["label"]
    for name, value in (("text", text), *(("label", each) for each in (label if isinstance(label, list) else [label]))):
        if not isinstance(value, str):
            refuse(path, number, f"{name} is {json.dumps(value)[:40]}, no string; put it between quotation marks")
    return number, text, label


def _fasttext(path: Path, content: str) -> Iterator[Row]:
    for number, line in enumerate(data_files.lines(content), start=1):
        yield _fasttext_row(path, number, line) if line.strip() else None


def _fasttext_row(path: Path, number: int, line: str) -> Row:
    labels: list[str] = []
    text = line.strip()
    while text.startswith(FASTTEXT_PREFIX):
        first, *rest = text.split(maxsplit=1)
        labels.append(first.removeprefix(FASTTEXT_PREFIX))
        text = rest[0] if rest else ""
    if not labels:
        refuse(path, number, f"begins with {text.split()[0][:40]!r}; write {FASTTEXT_PREFIX} and the label before the text")
    return number, text, labels if len(labels) > 1 else labels[0]


class _Columns:
    """Where text and label stand in a table with a header."""

    def __init__(self, path: Path, line: int, header: list[str], *, example: str) -> None:
        self.path, self.width = path, len(header)
        names = [name.strip() for name in header]
        for name in ("text", "label"):
            if names.count(name) != 1:
                found = ", ".join(repr(column[:30]) for column in names[:6])
                problem = "has no" if name not in names else "has more than one"
                refuse(path, line, f"the header {problem} column {name!r} (found {found}); let the first line be {example}")
        self.text, self.label = names.index("text"), names.index("label")

    def row(self, line: int, fields: list[str]) -> Row:
        if len(fields) != self.width:
            refuse(self.path, line, f"{len(fields)} columns where the header has {self.width}; add or remove separators")
        return line, fields[self.text], fields[self.label]


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".txt": _fasttext,
}
