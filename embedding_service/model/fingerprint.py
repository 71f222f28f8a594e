"""The identity of an encoder: the contract's JSON, its SHA-256, and `enc-` with the first 12 hex digits of that.

Only what reaches the output is hashed: layers above the highest pooled one are not, and the pooler only for cls-pooled.
Engine and precision are not in it; they are the numerics class.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedding_service.model.checkpoint import Architecture, Checkpoint, tensor_names
from embedding_service.model.spec import EncoderSpec

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Fingerprint:
    identity_json: str
    sha256: str                 # 64 hex digits, of identity_json in UTF-8

    def __str__(self) -> str:
        return f"enc-{self.sha256[:12]}"


def fingerprint(spec: EncoderSpec, *, weights: str, vocabulary: str, tokenizer: Mapping[str, Any]) -> Fingerprint:
    """`weights`, `vocabulary`: hex SHA-256 of hash_weights and hash_vocabulary; `tokenizer`: Tokenizer.identity."""
    identity = {
        "format": FORMAT,
        "architecture": _architecture(spec.architecture),
        "weights": weights,
        "vocabulary": vocabulary,
        "tokenizer": dict(tokenizer),
        "pooling": spec.pooling,
        "layers": list(spec.layers),
        "mask_special": spec.mask_special,
        "normalize": spec.normalize,
        "max_length": spec.max_length,
        "truncation": "right",
        "special_tokens": True,
        "positions": True,
        "dimension": spec.dimension,
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Fingerprint(text, hashlib.sha256(text.encode()).hexdigest())


def needed_tensors(spec: EncoderSpec) -> list[str]:
    """Names of the tensors that reach this encoder's output."""
    return tensor_names(spec.top, pooler=spec.pooling == "cls-pooled")


def hash_weights(checkpoint: Checkpoint, names: Iterable[str]) -> str:
    """One SHA-256 over all: for each name, sorted: name, NUL, shape joined by x, NUL, float32 little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(names):
        tensor = checkpoint.tensor(name)
        digest.update(f"{name}\0{'x'.join(map(str, tensor.shape))}\0".encode())
        digest.update(np.ascontiguousarray(tensor, "<f4").data)
    return digest.hexdigest()


def hash_vocabulary(tokens: Iterable[str]) -> str:
    """SHA-256 of the tokens, in the order of their ids, joined by LF."""
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest()


def _architecture(of: Architecture) -> dict[str, Any]:
    return {"type": "bert", "heads": of.heads, "activation": of.activation, "layer_norm_eps": repr(of.layer_norm_eps)}
