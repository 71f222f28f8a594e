"""A Hugging Face folder as architecture and weights: names normalised, every needed tensor checked for presence and shape.

A tensor that is missing or of another shape is an error at start, never a random number. Whatever the model calls its parts
(dialects.py), what comes out is a BERT: its names, a position table that starts at the first token, and two token types at
least (both rows the same where the model has one or none, so that a pair's segments may be marked for any model).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.dialects import DIALECTS, Dialect, dialect_of
from embedding_service.model.safetensors_file import SafetensorsFile
from twohop.errors import Failed

ACTIVATIONS = ("gelu", "gelu_new", "relu")
# Other names of the same functions.
_SAME_ACTIVATION = {"gelu_python": "gelu", "gelu_fast": "gelu_new", "gelu_pytorch_tanh": "gelu_new"}
_POSITIONS, _TYPES = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a forward pass needs to know besides the tensors. `positions`: the most tokens a text may have; `types`: token types
    that the model tells apart; `first_position`: rows of the stored position table before that of the first token."""

    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    activation: str
    layer_norm_eps: float
    first_position: int = 0

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def block_weights(self) -> int:
        """In the matrices of one block: query, key, value and output are hidden x hidden, the feed-forward network is
        hidden x intermediate twice."""
        return 4 * self.hidden * self.hidden + 2 * self.hidden * self.intermediate


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
        dialect, architecture = _read_config(folder)
        files: dict[str, tuple[SafetensorsFile, str]] = {}
        for path in _weight_files(folder):
            file = SafetensorsFile(path)
            files.update({dialect.name(stored): (file, stored) for stored in file.entries})
        return cls(folder, architecture, files)

    def tensor(self, name: str) -> NDArray[np.float32]:
        """One tensor, matrices as [out, in]. A view into the file where that stores float32."""
        of = self.architecture
        if name == _TYPES and of.types == 0:
            return np.zeros((2, of.hidden), np.float32)
        file, stored = self._files[name]
        found = file.float32(stored)
        if name == _TYPES and of.types == 1:
            return np.repeat(found, 2, axis=0)
        return found[of.first_position :] if name == _POSITIONS else found

    def check(self, names: Iterable[str]) -> None:
        """Raises Failed naming the first tensors that are missing or have another shape than config.json says."""
        expected = {name: stored_shape(name, self.architecture) for name in names}
        if self.architecture.types == 0:
            expected.pop(_TYPES, None)
        missing = [name for name in expected if name not in self._files]
        if missing:
            raise _failed(self.folder, f"the weights lack {_some(missing)}: they are incomplete or not of this config.json")
        for name, shape in expected.items():
            file, stored = self._files[name]
            if file.entries[stored].shape != shape:
                found = list(file.entries[stored].shape)
                raise _failed(self.folder, f"tensor {stored} has shape {found}, config.json needs {list(shape)}")

    def drop_pages(self) -> None:
        """After a pass over the weights: keeps them from counting as this process's memory."""
        for file in {id(file): file for file, _ in self._files.values()}.values():
            file.drop_pages()


def read_architecture(folder: Path) -> Architecture:
    """config.json of a BERT, under whatever name. Raises Failed where it is missing, broken, or describes another model."""
    return _read_config(folder)[1]


def architecture_of(config: dict[str, Any], source: Path) -> Architecture:
    """`config`: what the file `source` says. Raises Failed, naming it, where that is no BERT."""
    try:
        dialect = dialect_of(config)
        said = dialect.config(config)
        first = dialect.first_position(config)
        activation = str(said.get("hidden_act", "gelu"))
        architecture = Architecture(
            layers=int(said["num_hidden_layers"]), hidden=int(said["hidden_size"]), heads=int(said["num_attention_heads"]),
            intermediate=int(said["intermediate_size"]), vocabulary=int(said["vocab_size"]),
            positions=int(said["max_position_embeddings"]) - first, types=int(said.get("type_vocab_size", 2)),
            activation=_SAME_ACTIVATION.get(activation, activation), layer_norm_eps=float(said.get("layer_norm_eps", 1e-12)),
            first_position=first,
        )
    except (KeyError, TypeError) as error:
        raise Failed(f"{source}: {error!r} is missing or no number", detail={"file": str(source)}) from error
    except (ValueError, OverflowError) as error:
        raise Failed(f"{source}: {error}", detail={"file": str(source)}) from error
    if architecture.activation not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *_SAME_ACTIVATION))
        raise Failed(f"{source}: activation {activation!r} is not supported; known: {known}", detail={"file": str(source)})
    if architecture.layers < 1 or architecture.heads < 1 or architecture.hidden % architecture.heads:
        raise Failed(f"{source} has {architecture.layers} layers and {architecture.heads} heads for a hidden size of "
                     f"{architecture.hidden}: not a BERT", detail={"file": str(source)})
    return architecture


def _read_config(folder: Path) -> tuple[Dialect, Architecture]:
    path = folder / "config.json"
    if not path.is_file():
        if (folder / "bert_config.json").is_file():
            target = folder.with_name(f"{folder.name}-safetensors")
            command = f"embedding-service convert {shlex.quote(str(folder))} {shlex.quote(str(target))}"
            raise _failed(folder, f"a Google TensorFlow checkpoint; convert it once, and serve the result: {command}")
        raise _failed(folder, "no encoder here (needed: config.json, model.safetensors, tokenizer.json or vocab.txt)")
    config = read_json(path)
    architecture = architecture_of(config, path)
    return DIALECTS[str(config.get("model_type", "bert"))], architecture


def tensor_names(layers: int, *, pooler: bool) -> list[str]:
    """Names of all tensors that reach hidden state number `layers` (1 = first block), and the pooler's if wanted."""
    names = [f"embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type")]
    names += _both("embeddings.LayerNorm")
    for layer in range(layers):
        for part in _LAYER_PARTS:
            names += _both(f"encoder.layer.{layer}.{part}")
    return names + (_both("pooler.dense") if pooler else [])


def stored_shape(name: str, of: Architecture) -> tuple[int, ...]:
    """The shape that a checkpoint of this architecture stores a tensor in, by its BERT name; matrices as [out, in]."""
    tables = {"word": of.vocabulary, "position": of.first_position + of.positions, "token_type": of.types}
    if name.endswith("_embeddings.weight"):
        return tables[name.split(".")[1].removesuffix("_embeddings")], of.hidden
    out, into = of.hidden, of.hidden
    if ".intermediate." in name:
        out = of.intermediate
    elif name.endswith(("output.dense.weight", "output.dense.bias")) and ".attention." not in name:
        into = of.intermediate
    return (out, into) if name.endswith(".weight") and "LayerNorm" not in name else (out,)


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


def _failed(folder: Path, what: str) -> Failed:
    return Failed(f"{folder}: {what}", detail={"folder": str(folder)})


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
