"""Reading labelled data: .tsv, .csv, .jsonl and fastText's .txt. Every error names file, line and remedy.

A text with a list of labels (.jsonl), or with several `__label__` (.txt), makes the file multi-label; an empty list is a
text to which no label applies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from head_service import data_files
from head_service.data_files import FASTTEXT_PREFIX, refuse
from head_service.training.rows import Rows
from twohop.errors import InvalidInput

# Line number from 1, text, its label (a list of them where the file says so); None: a blank line.
Row = tuple[int, str, str | list[str]] | None

COLUMNS = ("text", "label")


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
    return map(_table_row, data_files.tsv(path, content, COLUMNS))


def _csv(path: Path, content: str) -> Iterator[Row]:
    return map(_table_row, data_files.csv_by_rfc_4180(path, content, COLUMNS))


def _table_row(record: data_files.Record) -> Row:
    number, fields = record
    return (number, fields[0], fields[1]) if fields else None


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


_READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".txt": _fasttext,
}
