"""The loop, in the shape of callbacks: whenever texts arrive or a lane becomes free, a free lane gets the next batch.

It decides nothing itself: what goes into a batch is batching.py's, what becomes of a failed one recovery.py's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from embedding_service.serving.admission import Load
from embedding_service.serving.cost_model import CostModel
from embedding_service.serving.frames import Done
from embedding_service.serving.item import Item
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.queue import Queue
from embedding_service.serving.recovery import Batch, Verdict, after_death, after_error
from embedding_service.serving.worker_link import Died, Outcome
from twohop.errors import TwoHopError, Unavailable

Clock = Callable[[], float]


class Lane(Protocol):
    """A worker, from where the scheduler stands: one batch at a time."""

    @property
    def is_free(self) -> bool: ...

    @property
    def is_ready(self) -> bool: ...

    @property
    def is_lost(self) -> bool: ...

    @property
    def tokens_per_batch(self) -> int: ...

    @property
    def cost(self) -> CostModel: ...

    def free_in_s(self, now: float) -> float: ...

    def run(self, items: Sequence[Item], done: Callable[[Outcome], None]) -> None: ...


class Scheduler:
    def __init__(self, queue: Queue, lanes: Sequence[Lane], metrics: Metrics, clock: Clock = time.monotonic) -> None:
        self._queue = queue
        self._lanes = lanes
        self._metrics = metrics
        self._clock = clock
        self._again: deque[Batch] = deque()

    def submit(self, items: Sequence[Item]) -> None:
        self._queue.put(items, self._clock())
        self.pump()

    def withdraw(self, items: Iterable[Item]) -> None:
        self._queue.withdraw(items)

    def pump(self) -> None:
        """Gives every free lane a batch, while there are texts. Called after every change."""
        if self.is_lost:
            self._give_up()
        for lane in self._lanes:
            while lane.is_free and (batch := self._next(lane.tokens_per_batch)) is not None:
                self._metrics.batch_tokens.observe(batch.tokens)
                lane.run(batch.items, partial(self._ended, lane, batch))

    @property
    def is_ready(self) -> bool:
        """A worker lives, busy or not."""
        return any(lane.is_ready for lane in self._lanes)

    @property
    def is_lost(self) -> bool:
        """No lane can be brought back for now."""
        return all(lane.is_lost for lane in self._lanes)

    @property
    def load(self) -> Load:
        now = self._clock()
        return Load(
            self._queue.online_tokens,
            self._queue.bulk_tokens,
            min(lane.free_in_s(now) for lane in self._lanes),
            sum(lane.cost.tokens_per_s for lane in self._lanes),
        )

    def _next(self, budget: int) -> Batch | None:
        while self._again:
            batch = self._again.popleft().wanted(self._clock())
            if batch.items:
                return batch
        items = self._queue.take(budget, self._clock())
        return Batch(items) if items else None

    def _ended(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        if isinstance(outcome, Done):
            self.pump()         # first the worker's next batch, then this one's callers
            self._succeeded(lane, batch, outcome)
            return
        verdict = after_death(batch) if isinstance(outcome, Died) else after_error(batch, outcome)
        self._judge(verdict)
        self.pump()

    def _succeeded(self, lane: Lane, batch: Batch, done: Done) -> None:
        lane.cost.observe(batch.tokens, done.seconds)
        self._metrics.filler_tokens.inc(done.filler)
        self._metrics.compute_seconds.observe(done.seconds)
        now = self._clock()
        for item, vectors in zip(batch.items, done.vectors, strict=True):
            item.succeed(vectors, compute_s=done.seconds, now=now)

    def _judge(self, verdict: Verdict) -> None:
        self._again.extendleft(reversed(verdict.again))
        if verdict.failed is not None:
            item, error = verdict.failed
            item.fail(error)

    def _give_up(self) -> None:
        """Nobody can say when a worker comes back: callers may have another address to ask."""
        waiting = [item for batch in self._again for item in batch.items] + self._queue.take_all(self._clock())
        self._again.clear()
        for item in waiting:
            item.fail(lost())


def lost() -> TwoHopError:
    return Unavailable("the worker was lost and cannot be replaced for now; the service's log says why", retry_after_s=1.0)
