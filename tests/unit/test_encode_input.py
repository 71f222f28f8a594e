"""What `encode` reads: every kind of file row by row, and each fault by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedding_service.tools.texts_in import Columns, Texts
from embedding_service.tools.windows import Sizes, packs, windows
from twohop.errors import Failed, InvalidInput

PLAIN = Columns()


def read(folder: Path, name: str, content: str | bytes, columns: Columns = PLAIN) -> list[tuple[int | str, str]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return [(row.id, row.text) for row in Texts.open(path, columns).rows()]


@pytest.mark.parametrize(("name", "content", "rows"), [
    ("a.txt", "one\n\n two \r\nthree", [(0, "one"), (1, " two "), (2, "three")]),
    ("a.txt", "\ufeffone\n", [(0, "one")]),
    ("a.tsv", 'id\ttext\nx\t"quoted" stays\n\ny\tb\r\n', [("x", '"quoted" stays'), ("y", "b")]),
    ("a.tsv", "label\ttext\n1\ta\n", [(0, "a")]),
    ("a.csv", 'text,id\r\n"a, ""b""\nc",7\r\n\r\nd,8\r\n', [("7", 'a, "b"\nc'), ("8", "d")]),
    ("a.jsonl", '{"text":"a","id":3}\n\n{"text":"b\\n","id":-1,"more":[]}\n', [(3, "a"), (-1, "b\n")]),
    ("a.JSONL", '{"text":"a"}\n{"text":"b"}', [(0, "a"), (1, "b")]),
])
def test_each_kind_gives_ids_and_texts_and_skips_blank_lines(
    tmp_path: Path, name: str, content: str, rows: list[tuple[int | str, str]]
) -> None:
    assert read(tmp_path, name, content) == rows


def test_the_smallest_and_the_largest_number_of_64_bits_are_ids(tmp_path: Path) -> None:
    ends = [-(2**63), 2**63 - 1]
    assert read(tmp_path, "a.jsonl", "\n".join(f'{{"id":{end},"text":"a"}}' for end in ends)) == [(end, "a") for end in ends]


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    assert read(tmp_path, "a.tsv", "id\tsaid\tkey\n1\ta\tx\n", Columns("said", "key")) == [("x", "a")]
    assert read(tmp_path, "a.jsonl", '{"id":1,"said":"a","key":"x"}', Columns("said", "key")) == [("x", "a")]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.doc", "x", r"a\.doc: unknown kind of input: name it \.tsv, "),
    ("a.txt", "", r"a\.txt: no text in it"),
    ("a.tsv", "text\n", r"a\.tsv: no text in it"),
    ("a.txt", b"fine\n\xff\n", r"line 2: byte 0xff is not UTF-8"),
    ("a.tsv", "words\nx\n", r"line 1: no column 'text' \(found 'words'\); name another by --text-column"),
    ("a.tsv", "text\ttext\nx\ty\n", r"line 1: more than one column 'text'"),
    ("a.tsv", "id\ttext\n1\ta\n2\t \n", r"line 3: the text is empty"),
    ("a.tsv", "id\ttext\n1\ta\tb\n", r"line 2: 3 columns where the header has 2"),
    ("a.csv", 'id,text\n1,a\n2,"b\n', r"line 3: no CSV by RFC 4180"),
    ("a.jsonl", '{"text":"a"}\n{"text":', r"line 2: no JSON"),
    ("a.jsonl", "[1]", r"line 1: there is no 'text'"),
    ("a.jsonl", '{"text":5}', r"line 1: the text is 5, no string"),
    ("a.jsonl", '{"text":"a","id":1}\n{"text":"b","id":"2"}', r"line 2: the id is '2', those before are numbers"),
    ("a.jsonl", '{"id":0,"text":"a"}\n{"text":"b"}\n{"id":1,"text":"c"}', r"line 2: those before have ids, and this has none"),
    ("a.jsonl", '{"text":"a"}\n{"id":0,"text":"b"}', r"line 2: this has an id, and those before have none"),
    ("a.tsv", "id\tid\ttext\n1\t2\ta\n", r"line 1: more than one column 'id'"),
    ("a.jsonl", '{"text":"a","id":null}', r"line 1: 'id' is null"),
    ("a.jsonl", '{"text":"a","id":1.5}', r"line 1: the id is 1\.5, neither"),
    ("a.jsonl", '{"text":"a","id":9223372036854775808}', r"line 1: the id 9223372036854775808 does not fit"),
    ("a.jsonl", '{"text":"a\\ud800"}', r"line 1: half of a surrogate pair"),
    ("a.parquet", "PAR?", r"a\.parquet: no Parquet file"),
])
def test_a_fault_is_told_by_file_and_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, name, content)


def test_an_id_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    for name, content in (("a.tsv", "text\na\n"), ("a.jsonl", '{"text":"a"}'), ("a.txt", "a")):
        with pytest.raises(InvalidInput, match="id-column"):
            read(tmp_path, name, content, Columns("text", "key"))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"cannot read .*none\.txt: No such file"):
        Texts.open(tmp_path / "none.txt", PLAIN)


def test_windows_hold_every_row_once_and_their_digest_follows_ids_and_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"text {number}" for number in range(10)))
    texts = Texts.open(tmp_path / "a.txt", PLAIN)
    found = list(windows(texts.rows(), Sizes(4, 16, 1)))
    assert [(window.number, window.first, len(window.texts)) for window in found] == [(0, 0, 4), (1, 4, 4), (2, 8, 2)]
    assert [key for window in found for key in window.ids] == list(range(10))
    assert found[-1].reached == texts.size
    assert len({window.digest for window in found}) == 3


def test_a_window_of_a_token_encoder_ends_before_its_vectors_fill_memory(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word " * 400 + "\n" + "word " * 400 + "\n" + "short\n" * 3)
    mebibyte = 1024 * 1024
    found = list(windows(Texts.open(tmp_path / "a.txt", PLAIN).rows(), Sizes(100, mebibyte, 250)))
    assert [len(window.texts) for window in found] == [1, 1, 3]


def test_packs_hold_every_text_once_and_waste_little() -> None:
    lengths = [3 + number * 7 % 60 for number in range(500)]
    made = packs(lengths, 512)
    assert sorted(index for pack in made for index in pack) == list(range(500))
    assert max(sum(lengths[index] for index in pack) for pack in made) <= 512
    assert len(made) <= 1.1 * sum(lengths) / 512
