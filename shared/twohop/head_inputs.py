"""What a head is fed, by the names of its inputs: vectors of hop 1, padded where they are ragged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from twohop.errors import InvalidInput
from twohop.heads import REQUEST_BYTES, mismatch
from twohop.types import Embeddings, HeadSignature

_KNOWN = {"embedding", "tokens", "mask", "text"}
_FLOAT32_BYTES = 4


def head_inputs(
    signature: HeadSignature, vectors: Embeddings, texts: Sequence[str]
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The inputs of `signature` for all texts, in order, in batches: `embedding` [B, D], or `tokens` [B, T, D] and `mask`
    [B, T] where T is the batch's longest text, and `text` [B] as asked.

    Raises EncoderMismatch for vectors of the other sort (pooled, one per token), InvalidInput for a head with an input
    that no encoder gives.
    """
    foreign = sorted(set(signature.inputs) - _KNOWN)
    if foreign or not {"embedding", "tokens"} & set(signature.inputs):
        raise InvalidInput(
            f"head '{signature.head}' takes {sorted(signature.inputs)}: only embedding, tokens with mask, and text can be given"
        )
    if "tokens" in signature.inputs:
        for part in _padded_batches(vectors.rows, vectors.vectors.shape[1]):
            tokens, mask = _pad([vectors.of(index) for index in range(part.start, part.stop)])
            yield _chosen(signature, {"tokens": tokens, "mask": mask}, texts[part])
        return
    if any(rows != 1 for rows in vectors.rows):
        raise mismatch(signature, vectors.fingerprint, "it takes one per text, not one per token")
    yield _chosen(signature, {"embedding": vectors.vectors}, texts)


def _chosen(
    signature: HeadSignature, given: dict[str, npt.NDArray[Any]], texts: Sequence[str]
) -> dict[str, npt.NDArray[Any]]:
    if "text" in signature.inputs:
        given["text"] = np.array(texts, object)
    return {name: given[name] for name in signature.inputs if name in given}


def _padded_batches(rows: Sequence[int], dimension: int) -> Iterator[slice]:
    """Runs of texts whose padded tokens fit into one request; a longer text has one of its own."""
    start, longest = 0, 0
    for index, count in enumerate(rows):
        padded = max(longest, count) * (index - start + 1) * dimension * _FLOAT32_BYTES
        if index > start and padded > REQUEST_BYTES:
            yield slice(start, index)
            start, longest = index, 0
        longest = max(longest, count)
    yield slice(start, len(rows))


def _pad(rows: Sequence[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """tokens [B, T, D] and mask [B, T], 1 where there is a token."""
    longest = max(len(row) for row in rows)
    tokens = np.zeros((len(rows), longest, rows[0].shape[1]), np.float32)
    mask = np.zeros((len(rows), longest), np.float32)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return tokens, mask
