"""The forward pass in plain numpy float32, one sequence at a time: what every engine is held against, in tests and at start.

Original BERT, post-layer-norm (reference/bert-as-service.md section 4.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.checkpoint import Checkpoint

Rows = NDArray[np.float32]


def hidden_states(
    checkpoint: Checkpoint,
    ids: NDArray[np.int32],
    layers: Collection[int],
    *,
    types: NDArray[np.int32] | None = None,
    attended: NDArray[np.bool_] | None = None,
    see: Callable[[str, Rows], None] | None = None,
) -> dict[int, Rows]:
    """Hidden states [T, D] of each wanted layer (1 = first block) of one sequence ids [T]; nobody attends to tokens that are
    not `attended` (None: all are). `see` is called with the prefix and the input [T, in] of every linear layer."""
    length = len(ids)
    segments = np.zeros(length, np.int32) if types is None else types
    x = (checkpoint.tensor("embeddings.word_embeddings.weight")[ids]
         + checkpoint.tensor("embeddings.position_embeddings.weight")[:length]
         + checkpoint.tensor("embeddings.token_type_embeddings.weight")[segments])
    x = _layer_norm(checkpoint, x, "embeddings.LayerNorm")
    mask = np.zeros(length, np.float32) if attended is None else np.where(attended, 0, -1e9).astype(np.float32)
    states = {}
    for layer in range(1, max(layers) + 1):
        x = _block(checkpoint, x, mask, f"encoder.layer.{layer - 1}", see or _ignore)
        if layer in layers:
            states[layer] = x
    return states


def _ignore(prefix: str, x: Rows) -> None:
    """Nobody looks."""


def _block(checkpoint: Checkpoint, x: Rows, mask: Rows, at: str, see: Callable[[str, Rows], None]) -> Rows:
    length, heads = len(x), checkpoint.architecture.heads

    def linear(rows: Rows, name: str) -> Rows:
        see(f"{at}.{name}", rows)
        return _linear(checkpoint, rows, f"{at}.{name}")

    def split(name: str) -> Rows:                                   # [heads, T, D / heads]
        return linear(x, f"attention.self.{name}").reshape(length, heads, -1).transpose(1, 0, 2)

    query, key, value = split("query"), split("key"), split("value")
    scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1])) + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    context = (weights / weights.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(length, -1)
    attended = linear(context, "attention.output.dense")
    x = _layer_norm(checkpoint, x + attended, f"{at}.attention.output.LayerNorm")
    wide = _activation(linear(x, "intermediate.dense"), checkpoint.architecture.activation)
    return _layer_norm(checkpoint, x + linear(wide, "output.dense"), f"{at}.output.LayerNorm")


def _linear(checkpoint: Checkpoint, x: Rows, prefix: str) -> Rows:
    product: Rows = x @ checkpoint.tensor(f"{prefix}.weight").T + checkpoint.tensor(f"{prefix}.bias")
    return product


def _layer_norm(checkpoint: Checkpoint, x: Rows, prefix: str) -> Rows:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(checkpoint.architecture.layer_norm_eps))
    normal: Rows = scaled * checkpoint.tensor(f"{prefix}.weight") + checkpoint.tensor(f"{prefix}.bias")
    return normal


def _activation(x: Rows, name: str) -> Rows:
    if name == "relu":
        return np.maximum(x, np.float32(0))
    if name == "gelu_new":
        bent = np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)).astype(np.float32)
    else:
        bent = np.frompyfunc(math.erf, 1, 1)(x / np.float32(math.sqrt(2))).astype(np.float32)
    activated: Rows = x * (np.float32(1) + bent) * np.float32(0.5)
    return activated
