"""The scheduler with its queue, on lanes that do nothing by themselves: each test says what happens and when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.serving.cost_model import Costs, Measured
from embedding_service.serving.frames import Done
from embedding_service.serving.item import Call, Item
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.queue import Queues
from embedding_service.serving.scheduler import Scheduler
from embedding_service.serving.worker_link import Died, Outcome
from twohop.errors import DeadlineExceeded, InvalidInput, Unavailable

# Alone, 100 tokens take half as long as on one of two streams.
COSTS = Measured([(10, 0.1), (100, 0.5)], [(10, 0.12), (100, 1.0)])


class FakeWorker:
    """A worker that runs what it is given until the test says how that ended."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.is_ready, self.is_lost = True, False
        self.batches: list[list[int]] = []                                      # first token of each item
        self.running: dict[int | None, tuple[Sequence[Item], Callable[[Outcome], None]]] = {}
        self._costs = Costs(COSTS, streams)

    @property
    def free(self) -> Sequence[int]:
        if not self.is_ready or None in self.running:
            return ()
        return [stream for stream in range(self.streams) if stream not in self.running]

    def costs(self, weights: int) -> Costs:
        return self._costs

    def busy_s(self, now: float) -> Sequence[float]:
        return [0.25] * len(self.running)

    def free_in_s(self, now: float) -> float:
        return 0.0 if self.free else 0.25

    def ready_in_s(self, now: float) -> float:
        return 0.0 if self.is_ready else 2.0

    def run(self, items: Sequence[Item], stream: int | None, expected_s: float, done: Callable[[Outcome], None]) -> None:
        assert len(self.free) == self.streams if stream is None else stream in self.free
        self.running[stream] = items, done
        self.batches.append([int(item.ids[0]) for item in items])

    def end(self, outcome: Outcome | None = None, stream: int | None = 0) -> None:
        """None: the vectors of what it runs, [the first token]."""
        items, done = self.running.pop(stream)
        done(outcome or Done([np.full((1, 1), item.ids[0], np.float32) for item in items], 1000.0, 1001.0, 0))


@dataclass
class World:
    scheduler: Scheduler
    workers: list[FakeWorker]
    now: list[float]

    @property
    def worker(self) -> FakeWorker:
        return self.workers[0]

    def submit(self, name: int, tokens: int = 40, count: int = 1, **more: Any) -> tuple[Item, Call]:
        """`count` equal texts in one request; the first of them."""
        call = Call(asyncio.get_running_loop())
        items = [Item(call, 0, np.full(tokens, name, np.int32), None, **more) for _ in range(count)]
        call.begin(items)
        self.scheduler.submit(items)
        return items[0], call


def run(check: Callable[[World], Awaitable[None]], workers: int = 1, streams: int = 1) -> None:
    async def go() -> None:
        now, made = [1000.0], [FakeWorker(streams) for _ in range(workers)]
        await check(World(Scheduler(Queues(0.2), made, Metrics(), lambda: now[0]), made, now))

    asyncio.run(go())


def test_an_idle_worker_gets_a_text_at_once_and_later_ones_share_the_next_batch() -> None:
    async def check(world: World) -> None:
        lane = world.worker
        calls = [world.submit(name)[1] for name in range(4)]
        assert lane.batches == [[0]]
        lane.end()
        assert lane.batches == [[0], [1, 2]]
        lane.end()
        lane.end()
        assert lane.batches[2:] == [[3]]
        for call in calls:
            await call.ended()

    run(check)


def test_several_workers_work_side_by_side() -> None:
    async def check(world: World) -> None:
        for name in range(3):
            world.submit(name)
        assert [worker.batches for worker in world.workers] == [[[0]], [[1]]]
        world.workers[1].end()
        assert world.workers[1].batches == [[1], [2]]

    run(check, workers=2)


def test_a_little_work_has_the_whole_machine_and_much_is_shared_out_to_the_streams() -> None:
    async def check(world: World) -> None:
        worker = world.worker
        world.submit(0)
        assert list(worker.running) == [None]
        world.submit(1, tokens=30, count=6)
        worker.end(stream=None)
        assert worker.batches == [[0], [1, 1, 1], [1, 1, 1]]
        assert sorted(worker.running) == [0, 1]
        world.submit(2)
        worker.end(stream=1)
        assert sorted(worker.running) == [0, 1]
        assert worker.batches[3:] == [[2]]

    run(check, streams=2)


def test_what_a_dead_worker_was_at_runs_again_with_nothing_beside_it() -> None:
    async def check(world: World) -> None:
        worker = world.worker
        world.submit(1, tokens=30, count=6)
        world.submit(2, tokens=30, count=6)
        worker.is_ready = False
        worker.end(Died(), stream=0)
        worker.end(Died(), stream=1)
        worker.is_ready = True
        world.scheduler.pump()
        assert list(worker.running) == [None]
        worker.end(stream=None)
        assert list(worker.running) == [None]
        worker.end(stream=None)
        assert sorted(worker.running) == [0, 1]

    run(check, streams=2)


def test_a_single_text_does_not_wait_for_all_of_a_request_of_thousands() -> None:
    async def check(world: World) -> None:
        worker = world.worker
        world.submit(1, tokens=50, count=40)
        world.now[0] += 1.0
        worker.end()
        world.submit(2)
        worker.end()
        assert worker.batches == [[1, 1], [1, 1], [2, 1]]

    run(check)


def test_sets_of_weights_take_turns_by_the_time_they_were_given() -> None:
    async def check(world: World) -> None:
        worker = world.worker
        for _ in range(20):
            world.submit(1, tokens=100, weights=0)
            world.submit(2, tokens=100, weights=1)
        world.submit(1, count=40, tokens=100, weights=0)
        for _ in range(30):
            worker.end()
        assert all(len(batch) == 1 for batch in worker.batches)
        first = [batch[0] for batch in worker.batches[:30]]
        assert abs(first.count(1) - first.count(2)) <= 1

    run(check)


def test_a_text_whose_time_is_over_or_whose_caller_left_is_not_computed() -> None:
    async def check(world: World) -> None:
        lane = world.worker
        world.submit(0)
        _, late = world.submit(1, deadline=1005.0)
        left, _ = world.submit(2)
        world.submit(3)
        assert world.scheduler.online_tokens == 120
        world.scheduler.withdraw([left])
        assert world.scheduler.online_tokens == 80
        world.now[0] = 1006.0
        lane.end()
        assert lane.batches == [[0], [3]]
        assert world.scheduler.online_tokens == 0
        with pytest.raises(DeadlineExceeded):
            await late.ended()

    run(check)


def test_a_batch_whose_worker_died_runs_before_anything_new_once_there_is_another() -> None:
    async def check(world: World) -> None:
        lane = world.worker
        _, call = world.submit(0)
        world.submit(1)
        lane.is_ready = False
        lane.end(Died())
        assert lane.batches == [[0]]
        lane.is_ready = True
        world.scheduler.pump()
        assert lane.batches == [[0], [0]]
        lane.end(stream=None)
        await call.ended()

    run(check)


def test_where_no_worker_can_be_had_everybody_who_waits_is_told() -> None:
    async def check(world: World) -> None:
        lane = world.worker
        calls = [world.submit(name)[1] for name in range(3)]
        lane.is_ready, lane.is_lost = False, True
        lane.end(Died())
        for call in calls:
            with pytest.raises(Unavailable):
                await call.ended()
        assert world.scheduler.online_tokens == 0

    run(check)


def test_many_who_left_do_not_fill_the_memory() -> None:
    async def check(world: World) -> None:
        world.submit(0)
        kept = []
        for _ in range(5000):
            item, call = world.submit(1)
            world.scheduler.withdraw([item])
            kept.append(weakref.ref(call))
        del item, call
        gc.collect()
        assert sum(each() is not None for each in kept) < 2000

    run(check)


def test_an_item_ends_once_whatever_is_said_later() -> None:
    async def check(world: World) -> None:
        item, call = world.submit(7)
        world.worker.end()
        item.fail(Unavailable("too late"))
        item.withdraw()
        await call.ended()
        assert item.vectors is not None
        assert item.vectors.tolist() == [[7.0]]

    run(check)


steps = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 90), st.integers(1, 12), st.booleans(), st.sampled_from([None, 0.5, 5.0])),
    st.tuples(st.just("end"), st.integers(0, 3)),
    st.tuples(st.just("raise"), st.integers(0, 3)),
    st.tuples(st.just("die")),
    st.tuples(st.just("revive")),
    st.tuples(st.just("leave"), st.integers(0, 50)),
    st.tuples(st.just("wait"), st.floats(0, 1)),
)


@given(steps=st.lists(steps, max_size=60), streams=st.integers(1, 3))
def test_every_text_that_was_taken_ends_once_whatever_happens(steps: list[Any], streams: int) -> None:
    """Requests of both classes and of two sets of weights come and leave, batches succeed and fail, the worker dies and is
    replaced, deadlines pass; then all is calm, and nobody waits any more."""
    async def check(world: World) -> None:
        worker, calls = world.worker, []

        def end(which: int, outcome: Outcome | None) -> None:
            if worker.running:
                worker.end(outcome, sorted(worker.running, key=str)[which % len(worker.running)])

        for number, (what, *how) in enumerate(steps):
            if what == "submit":
                tokens, count, bulk, left_s = how
                deadline = None if left_s is None else world.now[0] + left_s
                calls.append(world.submit(number, tokens, count, bulk=bulk, deadline=deadline, weights=number % 2)[1])
            elif what in ("end", "raise"):
                end(how[0], InvalidInput("no") if what == "raise" else None)
            elif what == "die" and worker.is_ready:
                worker.is_ready = False
                while worker.running:
                    end(0, Died())
            elif what == "leave" and calls:
                world.scheduler.withdraw(calls[how[0] % len(calls)].items)
            elif what == "wait":
                world.now[0] += how[0]
            elif what == "revive":
                worker.is_ready = True
                world.scheduler.pump()
        worker.is_ready = True
        world.scheduler.pump()
        while worker.running:
            end(0, None)
        assert world.scheduler.online_tokens == world.scheduler.bulk_tokens == 0
        for call in calls:
            ended = all(item.is_over for item in call.items)
            failed = call._future.done() and call._future.exception() is not None       # retrieved: no warning of asyncio's
            assert ended or failed

    run(check, streams=streams)
