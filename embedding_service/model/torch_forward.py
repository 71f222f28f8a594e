"""BERT's blocks in plain torch, on rows of tokens [R, D]: only attention knows which rows belong together.

Original BERT, post-layer-norm, as in reference.py. Embeddings are added and normalised in float32 whatever the precision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from embedding_service.model.checkpoint import Checkpoint

# Query, key and value [R, heads, D / heads] of all rows to the context of the same shape.
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

AFTER_ATTENTION = ("attention.output.dense", "attention.output.LayerNorm",
                   "intermediate.dense", "output.dense", "output.LayerNorm")


class Affine(NamedTuple):
    weight: torch.Tensor
    bias: torch.Tensor


class Block(NamedTuple):
    joint: Affine           # query, key and value in one product [3 D, D]
    output: Affine
    output_norm: Affine
    wide: Affine
    narrow: Affine
    narrow_norm: Affine


class Forward:
    """The weights of blocks 1..top on a device, and the pass over them."""

    def __init__(self, checkpoint: Checkpoint, top: int, *, device: torch.device, dtype: torch.dtype) -> None:
        self._of = checkpoint.architecture
        self._dtype = dtype

        def on_device(array: NDArray[np.float32], kind: torch.dtype = dtype) -> torch.Tensor:
            return torch.tensor(array).to(device, kind)

        def affine(*prefixes: str, kind: torch.dtype = dtype) -> Affine:
            weights, biases = ([checkpoint.tensor(f"{prefix}.{part}") for prefix in prefixes] for part in ("weight", "bias"))
            return Affine(on_device(np.concatenate(weights), kind), on_device(np.concatenate(biases), kind))

        def block(at: str) -> Block:
            joint = affine(*(f"{at}.attention.self.{name}" for name in ("query", "key", "value")))
            return Block(joint, *(affine(f"{at}.{name}") for name in AFTER_ATTENTION))

        types = checkpoint.tensor("embeddings.token_type_embeddings.weight")
        positions = checkpoint.tensor("embeddings.position_embeddings.weight")
        self._words = on_device(checkpoint.tensor("embeddings.word_embeddings.weight"), torch.float32)
        self._places = on_device((types[:, None] + positions[None]).reshape(-1, self._of.hidden), torch.float32)
        self._embedding_norm = affine("embeddings.LayerNorm", kind=torch.float32)
        self._blocks = [block(f"encoder.layer.{layer}") for layer in range(top)]

    def states(
        self, ids: torch.Tensor, places: torch.Tensor, attention: Attention, top: int, wanted: Collection[int]
    ) -> dict[int, torch.Tensor]:
        """Hidden states [R, D] of the wanted layers up to `top` for ids and places (position + positions * type), int32 [R]."""
        embedded = functional.embedding(ids, self._words) + functional.embedding(places, self._places)
        x = self._norm(embedded, self._embedding_norm).to(self._dtype)
        states = {}
        for layer in range(1, top + 1):
            x = self._block(x, self._blocks[layer - 1], attention)
            if layer in wanted:
                states[layer] = x
        return states

    def _block(self, x: torch.Tensor, block: Block, attention: Attention) -> torch.Tensor:
        joint = functional.linear(x, *block.joint).view(len(x), 3, self._of.heads, -1)      # [R, 3, heads, D / heads]
        context = attention(*joint.unbind(1)).reshape(len(x), -1)                           # [R, D]
        x = self._norm(x + functional.linear(context, *block.output), block.output_norm)
        wide = self._activation(functional.linear(x, *block.wide))
        return self._norm(x + functional.linear(wide, *block.narrow), block.narrow_norm)

    def _norm(self, x: torch.Tensor, norm: Affine) -> torch.Tensor:
        return functional.layer_norm(x, (self._of.hidden,), norm.weight, norm.bias, self._of.layer_norm_eps)

    def _activation(self, x: torch.Tensor) -> torch.Tensor:
        if self._of.activation == "relu":
            return functional.relu(x)
        return functional.gelu(x, approximate="tanh" if self._of.activation == "gelu_new" else "none")


def in_blocks(sequence: torch.Tensor, key: torch.Tensor, dtype: torch.dtype) -> Attention:
    """Attention inside blocks, for int32 [n, B]: a token attends to those of its block whose key equals its sequence."""
    blocks, size = sequence.shape
    apart = (sequence[:, :, None] != key[:, None, :])[:, None]                              # [n, 1, B, B]
    # Far below every score, and finite: a row that may attend to nothing stays a number.
    mask = torch.zeros_like(apart, dtype=dtype).masked_fill_(apart, torch.finfo(dtype).min / 2)

    def attention(*parts: torch.Tensor) -> torch.Tensor:
        query, key, value = (part.view(blocks, size, *part.shape[1:]).transpose(1, 2) for part in parts)
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return context.transpose(1, 2)

    return attention


def in_sequences(bounds: torch.Tensor, longest: int) -> Attention:
    """Attention inside each sequence: int32 bounds [N + 1] in the rows, none longer than `longest`. By the kernel of variable
    length on CUDA, at float16 and bfloat16; elsewhere sequence by sequence."""
    if bounds.is_cuda:
        from torch.nn.attention.varlen import varlen_attn

        # Only what torch 2.11 to 2.13 have in common.
        return lambda query, key, value: varlen_attn(query, key, value, bounds, bounds, longest, longest)
    return _one_by_one(bounds.tolist())


def _one_by_one(bounds: list[int]) -> Attention:
    def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        context = torch.zeros(query.shape, dtype=query.dtype)
        for start, end in pairwise(bounds):
            if end > start:
                own = (part[start:end].transpose(0, 1) for part in (query, key, value))    # [heads, length, D / heads]
                context[start:end] = functional.scaled_dot_product_attention(*own).transpose(0, 1)
        return context

    return attention
