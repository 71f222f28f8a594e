"""Texts into tokens: counted before they are cut, pairs cut as bert-as-service cuts them, long texts in bounded chunks."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import WORDS, write

from embedding_service.model.pieces import Pieces
from embedding_service.model.tokenizer import Tokenizer, chunked
from embedding_service.model.tokenizer_folder import load_pieces
from twohop.errors import Failed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def wordpiece(folder: Path) -> Pieces:
    return load_pieces(folder)


@cache
def shared_wordpiece() -> Pieces:
    """For hypothesis, which runs one test many times."""
    with TemporaryDirectory() as folder:
        return load_pieces(write(Path(folder)))


def words(ids: object) -> str:
    return " ".join(WORDS[index] for index in ids)  # type: ignore[attr-defined]


def test_a_text_is_cut_from_the_right_and_says_how_long_it_was(folder: Path) -> None:
    [tokens] = Tokenizer.load(folder, 5).encode_batch(["Unable, a b c"])
    assert (words(tokens.ids), tokens.types, tokens.total) == ("[CLS] un ##able , [SEP]", None, 8)


def test_a_text_without_word_pieces_is_its_special_tokens_alone(folder: Path) -> None:
    [tokens] = Tokenizer.load(folder, 5).encode_batch(["\u200b \x00"])
    assert (words(tokens.ids), tokens.total) == ("[CLS] [SEP]", 2)


def test_a_pair_has_two_segments_and_an_empty_second_text_is_none(folder: Path) -> None:
    pair, single, nothing = Tokenizer.load(folder, 12).encode_batch(["a b", "a", "a"], ["c d", "", "\u200b"])
    assert words(pair.ids) == "[CLS] a b [SEP] c d [SEP]"
    assert pair.types is not None
    assert pair.types.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert single.types is None
    assert (nothing.types, nothing.total) == (None, 3)


def test_pairs_must_be_one_per_text(folder: Path) -> None:
    with pytest.raises(ValueError, match="2 texts with 1 pairs"):
        Tokenizer.load(folder, 12).encode_batch(["a", "b"], ["c"])


@given(st.integers(0, 12), st.integers(0, 12), st.integers(3, 20))
def test_a_pair_loses_one_piece_at_a_time_from_the_longer_and_from_the_second_where_equal(a: int, b: int, length: int) -> None:
    first, second, total = list("abcde" * 3)[:a], list("fghij" * 3)[:b], a + b + 3 if b else a + 2
    keep_a, keep_b = list(first), list(second)
    while len(keep_a) + len(keep_b) > length - (3 if b else 2):
        (keep_a if len(keep_a) > len(keep_b) else keep_b).pop()
    [tokens] = Tokenizer(shared_wordpiece(), length).encode_batch([" ".join(first)], [" ".join(second)])
    want = ["[CLS]", *keep_a, "[SEP]", *([*keep_b, "[SEP]"] if b else [])]
    assert words(tokens.ids).split() == want
    assert tokens.total == total


@given(st.text(st.sampled_from(list("abc  .,!\n[]SEPé我爱\u0301\u200b\u3000ß…😀")) | st.characters(codec="utf-8"), max_size=300))
def test_a_long_text_in_chunks_has_the_same_pieces_as_in_one_go(text: str) -> None:
    piece = shared_wordpiece()
    [whole] = piece.encode([text])
    assert [index for chunk in chunked(text, piece, size=16) for index in piece.encode([chunk])[0]] == whole


@pytest.mark.parametrize("text", [
    "[SEP]" * 300, "a" * 1400, "a" * 1400 + " b", "我" * 900, "." * 900, ("x" * 350 + " ") * 5, "[MASK]a" * 200,
])
def test_special_tokens_and_overlong_words_survive_being_cut_into_chunks(text: str, wordpiece: Pieces) -> None:
    [whole] = wordpiece.encode([text])
    chunks = list(chunked(text, wordpiece, size=512))
    assert [index for chunk in chunks for index in wordpiece.encode([chunk])[0]] == whole
    assert max(map(len, chunks)) <= 512


def test_truncation_and_padding_of_a_tokenizer_json_do_not_count(folder: Path, tmp_path: Path) -> None:
    import tokenizers

    assert load_pieces(folder).identity["specials_in_text"] is True
    library = load_pieces(folder)._library
    library.enable_truncation(4)
    library.enable_padding(length=9)
    library.save(str(tmp_path / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    assert tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")).truncation is not None
    [tokens] = Tokenizer.load(tmp_path, 20).encode_batch(["a b c d e f"])
    assert (len(tokens.ids), tokens.total) == (8, 8)


def test_vocabulary_and_configuration_decide_the_identity(folder: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(folder, 9)
    assert tokenizer.vocabulary == WORDS
    assert tokenizer.identity == {"kind": "wordpiece", "lowercase": True, "strip_accents": True, "split_cjk": True,
                                  "specials_in_text": True, "max_word": 100}
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "tokenize_chinese_chars": False}))
    cased = Tokenizer.load(tmp_path, 9).identity
    assert (cased["lowercase"], cased["strip_accents"], cased["split_cjk"]) == (False, False, False)


@pytest.mark.parametrize(("name", "content"), [
    ("tokenizer.json", "{"), ("tokenizer.json", '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}'),
    ("vocab.txt", "just\nwords\n"), ("other.txt", ""),
])
def test_what_is_no_bert_tokenizer_is_refused_naming_where(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Failed, match=str(tmp_path)):
        Tokenizer.load(tmp_path, 9)
