"""A folder of weights: names normalised, other number formats widened, and every defect an error at start that names it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_bert import OF, tensors, write

from embedding_service.model.checkpoint import Checkpoint, tensor_names
from embedding_service.model.fingerprint import hash_weights
from twohop.errors import Failed

ALL = tensor_names(4, pooler=True)


def test_weights_saved_by_a_task_model_under_old_names_are_the_same_weights(tmp_path: Path) -> None:
    plain = Checkpoint.open(write(tmp_path / "a"))
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
           for name, value in tensors("bert.").items()}
    renamed = Checkpoint.open(write(tmp_path / "b", weights={**old, "cls.predictions.bias": np.zeros(3, np.float32)}))
    assert renamed.architecture == OF
    assert hash_weights(plain, ALL) == hash_weights(renamed, ALL)


def test_shards_of_an_index_are_one_checkpoint(tmp_path: Path) -> None:
    folder, weights = write(tmp_path), tensors()
    whole = hash_weights(Checkpoint.open(folder), ALL)
    (folder / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(weights)}
    for shard in set(shards.values()):
        save_file({name: value for name, value in weights.items() if shards[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert hash_weights(Checkpoint.open(folder), ALL) == whole


def test_half_precision_files_are_widened_to_float32_exactly(tmp_path: Path) -> None:
    half = {name: value.astype(np.float16) for name, value in tensors().items()}
    checkpoint = Checkpoint.open(write(tmp_path, weights=half))
    tensor = checkpoint.tensor("pooler.dense.weight")
    assert tensor.dtype == np.float32
    assert np.array_equal(tensor, half["pooler.dense.weight"].astype(np.float32))


def test_bfloat16_files_are_widened_to_float32_exactly(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    write(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\x80\x3f\x00\xc0\x20\x41")
    assert Checkpoint.open(tmp_path).tensor("x").tolist() == [1.0, -2.0, 10.0]


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    weights = tensors()
    del weights["encoder.layer.2.output.dense.bias"]
    checkpoint = Checkpoint.open(write(tmp_path, weights=weights))
    checkpoint.check(tensor_names(2, pooler=False))
    with pytest.raises(Failed, match=r"encoder\.layer\.2\.output\.dense\.bias"):
        checkpoint.check(tensor_names(3, pooler=False))


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write(tmp_path, config={"vocab_size": 41}))
    with pytest.raises(Failed, match=r"word_embeddings.*\[40, 16\].*\[41, 16\]"):
        checkpoint.check(ALL)


@pytest.mark.parametrize(("config", "names"), [
    ({"model_type": "mpnet"}, "mpnet.*relative positions"), ({"model_type": "albert"}, "albert.*share"),
    ({"model_type": "gpt2"}, "gpt2"), ({"is_decoder": True}, "is_decoder"),
    ({"model_type": "electra", "embedding_size": 8}, "embedding_size=8"), ({"hidden_act": "swish"}, "swish"),
    ({"position_embedding_type": "relative_key"}, "relative_key"),
    ({"num_attention_heads": 3}, "not a BERT"), ({"hidden_size": None}, "config.json"),
])
def test_another_kind_of_model_is_refused_by_what_is_different(tmp_path: Path, config: dict[str, Any], names: str) -> None:
    with pytest.raises(Failed, match=names):
        Checkpoint.open(write(tmp_path, config=config))


def test_a_google_checkpoint_and_an_empty_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no encoder here"):
        Checkpoint.open(tmp_path)
    (tmp_path / "bert_config.json").write_text("{}")
    with pytest.raises(Failed, match="Google TensorFlow checkpoint"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone", "pickle", "before"])
def test_damaged_or_missing_weights_are_refused_naming_the_file(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path) / "model.safetensors"
    content = path.read_bytes()
    if damage in ("gone", "pickle"):
        path.unlink()
        if damage == "pickle":
            (tmp_path / "pytorch_model.bin").write_bytes(b"")
    else:
        path.write_bytes({"cut": content[:-100], "empty": b"", "text": b"version https://git-lfs\n" * 3,
                          "before": re.sub(rb'"data_offsets":\[\d\d', b'"data_offsets":[-1', content, count=1)}[damage])
    with pytest.raises(Failed, match="pickle" if damage == "pickle" else str(tmp_path)):
        Checkpoint.open(tmp_path)
