"""DistilBERT's and RoBERTa's folders through the real engine: the vectors of the BERT they are, texts and pairs, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from embedding_service.model.encoder import Encoders, describe_encoders

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from other_berts import FIRST_TYPE, write_distilbert, write_one_type, write_roberta
from other_tokenizers import KINDS, write_tokenizer


def test_a_distilbert_and_the_bert_it_is_give_the_same_vectors(tmp_path: Path) -> None:
    plain = write_one_type(tmp_path / "bert", np.zeros(16, np.float32))
    assert_same_vectors(write_distilbert(tmp_path / "distilbert"), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_a_roberta_with_its_own_tokenizer_and_the_bert_it_is_give_the_same_vectors(kind: str, tmp_path: Path) -> None:
    plain = write_tokenizer(write_one_type(tmp_path / "bert", FIRST_TYPE), KINDS[kind]())
    assert_same_vectors(write_tokenizer(write_roberta(tmp_path / "roberta"), KINDS[kind]()), plain)


def assert_same_vectors(folder: Path, plain: Path) -> None:
    """Each is held against the numpy reference while it loads; to each other they must be equal to the bit."""
    models = [f"a={folder}:layers=2+4,max_length=24", f"b={plain}:layers=2+4,max_length=24"]
    described, encoders = describe_encoders(models), Encoders.load(models, engine="openvino", precision="f32", threads=1)
    assert described[0].fingerprint == described[1].fingerprint
    for texts, pairs in ((["the a, b! " * 9], None), (["a b"], ["the, c"])):
        one, other = (encoder.encode_batch(texts, pairs)[0] for encoder in described)
        assert one.ids.tolist() == other.ids.tolist()
        first = encoders.run([(0, one.ids, one.types)]).vectors[0]
        assert np.array_equal(first, encoders.run([(1, other.ids, other.types)]).vectors[0])
        assert np.isfinite(first).all()
