"""Labelled data in four formats: what is read, and what is refused with file, line and remedy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from head_service.training import data
from head_service.training.rows import Rows, folds, held_back, split
from twohop.errors import Failed, InvalidInput

GOOD = {
    "plain.tsv": "text\tlabel\ngood\tpos\nbad\tneg\n",
    "columns.tsv": "id\tlabel\ttext\tnote\n1\tpos\tgood\tx\n2\tneg\tbad\t\n",
    "crlf.tsv": "text\tlabel\r\ngood\tpos\r\nbad\tneg\r\n",
    "bom.tsv": "\ufefftext\tlabel\ngood\tpos\nbad\tneg",
    "plain.csv": "text,label\ngood,pos\nbad,neg\n",
    "crlf.csv": "label,text\r\npos,good\r\nneg,bad\r\n",
    "plain.jsonl": '{"text":"good","label":"pos"}\n{"label":"neg","text":"bad","more":1}\n',
    "plain.txt": "__label__pos good\n__label__neg  bad\n",
}


def read(folder: Path, name: str, content: str | bytes) -> Rows:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return data.read(path)


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = read(tmp_path, name, GOOD[name])
    assert (rows.texts, rows.labels, rows.skipped) == (["good", "bad"], ["pos", "neg"], 0)
    assert rows.sha256 == hashlib.sha256(GOOD[name].encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "texts", "skipped"),
    [
        ("q.tsv", 'text\tlabel\n"quoted" and, more\ta\nit\'s\tb\n', ['"quoted" and, more', "it's"], 0),
        ("blank.tsv", "text\tlabel\n\none\ta\n   \ntwo\tb\n\n", ["one", "two"], 3),
        ("lines.csv", 'text,label\n"one\n\nstill one",a\n"say ""two""",b\n', ["one\n\nstill one", 'say "two"'], 0),
        ("blank.csv", "text,label\n\none,a\n\ntwo,b\n", ["one", "two"], 2),
        ("blank.jsonl", '{"text":"one","label":"a"}\n\n{"text":"two\\u2028","label":"b"}\n', ["one", "two\u2028"], 1),
        ("blank.txt", "__label__a one\n\n__label__b two words\n", ["one", "two words"], 1),
        ("odd.tsv", "text\tlabel\none\u2028line\x85here\ta\ntwo\tb\n", ["one\u2028line\x85here", "two"], 0),
    ],
)
def test_fields_keep_their_bytes_and_blank_lines_are_counted(
    tmp_path: Path, name: str, content: str, texts: list[str], skipped: int
) -> None:
    rows = read(tmp_path, name, content)
    assert (rows.texts, rows.labels, rows.skipped) == (texts, ["a", "b"], skipped)


def test_a_field_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    long = "word " * 2_000_000
    assert read(tmp_path, "long.csv", f'text,label\n"{long}",a\n').texts == [long]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("h.tsv", "great film\tpositive\nbad film\tnegative\n", ["line 1", "no column 'text'", "great film", "text<TAB>label"]),
        ("h.csv", "text,class\na,b\n", ["line 1", "no column 'label'", "text,label"]),
        ("twice.tsv", "text\ttext\tlabel\na\tb\tc\n", ["line 1", "more than one column 'text'"]),
        ("few.tsv", "text\tlabel\n\nonly text\n", ["line 3", "1 columns where the header has 2"]),
        ("many.tsv", "text\tlabel\na\tb\tc\n", ["line 2", "3 columns"]),
        ("row.tsv", "text\tlabel\na\tb\n\t\n", ["line 3", "text is empty"]),
        ("text.tsv", "text\tlabel\n  \tpos\n", ["line 2", "text is empty"]),
        ("label.tsv", "text\tlabel\ngood\t \n", ["line 2", "label is empty"]),
        ("after.csv", 'text,label\n"two\nlines",a\n,b\n', ["line 4", "text is empty"]),
        ("open.csv", 'text,label\na,b\n"never closed,c\n', ["line 3", "RFC 4180"]),
        ("bad.jsonl", '{"text":"a","label":"b"}\n{"text":}\n', ["line 2", "no JSON"]),
        ("keys.jsonl", '{"text":"a"}\n', ["line 1", "both keys"]),
        ("number.jsonl", '{"text":"a","label":1}\n', ["line 1", "label is 1", "quotation marks"]),
        ("several.jsonl", '{"text":"a","label":["x",1]}\n', ["line 1", "label is 1", "quotation marks"]),
        ("blank.jsonl", '{"text":"a","label":["x"," "]}\n', ["line 1", "label is empty"]),
        ("surrogate.jsonl", '{"text":"\\ud800","label":"x"}\n', ["line 1", "surrogate"]),
        ("nothing.txt", "__label__a __label__b\n", ["line 1", "text is empty"]),
        ("bare.txt", "__label__ some text\n", ["line 1", "label is empty"]),
        ("none.txt", "just a text\n", ["line 1", "__label__"]),
        ("empty.txt", "__label__a\n", ["line 1", "text is empty"]),
        ("latin.tsv", b"text\tlabel\nfine\ta\ncaf\xe9\tb\n", ["line 3", "0xe9", "UTF-8"]),
        ("nothing.tsv", "", ["line 1", "no column 'text'"]),
        ("header.tsv", "text\tlabel\n\n", ["no rows"]),
        ("nothing.csv", "", ["no rows"]),
        ("data.xlsx", "text", ["unknown kind", ".tsv, .csv, .jsonl, .txt"]),
    ],
)
def test_bad_files_are_refused_with_file_line_and_remedy(
    tmp_path: Path, name: str, content: str | bytes, says: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, name, content)
    assert all(part in str(caught.value) for part in [name, *says]), str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"cannot read .*gone\.tsv: No such file"):
        data.read(tmp_path / "gone.tsv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lists.jsonl", '{"text":"one","label":["b","a","b"]}\n{"text":"two","label":"a"}\n{"text":"three","label":[]}\n'),
        ("several.txt", "__label__b __label__a one\n__label__a two\n"),
    ],
)
def test_texts_with_several_labels_make_a_multi_label_file(tmp_path: Path, name: str, content: str) -> None:
    rows = read(tmp_path, name, content)
    assert (rows.multi_label, rows.label_sets) == (True, [("a", "b"), ("a",), ()][: len(rows)])
    with pytest.raises(InvalidInput, match="one label a text is needed"):
        _ = rows.labels


def rows_of(labels: list[str]) -> Rows:
    return Rows(Path("made.tsv"), [f"text {index}" for index in range(len(labels))], [(label,) for label in labels], 0, "")


def several(label_sets: list[tuple[str, ...]]) -> Rows:
    return Rows(Path("made.jsonl"), [f"text {index}" for index in range(len(label_sets))], label_sets, 0, "", True)


def test_a_tenth_of_each_label_is_held_back_and_the_seed_decides_which() -> None:
    labels = ["a"] * 100 + ["b"] * 30 + ["c"] * 2 + ["d"]
    first, same, other = held_back(labels, 0), held_back(labels, 0), held_back(labels, 1)
    assert first == same != other
    assert sorted(labels[index] for index in first) == ["a"] * 10 + ["b"] * 3 + ["c"]


def test_split_parts_are_disjoint_and_complete() -> None:
    parts = split(rows_of(["a"] * 15 + ["b"] * 15), None, seed=3)
    assert len(parts.validation) == 4
    assert sorted(parts.texts) == sorted(rows_of(["x"] * 30).texts)
    assert parts.labels == ["a", "b"]


def test_dev_rows_validate_and_may_bring_labels() -> None:
    parts = split(rows_of(["b", "a"]), rows_of(["a", "c"]), seed=0)
    assert ([parts.row_labels[row] for row in parts.validation], parts.labels) == (["a", "c"], ["a", "b", "c"])


def test_multi_label_rows_are_spread_by_their_rarest_label() -> None:
    rows = several([("common",)] * 60 + [("common", "rare")] * 20 + [()] * 20)
    parts = split(rows, None, seed=0)
    held = parts.label_sets[parts.train_count :]
    assert (len(parts.texts), sorted(held)) == (100, [()] * 2 + [("common",)] * 6 + [("common", "rare")] * 2)
    assert (parts.labels, parts.multi_label) == (["common", "rare"], True)
    with pytest.raises(InvalidInput, match="at least one"):
        split(several([()] * 20), None, seed=0)


def test_folds_hold_every_row_once_and_each_label_in_each() -> None:
    labels = ["a"] * 23 + ["b"] * 10
    parts = folds(labels, 5, seed=1)
    assert sorted(index for part in parts for index in part) == list(range(33))
    assert {sum(labels[index] == "b" for index in part) for part in parts} == {2}
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert parts == folds(labels, 5, seed=1) != folds(labels, 5, seed=2)


@pytest.mark.parametrize(
    ("labels", "says"), [(["x"] * 50, "two labels"), (["x", "y"], "too few"), ([str(n) for n in range(12)], "second row")]
)
def test_rows_that_cannot_teach_are_refused(labels: list[str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        split(rows_of(labels), None, seed=0)
