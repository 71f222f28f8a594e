"""Live texts are read with or without labels, and what cannot be read is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from head_service.drift import texts
from twohop.errors import Failed, InvalidInput


def read(folder: Path, name: str, content: str | bytes) -> texts.LiveTexts:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return texts.read(path)


@pytest.mark.parametrize(("name", "content"), [
    ("a.tsv", "label\ttext\nx\tone two\n\ny\tthree\n\t \n"),
    ("a.tsv", "text\none two\nthree\n\n\n"),
    ("a.tsv", "\ufefftext\r\none two\r\nthree\r\n\r\n\r\n"),
    ("a.csv", 'id,text\n1,one two\n2,"three"\n3,\n4," "\n'),
    ("a.jsonl", '{"text":"one two","label":["x"]}\n\n{"text":"three"}\n{"text":" "}\n'),
    ("a.txt", "__label__x __label__y one two\nthree\n__label__x\n\n"),
])  # fmt: skip
def test_texts_are_read_and_rows_without_one_counted(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, name, content) == texts.LiveTexts(["one two", "three"], 2)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.tsv", "id\tbody\n1\tx\n", r"line 1: the header has no column 'text' \(found 'id', 'body'\)"),
    ("a.tsv", "id\ttext\n1\tx\n2\n", r"line 3: 1 columns where the header has 2"),
    ("a.tsv", "id\ttext\n1\tx\ty\n", r"line 2: 3 columns where the header has 2"),
    ("a.csv", 'text\n"open', r"line 2: no CSV by RFC 4180"),
    ("a.jsonl", '{"text":"x"}\n{"text":1}\n', r"line 2: write an object with a text"),
    ("a.jsonl", "{\n", r"line 1: no JSON"),
    ("a.txt", b"one\ntw\xff", r"line 2: byte 0xff is not UTF-8"),
    ("a.xml", "", r"name it \.tsv, \.csv, \.jsonl, \.txt"),
    ("a.txt", "\n\n", r"no texts in it"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(tmp_path, name, content)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(Failed, match=r"cannot read .*a\.txt"):
        texts.read(tmp_path / "a.txt")
