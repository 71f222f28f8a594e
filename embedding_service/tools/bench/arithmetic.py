"""The arithmetic behind the figures, so that each can be checked by hand. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.checkpoint import Architecture


def linear_flops_per_token(of: Architecture, layers: int) -> int:
    """Floating-point operations of the linear layers of blocks 1..`layers` for one token: 2 for each multiply-add.

    Attention (which grows with the text's length), embeddings, norms, activations and poolers are not counted.
    """
    return 2 * layers * of.block_weights


def percentile(values: Sequence[float], percent: float) -> float:
    """By linear interpolation between order statistics."""
    return float(np.percentile(np.asarray(values, np.float64), percent))


def share_of_peak(tokens_per_s: float, flops_per_token: float, peak_gflops: float) -> float:
    """What part of the measured matrix-product rate the linear layers of real tokens (no filler) made use of."""
    return tokens_per_s * flops_per_token / (peak_gflops * 1e9)


def cosines(vectors: Iterable[NDArray[np.float32]], truth: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    """[N], one per text, in float64; a token encoder's rows [T, D] of a text count as one long vector."""
    found = []
    for got, want in zip(vectors, truth, strict=True):
        a, b = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
        norms = float(np.linalg.norm(a) * np.linalg.norm(b))
        found.append(float(a @ b) / norms if norms else float(np.array_equal(a, b)))
    return np.array(found, np.float64)
