"""Reading live texts: the files that `train` reads, whose labels are left aside, and the same without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    return ("".join(fields) for _, fields in data_files.tsv(path, content, ["text"]))


def _csv(path: Path, content: str) -> Iterator[str]:
    return ("".join(fields) for _, fields in data_files.csv_by_rfc_4180(path, content, ["text"]))


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


_READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {".tsv": _tsv, ".csv": _csv, ".jsonl": _jsonl, ".txt": _txt}
