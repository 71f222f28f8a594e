"""Reading live texts: the files that `train` reads, whose labels are left aside, and the same without labels."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from head_service import data_files
from head_service.data_files import FASTTEXT_PREFIX, refuse
from twohop.errors import InvalidInput


@dataclass(frozen=True)
class LiveTexts:
    """`skipped` counts rows without a text: no service gives those a label either."""

    texts: list[str]
    skipped: int


def read(path: Path) -> LiveTexts:
    """.tsv and .csv with a header that holds `text`, .jsonl with `text`, .txt with a text a line (fastText's labels are
    taken off). Raises InvalidInput (what is wrong, in which line), Failed (the file cannot be read)."""
    reader = data_files.reader_of(path, _READERS)
    found = list(reader(path, data_files.content(path).text))
    texts = [text for text in found if text.strip()]
    if not texts:
        raise InvalidInput(f"{path}: no texts in it", detail={"path": str(path)})
    return LiveTexts(texts, len(found) - len(texts))


def _tsv(path: Path, content: str) -> Iterator[str]:
    lines = [line.removesuffix("\r") for line in data_files.lines(content)]
    place = _column(path, lines[0].split("\t"))
    for number, line in enumerate(lines[1:], start=2):
        yield _field(path, number, line.split("\t"), place) if line.strip() else ""


def _csv(path: Path, content: str) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    records = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        place = _column(path, next(records, []))
        for fields in records:
            yield _field(path, records.line_num, fields, place) if fields else ""
    except csv.Error as error:
        refuse(path, records.line_num, f"no CSV by RFC 4180 ({error}); quote fields that hold commas or quotes")


def _jsonl(path: Path, content: str) -> Iterator[str]:
    for number, line in enumerate(data_files.lines(content), start=1):
        if not line.strip():
            yield ""
            continue
        fields = data_files.json_of(path, number, line)
        text = fields.get("text") if isinstance(fields, dict) else None
        if not isinstance(text, str):
            refuse(path, number, 'write an object with a text, such as {"text":"…"}')
        yield text


def _txt(path: Path, content: str) -> Iterator[str]:
    for line in data_files.lines(content):
        words = line.removesuffix("\r")
        while words.startswith(FASTTEXT_PREFIX):
            words = words.partition(" ")[2].lstrip()
        yield words


def _column(path: Path, header: Sequence[str]) -> int:
    names = [name.strip().lower() for name in header]
    if "text" not in names:
        refuse(path, 1, f"the header has no column text, but {', '.join(map(repr, header[:10]))}")
    return names.index("text")


def _field(path: Path, line: int, fields: Sequence[str], place: int) -> str:
    if place >= len(fields):
        refuse(path, line, f"{len(fields)} fields, and text is field {place + 1} of the header")
    return fields[place]


_READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {".tsv": _tsv, ".csv": _csv, ".jsonl": _jsonl, ".txt": _txt}
