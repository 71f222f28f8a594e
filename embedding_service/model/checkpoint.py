"""A Hugging Face folder as architecture and weights: names normalised, every needed tensor checked for presence and shape.

A tensor that is missing or of another shape is an error at start, never a random number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.safetensors_file import SafetensorsFile
from twohop.errors import Failed

ACTIVATIONS = ("gelu", "gelu_new", "relu")


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a forward pass needs to know besides the tensors."""

    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    activation: str
    layer_norm_eps: float


class Checkpoint:
    """Weights under their Hugging Face names without `bert.`, read from disk when asked for.

    `folder` holds config.json and model.safetensors or model.safetensors.index.json with its shards.
    """

    def __init__(self, folder: Path, architecture: Architecture, files: dict[str, tuple[SafetensorsFile, str]]) -> None:
        self.folder = folder
        self.architecture = architecture
        self._files = files

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Raises Failed, with the remedy, for a folder that is no BERT of Hugging Face's layout."""
        architecture = read_architecture(folder)
        files: dict[str, tuple[SafetensorsFile, str]] = {}
        for path in _weight_files(folder):
            file = SafetensorsFile(path)
            files.update({plain_name(stored): (file, stored) for stored in file.entries})
        return cls(folder, architecture, files)

    def tensor(self, name: str) -> NDArray[np.float32]:
        """One tensor, matrices as [out, in]. A view into the file where that stores float32."""
        file, stored = self._files[name]
        return file.float32(stored)

    def check(self, names: Iterable[str]) -> None:
        """Raises Failed naming the first tensors that are missing or have another shape than config.json says."""
        expected = {name: _shape(name, self.architecture) for name in names}
        missing = [name for name in expected if name not in self._files]
        if missing:
            raise _failed(self.folder, f"the weights lack {_some(missing)}: they are incomplete or not of this config.json")
        for name, shape in expected.items():
            file, stored = self._files[name]
            if file.entries[stored].shape != shape:
                found = list(file.entries[stored].shape)
                raise _failed(self.folder, f"tensor {name} has shape {found}, config.json needs {list(shape)}")

    def drop_pages(self) -> None:
        """After a pass over the weights: keeps them from counting as this process's memory."""
        for file in {id(file): file for file, _ in self._files.values()}.values():
            file.drop_pages()


def read_architecture(folder: Path) -> Architecture:
    """config.json of a BERT. Raises Failed where it is missing, broken, or describes another kind of model."""
    if not (folder / "config.json").is_file():
        if (folder / "bert_config.json").is_file():
            raise _failed(folder, "a Google TensorFlow checkpoint, which this version does not read yet: convert it to a "
                                  "Hugging Face folder (config.json, model.safetensors, vocab.txt)")
        raise _failed(folder, "no encoder here (needed: config.json, model.safetensors, tokenizer.json or vocab.txt)")
    config = read_json(folder / "config.json")
    _refuse_other_models(folder, config)
    try:
        architecture = Architecture(
            layers=int(config["num_hidden_layers"]), hidden=int(config["hidden_size"]), heads=int(config["num_attention_heads"]),
            intermediate=int(config["intermediate_size"]), vocabulary=int(config["vocab_size"]),
            positions=int(config["max_position_embeddings"]), types=int(config.get("type_vocab_size", 2)),
            activation=str(config.get("hidden_act", "gelu")), layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _failed(folder, f"config.json: {error!r} is missing or no number") from error
    if architecture.activation not in ACTIVATIONS:
        raise _failed(folder, f"activation {architecture.activation!r} is not supported; known: {', '.join(ACTIVATIONS)}")
    if architecture.layers < 1 or architecture.heads < 1 or architecture.hidden % architecture.heads:
        raise _failed(folder, f"config.json has {architecture.layers} layers and {architecture.heads} heads for a hidden size of "
                              f"{architecture.hidden}: not a BERT")
    return architecture


def _refuse_other_models(folder: Path, config: dict[str, Any]) -> None:
    kind = config.get("model_type", "bert")
    if kind != "bert":
        raise _failed(folder, f"model_type {kind!r} is not supported yet; this version serves 'bert'")
    for key, plain in (("position_embedding_type", "absolute"), ("is_decoder", False), ("add_cross_attention", False)):
        if config.get(key, plain) != plain:
            raise _failed(folder, f"config.json says {key}={config[key]!r}; only {plain!r} is supported")


def tensor_names(layers: int, *, pooler: bool) -> list[str]:
    """Names of all tensors that reach hidden state number `layers` (1 = first block), and the pooler's if wanted."""
    names = [f"embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type")]
    names += _both("embeddings.LayerNorm")
    for layer in range(layers):
        for part in _LAYER_PARTS:
            names += _both(f"encoder.layer.{layer}.{part}")
    return names + (_both("pooler.dense") if pooler else [])


def plain_name(stored: str) -> str:
    """`bert.` is what saving a whole task model adds; gamma and beta are what the first BERT ports said."""
    name = stored.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def read_json(path: Path) -> dict[str, Any]:
    """Raises Failed naming the file if it holds no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failed(f"cannot read {path}: {error}", detail={"file": str(path)}) from error
    if not isinstance(content, dict):
        raise Failed(f"{path} holds no JSON object", detail={"file": str(path)})
    return content


def _weight_files(folder: Path) -> list[Path]:
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict):
            raise Failed(f"{index} has no weight_map", detail={"file": str(index)})
        return [folder / name for name in sorted({str(shard) for shard in shards.values()})]
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found
    if (folder / "pytorch_model.bin").exists():
        raise _failed(folder, "pytorch_model.bin is a pickle and is not read: save the model as safetensors")
    raise _failed(folder, "no weights here (needed: model.safetensors, or model.safetensors.index.json with its shards)")


def _both(prefix: str) -> list[str]:
    return [f"{prefix}.weight", f"{prefix}.bias"]


_LAYER_PARTS = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")


def _shape(name: str, of: Architecture) -> tuple[int, ...]:
    tables = {"word": of.vocabulary, "position": of.positions, "token_type": of.types}
    if name.endswith("_embeddings.weight"):
        return tables[name.split(".")[1].removesuffix("_embeddings")], of.hidden
    out, into = of.hidden, of.hidden
    if ".intermediate." in name:
        out = of.intermediate
    elif name.endswith(("output.dense.weight", "output.dense.bias")) and ".attention." not in name:
        into = of.intermediate
    return (out, into) if name.endswith(".weight") and "LayerNorm" not in name else (out,)


def _failed(folder: Path, what: str) -> Failed:
    return Failed(f"{folder}: {what}", detail={"folder": str(folder)})


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
