"""A fingerprint changes when, and only when, what vectors mean does: every ingredient, and everything that is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_berts import FIRST_TYPE, write_distilbert, write_one_type, write_roberta
from safetensors.numpy import save_file
from tiny_bert import CONFIG, WORDS, tensors, write

from embedding_service.model.encoder import describe_encoders

KEYS = "pooling=mean,layers=2+3,normalize=yes,max_length=20,mask_special=no"


def fingerprint(folder: Path, keys: str = KEYS, name: str = "e") -> str:
    return describe_encoders([f"{name}={folder}:{keys}"])[0].fingerprint


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("keys", [
    "pooling=max", "pooling=none", "pooling=cls", "pooling=sep", "pooling=mean-max", "layers=2", "layers=3+2", "layers=2+4",
    "layers=1+2+3", "normalize=no", "max_length=19", "mask_special=yes",
])
def test_each_key_of_the_encoder_is_an_ingredient(plain: Path, keys: str) -> None:
    changed = {**dict(pair.split("=") for pair in KEYS.split(",")), **dict([keys.split("=")])}
    assert fingerprint(plain, ",".join(f"{key}={value}" for key, value in changed.items())) != fingerprint(plain)


@pytest.mark.parametrize("config", [
    {"layer_norm_eps": 1e-5}, {"hidden_act": "relu"}, {"hidden_act": "gelu_new"}, {"num_attention_heads": 4},
])
def test_what_config_json_says_of_the_graph_is_an_ingredient(plain: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    assert fingerprint(write(tmp_path, config=config)) != fingerprint(plain)


@pytest.mark.parametrize("config", [
    {"hidden_dropout_prob": 0.5}, {"_name_or_path": "elsewhere"}, {"torch_dtype": "float16"}, {"hidden_act": "gelu_python"},
    {"architectures": ["BertForMaskedLM"]}, {"layer_norm_eps": 0.000_000_000_001},
])
def test_what_config_json_says_of_training_is_none(plain: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    assert fingerprint(write(tmp_path, config=config)) == fingerprint(plain)


@pytest.mark.parametrize("name", [
    "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight",
    "embeddings.LayerNorm.bias", "encoder.layer.0.attention.self.query.weight", "encoder.layer.2.output.LayerNorm.weight",
])
def test_the_last_bit_of_every_tensor_that_reaches_the_output_is_an_ingredient(plain: Path, tmp_path: Path, name: str) -> None:
    weights = tensors()
    weights[name].view(np.uint32).flat[-1] ^= 1
    assert fingerprint(write(tmp_path, weights=weights)) != fingerprint(plain)


@pytest.mark.parametrize("name", ["encoder.layer.3.output.dense.weight", "pooler.dense.weight"])
def test_layers_above_and_an_unused_pooler_are_none(plain: Path, tmp_path: Path, name: str) -> None:
    weights = tensors()
    weights[name] += 1
    changed = write(tmp_path, weights=weights)
    assert fingerprint(changed) == fingerprint(plain)
    assert fingerprint(changed, "pooling=cls-pooled") != fingerprint(plain, "pooling=cls-pooled")


def swapped(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join([*WORDS[:5], WORDS[6], WORDS[5], *WORDS[7:]]), encoding="utf-8")


def configured(content: dict[str, Any]) -> Callable[[Path], None]:
    return lambda folder: (folder / "tokenizer_config.json").write_text(json.dumps(content)) and None


@pytest.mark.parametrize(("change", "counts"), [
    (swapped, True), (configured({"do_lower_case": False}), True), (configured({"strip_accents": False}), True),
    (configured({"tokenize_chinese_chars": False}), True), (configured({"model_max_length": 12, "do_lower_case": True}), False),
    (configured({"strip_accents": True}), False),
])
def test_the_vocabularys_order_and_how_words_are_made_are_ingredients(
    plain: Path, tmp_path: Path, change: Callable[[Path], None], counts: bool
) -> None:
    folder = shutil.copytree(plain, tmp_path / "e")
    change(folder)
    assert (fingerprint(folder) != fingerprint(plain)) is counts


def as_tokenizer_json(folder: Path) -> None:
    from embedding_service.model.wordpiece import from_vocabulary

    from_vocabulary(folder / "vocab.txt").save(str(folder / "tokenizer.json"))
    (folder / "vocab.txt").unlink()


def sharded(folder: Path) -> None:
    weights = {f"bert.{name}": value for name, value in tensors().items()}
    shards = {name: f"part-{number % 3}.safetensors" for number, name in enumerate(weights)}
    for shard in set(shards.values()):
        save_file({name: value for name, value in weights.items() if shards[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (folder / "model.safetensors").unlink()


def renamed(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")


@pytest.mark.parametrize("change", [as_tokenizer_json, sharded, renamed])
def test_how_the_files_are_cut_and_called_is_none(plain: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = shutil.copytree(plain, tmp_path / "elsewhere")
    change(folder)
    assert fingerprint(folder, name="other") == fingerprint(plain)


def test_a_narrower_number_format_is_none_where_the_values_are_the_same(tmp_path: Path) -> None:
    half = {name: value.astype(np.float16) for name, value in tensors().items()}
    widened = {name: value.astype(np.float32) for name, value in half.items()}
    doubled = {name: value.astype(np.float64) for name, value in half.items()}
    folders = [write(tmp_path / str(number), weights=weights) for number, weights in enumerate((half, widened, doubled))]
    assert len({fingerprint(folder) for folder in folders}) == 1


def test_an_alias_and_a_name_are_none(plain: Path) -> None:
    [one] = describe_encoders([f"a={plain}:{KEYS}", "b=a"])
    assert one.aliases == ("b",)
    assert one.fingerprint == fingerprint(plain, name="c")


def test_another_models_names_for_the_same_bert_are_none(tmp_path: Path) -> None:
    zero = np.zeros(16, np.float32)
    assert fingerprint(write_distilbert(tmp_path / "d")) == fingerprint(write_one_type(tmp_path / "bd", zero))
    assert fingerprint(write_roberta(tmp_path / "r")) == fingerprint(write_one_type(tmp_path / "br", FIRST_TYPE))
    assert CONFIG["type_vocab_size"] == 2
