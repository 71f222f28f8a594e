"""Models that are BERT under other names are read as the BERT they are: the same tensors, the same architecture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from other_berts import FIRST_TYPE, replace_config, write_distilbert, write_one_type, write_roberta
from tiny_bert import CONFIG, tensors, write

from embedding_service.model.checkpoint import Checkpoint, tensor_names
from embedding_service.model.spec import parse_models
from twohop.errors import Failed, InvalidInput


def assert_same(folder: Path, plain: Path, *, pooler: bool) -> None:
    names = tensor_names(4, pooler=pooler)
    found, want = Checkpoint.open(folder), Checkpoint.open(plain)
    found.check(names)
    for name in names:
        assert np.array_equal(found.tensor(name), want.tensor(name)), name
    assert (found.architecture.positions, found.architecture.layers) == (want.architecture.positions, 4)


@pytest.mark.parametrize("prefix", ["", "distilbert."])
def test_distilbert_is_a_bert_whose_token_types_add_nothing(tmp_path: Path, prefix: str) -> None:
    plain = write_one_type(tmp_path / "bert", np.zeros(16, np.float32))
    assert_same(write_distilbert(tmp_path / "distilbert", prefix), plain, pooler=False)


@pytest.mark.parametrize(("kind", "prefix", "padding"), [
    ("roberta", "roberta.", 1), ("roberta", "", 1), ("xlm-roberta", "roberta.", 1), ("camembert", "roberta.", 1),
    ("roberta", "roberta.", 5),
])
def test_robertas_positions_start_after_its_padding(tmp_path: Path, kind: str, prefix: str, padding: int) -> None:
    plain = write_one_type(tmp_path / "bert", FIRST_TYPE)
    assert_same(write_roberta(tmp_path / "roberta", kind, prefix, padding), plain, pooler=True)


def test_an_electra_that_does_not_project_is_a_bert(tmp_path: Path) -> None:
    folder = write(tmp_path / "electra", weights=tensors("electra."))
    replace_config(folder, {**CONFIG, "model_type": "electra", "embedding_size": 16})
    assert_same(folder, write(tmp_path / "bert"), pooler=True)


def test_a_roberta_takes_texts_no_longer_than_the_positions_it_uses(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path)
    assert parse_models([f"e={folder}"])[0].max_length == 24
    with pytest.raises(InvalidInput, match=r"max_length=25 is not within 3\.\.24"):
        parse_models([f"e={folder}:max_length=25"])


def test_a_position_table_of_another_length_is_named_as_the_file_names_it(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path)
    replace_config(folder, {**CONFIG, "model_type": "roberta", "type_vocab_size": 1, "max_position_embeddings": 24})
    with pytest.raises(Failed, match=r"roberta\.embeddings\.position_embeddings\.weight has shape \[26, 16\].*\[24, 16\]"):
        Checkpoint.open(folder).check(tensor_names(1, pooler=False))


def test_a_distilbert_without_a_pooler_says_so_when_one_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"pooler\.dense\.weight"):
        Checkpoint.open(write_distilbert(tmp_path)).check(tensor_names(4, pooler=True))
