"""What batches cost on this machine, measured by the worker before it is ready: see cost_model.py for what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from embedding_service.model.encoder import Item, Output
from embedding_service.model.packing import BLOCK
from embedding_service.serving.cost_model import Measured, Points

SHORT = 16              # tokens of the texts that fill a batch
ROUNDS = 3


class Model(Protocol):
    """What a worker needs of `Encoders`."""

    @property
    def numerics(self) -> str: ...

    @property
    def streams(self) -> int: ...

    @property
    def weights(self) -> Sequence[tuple[int, int]]:
        """For each set of weights, an encoder over it and the tokens of the longest text."""
        ...

    @property
    def tokens_per_batch(self) -> int: ...

    def run(self, items: Sequence[Item], stream: int | None = None) -> Output: ...


def measure(model: Model) -> list[Measured]:
    """For each set of weights."""
    with ThreadPoolExecutor(model.streams) as pool:
        return [_measure(model, encoder, longest, pool) for encoder, longest in model.weights]


def _measure(model: Model, encoder: int, longest: int, pool: ThreadPoolExecutor) -> Measured:
    most = model.tokens_per_batch
    sizes = sorted({size for size in (SHORT, most // 8, most // 4, most // 2, most) if size >= SHORT})

    def alone(size: int) -> float:
        return _seconds(model, encoder, size, SHORT, None)

    def beside(size: int, each: int = SHORT) -> float:
        """On every stream at the same time; of all, the middle."""
        seconds = list(pool.map(lambda stream: _seconds(model, encoder, size, each, stream), range(model.streams)))
        return sorted(seconds)[len(seconds) // 2]

    points = _fastest(beside, sizes)
    longest = min(longest, most)
    per_long_token = 0.0
    if longest > BLOCK:
        (_, short), (_, long) = _fastest(lambda each: beside(most // longest * longest, each), (SHORT, longest))
        per_long_token = max(long / short - 1, 0.0) / (longest - BLOCK)
    return Measured(points if model.streams == 1 else _fastest(alone, sizes), points, per_long_token, BLOCK)


def _fastest(seconds: Callable[[int], float], sizes: Sequence[int]) -> Points:
    """Of some rounds over all sizes: a moment in which the machine is busy does not fall on one size."""
    rounds = [[seconds(size) for size in sizes] for _ in range(ROUNDS)]
    return list(zip(sizes, map(min, *rounds), strict=True))


def _seconds(model: Model, encoder: int, tokens: int, each: int, stream: int | None) -> float:
    """`tokens` in texts of `each`."""
    items: list[Item] = [(encoder, np.zeros(each, np.int32), None)] * max(1, tokens // each)
    began = time.perf_counter()
    model.run(items, stream)
    return time.perf_counter() - began
