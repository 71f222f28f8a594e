"""What batches cost on this machine, measured by the worker before it is ready: see cost_model.py for what comes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from embedding_service.model.encoder import Item, Output
from embedding_service.model.packing import BLOCK
from embedding_service.serving.cost_model import Measured

SHORT = 16              # tokens of the texts that fill a batch
ROUNDS = 2


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

    def alone(tokens: int, each: int) -> float:
        return min(_seconds(model, encoder, tokens, each, None) for _ in range(ROUNDS))

    def beside(tokens: int, each: int) -> float:
        """On every stream at the same time; of all, the middle."""
        rounds = [
            list(pool.map(lambda stream: _seconds(model, encoder, tokens, each, stream), range(model.streams)))
            for _ in range(ROUNDS)
        ]
        return min(sorted(seconds)[len(seconds) // 2] for seconds in rounds)

    points = [(size, beside(size, SHORT)) for size in sizes]
    longest = min(longest, most)
    extra = beside(most // longest * longest, longest) / beside(most // longest * longest, SHORT) - 1 if longest > BLOCK else 0.0
    return Measured(
        points if model.streams == 1 else [(size, alone(size, SHORT)) for size in sizes],
        points,
        max(extra, 0.0) / max(longest - BLOCK, 1),
        BLOCK,
    )


def _seconds(model: Model, encoder: int, tokens: int, each: int, stream: int | None) -> float:
    """`tokens` in texts of `each`."""
    items: list[Item] = [(encoder, np.zeros(each, np.int32), None)] * max(1, tokens // each)
    began = time.perf_counter()
    model.run(items, stream)
    return time.perf_counter() - began
