"""The engine on random weights of a few kilobytes: every activation, depth and pooling passes its own check at start, and
weights that are not what the check expects keep a service from getting ready."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from embedding_service.model import loaded_encoders, reference
from embedding_service.model.encoder import Encoders, describe_encoders
from twohop.errors import Failed

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tiny_bert import tensors, write


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_every_activation_agrees_with_the_reference(activation: str, tmp_path: Path) -> None:
    folder = write(tmp_path, config={"hidden_act": activation})
    encoders = Encoders.load([f"e={folder}:layers=-1"], precision="f32", threads=1)
    assert encoders.numerics == "openvino-f32"


def test_many_encoders_of_different_depths_and_two_folders_share_a_batch(tmp_path: Path) -> None:
    models = [f"a={write(tmp_path / 'one')}:layers=1", "b=a:pooling=cls-pooled", "c=a:pooling=none,layers=2+4,mask_special=yes",
              f"d={write(tmp_path / 'two', weights={k: v / 2 for k, v in tensors().items()})}:pooling=mean-max,layers=3"]
    encoders, described = Encoders.load(models, precision="f32", threads=2), describe_encoders(models)
    [tokens] = described[0].encode_batch(["a b, c!"])
    together = encoders.run([(index, tokens.ids, None) for index in (3, 0, 2, 1, 0)]).vectors
    assert [vectors.shape for vectors in together] == [(1, 32), (1, 16), (7, 32), (1, 16), (1, 16)]
    for index, vectors in zip((3, 0, 2, 1, 0), together, strict=True):
        assert np.abs(encoders.run([(index, tokens.ids, None)]).vectors[0] - vectors).max() <= 1e-6
        assert described[index].dimension == vectors.shape[1]


def test_an_engine_that_does_not_give_what_the_weights_say_never_gets_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, computed = write(tmp_path), reference.hidden_states

    def otherwise(checkpoint: object, *arguments: object, **named: object) -> object:
        return {layer: states * 1.001 for layer, states in computed(checkpoint, *arguments, **named).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(loaded_encoders.reference, "hidden_states", otherwise)
    with pytest.raises(Failed, match="encoder e fails its check at start with openvino-f32: max"):
        Encoders.load([f"e={folder}"], precision="f32", threads=1)
