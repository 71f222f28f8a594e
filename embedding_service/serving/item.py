"""What waits: a tokenised text (`Item`), and the texts of one request that end together (`Call`).

Every item ends exactly once: with its vectors, with an error, or withdrawn because its caller no longer wants it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twohop.errors import TwoHopError

Vectors = NDArray[np.float32]
Ids = NDArray[np.int32]


class Owner(Protocol):
    """Whom an item tells how it ended: its call, or the flight that several calls wait for."""

    def item_succeeded(self) -> None: ...

    def fail(self, error: TwoHopError) -> None: ...


class Item:
    """One text: `ids` int32 [T] and `types` int32 [T] (None: all 0) for the encoder of number `encoder`, which is one of those
    over the set of `weights`. `turn` orders those that wait (queue.py).

    Times are of one monotonic clock, in seconds; `deadline` None waits for ever.
    """

    __slots__ = ("_owner", "bulk", "compute_s", "deadline", "encoder", "ended_at", "enqueued_at", "error", "ids", "is_over",
                 "started_at", "tokens", "turn", "types", "vectors", "weights")

    def __init__(
        self, owner: Owner, encoder: int, ids: Ids, types: Ids | None, *,
        weights: int = 0, bulk: bool = False, deadline: float | None = None,
    ) -> None:
        self._owner = owner
        self.encoder = encoder
        self.ids = ids
        self.types = types
        self.tokens = len(ids)
        self.bulk = bulk
        self.deadline = deadline
        self.weights = weights
        self.turn = self.enqueued_at = self.ended_at = self.compute_s = 0.0
        self.started_at: float | None = None        # left the queue
        self.vectors: Vectors | None = None         # [rows, D] once it has succeeded
        self.error: TwoHopError | None = None       # once it has failed
        self.is_over = False

    def succeed(self, vectors: Vectors, *, compute_s: float, now: float) -> None:
        if self._end():
            self.vectors, self.compute_s, self.ended_at = vectors, compute_s, now
            self._owner.item_succeeded()

    def fail(self, error: TwoHopError) -> None:
        if self._end():
            self.error = error
            self._owner.fail(error)

    def withdraw(self) -> None:
        """Its caller has left, or has its answer already: no longer worth computing."""
        self._end()

    def _end(self) -> bool:
        """Whether this is the end: the first one counts, later ones change nothing."""
        is_first, self.is_over = not self.is_over, True
        return is_first


class Call:
    """The items of one request. It ends when all have succeeded, or with the first error."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.items: Sequence[Item] = ()
        self._left = 0
        self._future: asyncio.Future[None] = loop.create_future()

    def begin(self, items: Sequence[Item]) -> None:
        """Before the first of them can end."""
        self.items, self._left = items, len(items)

    def item_succeeded(self) -> None:
        self._left -= 1
        if not self._left and not self._future.done():
            self._future.set_result(None)

    def fail(self, error: TwoHopError) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    async def ended(self) -> None:
        """Raises the first error of an item."""
        await self._future
