"""The loop, in the shape of callbacks: whenever texts arrive or a stream of a worker becomes free, it gets the next batch.

It decides nothing itself: whose turn it is the queue knows, how much a worker gets portion.py, what goes into a batch
batching.py, and what becomes of a failed one recovery.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from embedding_service.serving.admission import Load
from embedding_service.serving.cost_model import Costs
from embedding_service.serving.frames import Done
from embedding_service.serving.item import Item
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.portion import portion
from embedding_service.serving.queue import Queues, late
from embedding_service.serving.recovery import Batch, Verdict, after_death, after_error
from embedding_service.serving.worker_link import Died, Outcome
from twohop.errors import TwoHopError, Unavailable

Clock = Callable[[], float]


class Worker(Protocol):
    """One batch at a time on each of its streams, or one alone on all of them."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def is_lost(self) -> bool: ...

    @property
    def free(self) -> Sequence[int]:
        """The streams that could begin now; all of them if nothing runs."""
        ...

    @property
    def streams(self) -> int: ...

    def costs(self, weights: int) -> Costs: ...

    def busy_s(self, now: float) -> Sequence[float]:
        """For each batch that runs, seconds until it should end."""
        ...

    def free_in_s(self, now: float) -> float: ...

    def ready_in_s(self, now: float) -> float: ...

    def run(self, items: Sequence[Item], stream: int | None, expected_s: float, done: Callable[[Outcome], None]) -> None:
        """`stream` None: alone, when all are free; `expected_s`: how long it should take. Calls `done` once, later."""
        ...


class _Task(NamedTuple):
    """A batch and the stream for it (None: alone), and how long that should take."""

    batch: Batch
    stream: int | None
    expected_s: float


def _task(worker: Worker, batch: Batch, stream: int | None) -> _Task:
    return _Task(batch, stream, worker.costs(batch.weights).model(stream).seconds(batch.tokens, batch.longest))


class Scheduler:
    def __init__(self, queues: Queues, workers: Sequence[Worker], metrics: Metrics, clock: Clock = time.monotonic) -> None:
        self._queues = queues
        self._workers = workers
        self._metrics = metrics
        self._clock = clock
        self._again: deque[Batch] = deque()
        self._busy_until = 0.0

    def submit(self, items: Sequence[Item]) -> None:
        """The texts of one request: of one set of weights, and one class."""
        weights = items[0].weights
        self._queues.arrive(weights)
        self._queues[weights].put(items, self._clock(), self.seconds(weights, 1))
        self.pump()

    def withdraw(self, items: Iterable[Item]) -> None:
        for item in items:
            self._queues[item.weights].withdraw(item)

    def pump(self) -> None:
        """Gives every free stream a batch, while there are texts. Called after every change."""
        if self.is_lost:
            self._give_up()
        for worker in self._workers:
            while (free := worker.free) and (task := self._next(worker, free)) is not None:
                self._metrics.batch_tokens.observe(task.batch.tokens)
                worker.run(task.batch.items, task.stream, task.expected_s, partial(self._ended, worker, task))

    @property
    def is_ready(self) -> bool:
        """A worker lives, busy or not."""
        return any(worker.is_ready for worker in self._workers)

    @property
    def is_lost(self) -> bool:
        """No worker can be brought back for now."""
        return all(worker.is_lost for worker in self._workers)

    @property
    def load(self) -> Load:
        now = self._clock()
        online_s = bulk_s = 0.0
        for weights, queue in self._queues.items():
            if queue.tokens:
                speed = self._tokens_per_s(weights)
                online_s += queue.online_tokens / speed
                bulk_s += queue.bulk_tokens / speed
        running_s = min((worker.free_in_s(now) for worker in self._workers if worker.is_ready), default=0.0)
        return Load(online_s, bulk_s, running_s, min(worker.ready_in_s(now) for worker in self._workers))

    def seconds(self, weights: int, tokens: float) -> float:
        """That they take all workers, with nothing before them."""
        return tokens / self._tokens_per_s(weights)

    @property
    def online_tokens(self) -> int:
        """Waiting."""
        return sum(queue.online_tokens for _, queue in self._queues.items())

    @property
    def bulk_tokens(self) -> int:
        """Waiting."""
        return sum(queue.bulk_tokens for _, queue in self._queues.items())

    def _tokens_per_s(self, weights: int) -> float:
        return sum(worker.costs(weights).tokens_per_s for worker in self._workers)

    def _next(self, worker: Worker, free: Sequence[int]) -> _Task | None:
        if self._again:
            # What failed runs with nothing beside it: whoever is next to a text that kills must not be blamed for it.
            if len(free) < worker.streams:
                return None
            if (batch := self._failed_before()) is not None:
                return _task(worker, batch, None)
        while (weights := self._queues.next()) is not None:
            queue, costs = self._queues[weights], worker.costs(weights)
            if (first := queue.first) is None:
                return None
            now = self._clock()
            part = portion(queue.tokens, first.tokens, free=len(free), costs=costs, busy_s=worker.busy_s(now))
            items = queue.take(part.tokens, now, costs.alone.seconds(1))
            if items:
                task = _task(worker, Batch(items), None if part.alone else free[0])
                self._queues.give(weights, task.expected_s / (1 if part.alone else costs.streams))
                return task
        return None

    def _failed_before(self) -> Batch | None:
        while self._again:
            now = self._clock()
            batch = self._again.popleft()
            for item in batch.items:
                if item.deadline is not None and item.deadline <= now:
                    item.fail(late())
            if (batch := batch.wanted()).items:
                return batch
        return None

    def _ended(self, worker: Worker, task: _Task, outcome: Outcome) -> None:
        batch = task.batch
        if isinstance(outcome, Done):
            worker.costs(batch.weights).model(task.stream).observe(batch.tokens, batch.longest, outcome.seconds)
            self.pump()         # first the worker's next batch, then this one's callers
            self._succeeded(batch, outcome)
            return
        verdict = after_death(batch) if isinstance(outcome, Died) else after_error(batch, outcome)
        self._judge(verdict)
        self.pump()

    def _succeeded(self, batch: Batch, done: Done) -> None:
        self._metrics.filler_tokens.inc(done.filler)
        self._metrics.compute_seconds.observe(done.seconds)
        self._metrics.busy_seconds.inc(max(done.ended - max(done.began, self._busy_until), 0.0))
        self._busy_until = max(done.ended, self._busy_until)
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
        waiting = [item for batch in self._again for item in batch.items]
        for _, queue in self._queues.items():
            waiting += queue.take_all(self._clock())
        self._again.clear()
        for item in waiting:
            item.fail(lost())


def lost() -> TwoHopError:
    return Unavailable("the worker was lost and cannot be replaced for now; the service's log says why", retry_after_s=1.0)
