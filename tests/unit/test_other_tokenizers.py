"""Tokenizers that are not BERT's: framed and cut as the library would, long texts in chunks, pairs, identity, clear refusals."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_berts import write_roberta
from other_tokenizers import KINDS, byte_level, write_tokenizer
from tiny_bert import WORDS, write
from tokenizers import Tokenizer as Library
from tokenizers import models

from embedding_service.model.checkpoint import read_architecture
from embedding_service.model.encoder import describe_encoders
from embedding_service.model.pieces import Pieces
from embedding_service.model.pooling import counted_tokens
from embedding_service.model.tokenizer import Tokenizer, chunked
from embedding_service.model.tokenizer_folder import load_pieces
from twohop.errors import Failed

TEXTS = ("the a, b", " the\n\nthe ! ", "é爱 <mask> the", "", "a</s>b")


@cache
def pieces(kind: str) -> Pieces:
    with TemporaryDirectory() as folder:
        return load_pieces(write_tokenizer(Path(folder), KINDS[kind]()))


@pytest.mark.parametrize("kind", KINDS)
def test_texts_and_pairs_have_the_tokens_that_the_library_gives_them(kind: str) -> None:
    library, tokenizer = KINDS[kind](), Tokenizer(pieces(kind), 1000)
    for text in TEXTS:
        [single] = tokenizer.encode_batch([text])
        assert single.ids.tolist() == library.encode(text).ids
        [pair] = tokenizer.encode_batch([text], ["the a"])
        assert pair.ids.tolist() == library.encode(text, "the a").ids
        assert pair.total == len(pair.ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_with_room_for_an_even_number_of_pieces_is_cut_as_the_library_cuts_it(kind: str) -> None:
    library = KINDS[kind]()
    library.enable_truncation(10)
    [pair] = Tokenizer(pieces(kind), 10).encode_batch(["a b, the"], ["the a, b c d e"])
    assert pair.ids.tolist() == library.encode("a b, the", "the a, b c d e").ids
    assert len(pair.ids) == 10 < pair.total


@pytest.mark.parametrize("kind", KINDS)
@given(parts=st.lists(st.sampled_from([*"abthe ,.!\n\t\r\u00a0\u3000é爱<>/s\u0301", "<mask>", " the", "</s>"]), max_size=200))
def test_a_long_text_in_chunks_has_the_same_pieces_as_in_one_go(kind: str, parts: list[str]) -> None:
    text = "".join(parts)
    [whole] = pieces(kind).encode([text])
    assert [index for chunk in chunked(text, pieces(kind), size=16) for index in pieces(kind).encode([chunk])[0]] == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_of_words_is_really_cut(kind: str) -> None:
    assert max(map(len, chunked("the a, b " * 400, pieces(kind), size=64))) <= 64


def test_masked_special_tokens_of_a_pair_are_all_four_where_the_model_has_no_types(tmp_path: Path) -> None:
    folder = write_tokenizer(write_roberta(tmp_path), byte_level())
    encoder = describe_encoders([f"e={folder}:mask_special=yes"])[0]
    [pair] = encoder.encode_batch(["a"], ["b"])
    assert pair.ids.tolist() == byte_level().encode("a", "b").ids
    assert counted_tokens(6, pair.types).tolist() == [False, True, False, False, True, False]


def test_no_types_reach_a_model_that_tells_them_apart_where_its_tokenizer_has_none(tmp_path: Path) -> None:
    folder = write_tokenizer(write(tmp_path), byte_level())
    [pair] = Tokenizer.load(folder, 20, read_architecture(folder)).encode_batch(["a"], ["b"])
    assert pair.types is None


def change(parts: dict[str, Any], what: str) -> None:
    if what == "a merge":
        parts["model"]["merges"].reverse()
    elif what == "a special token":
        parts["added_tokens"][4]["lstrip"] = False
    elif what == "the pre-tokenizer":
        parts["pre_tokenizer"]["add_prefix_space"] = True
    elif what == "the normalizer":
        parts["normalizer"] = {"type": "Lowercase"}
    elif what == "truncation and padding":
        parts["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
        parts["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1,
                            "pad_type_id": 0, "pad_token": "<pad>"}
    elif what == "how merges are written":
        parts["model"]["merges"] = [" ".join(merge) for merge in parts["model"]["merges"]]
    elif what == "the decoder":
        parts["decoder"] = {"type": "Fuse"}


@pytest.mark.parametrize(("what", "counts"), [
    ("a merge", True), ("a special token", True), ("the pre-tokenizer", True), ("the normalizer", True),
    ("truncation and padding", False), ("how merges are written", False), ("the decoder", False),
])
def test_the_identity_changes_with_what_decides_the_pieces_and_with_nothing_else(tmp_path: Path, what: str, counts: bool) -> None:
    path = write_tokenizer(tmp_path, byte_level()) / "tokenizer.json"
    before, parts = load_pieces(tmp_path).identity, json.loads(path.read_text(encoding="utf-8"))
    change(parts, what)
    path.write_text(json.dumps(parts, indent=1), encoding="utf-8")
    assert before["kind"] == "bpe"
    assert (load_pieces(tmp_path).identity != before) is counts


def test_more_tokens_than_the_weights_have_rows_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "vocab.txt").write_text("\n".join([*WORDS, "more"]), encoding="utf-8")
    with pytest.raises(Failed, match=r"the tokenizer has 41 tokens, config\.json says 40"):
        describe_encoders([f"e={folder}"])


@pytest.mark.parametrize("lost", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_a_vocabulary_without_a_special_token_is_refused_by_its_name(tmp_path: Path, lost: str) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(word for word in WORDS if word != lost), encoding="utf-8")
    with pytest.raises(Failed, match=rf"vocab\.txt has no \{lost[:-1]}\]"):
        load_pieces(tmp_path)


def test_a_tokenizer_json_without_its_unknown_token_or_without_a_frame_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, Library(models.WordPiece({"a": 0, "b": 1}, unk_token="[UNK]")))
    with pytest.raises(Failed, match=r"tokenizer\.json .* its vocabulary has no \[UNK\]"):
        load_pieces(tmp_path)
    write_tokenizer(tmp_path, Library(models.BPE({"a": 0, "b": 1}, [])))
    with pytest.raises(Failed, match=r"tokenizer\.json .* a text does not become"):
        load_pieces(tmp_path)


def test_a_sentencepiece_model_alone_says_how_to_make_a_tokenizer_json(tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"")
    with pytest.raises(Failed, match="save_pretrained"):
        load_pieces(tmp_path)
