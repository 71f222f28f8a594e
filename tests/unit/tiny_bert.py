"""A BERT folder of a few kilobytes with random weights, written by the safetensors library, for tests without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from embedding_service.model.checkpoint import Architecture, tensor_names

CONFIG: dict[str, Any] = {
    "model_type": "bert", "num_hidden_layers": 4, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 40, "max_position_embeddings": 24, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij.,!", "##a", "##b", "##c", "un", "##able", "我", "爱",
         *(f"[unused{number}]" for number in range(15))]
OF = Architecture(4, 16, 2, 32, 40, 24, 2, "gelu", 1e-12)


def shape(name: str) -> tuple[int, ...]:
    sizes = {"word": (40, 16), "position": (24, 16), "token_type": (2, 16)}
    if name.endswith("_embeddings.weight"):
        return sizes[name.split(".")[1].removesuffix("_embeddings")]
    wide = ".intermediate." in name
    narrow = ".output.dense" in name and "attention" not in name
    if name.endswith(".weight") and "LayerNorm" not in name:
        return (32, 16) if wide else (16, 32) if narrow else (16, 16)
    return (32,) if wide else (16,)


def tensors(prefix: str = "") -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {prefix + name: random.normal(scale=0.1, size=shape(name)).astype(np.float32) for name in tensor_names(4, pooler=True)}


def write(folder: Path, *, config: dict[str, Any] | None = None, weights: dict[str, np.ndarray] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    save_file(tensors() if weights is None else weights, folder / "model.safetensors")
    return folder
