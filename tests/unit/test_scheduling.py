"""The scheduler with its queue, on lanes that do nothing by themselves: each test says what happens and when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.encoder import Item as Triple
from embedding_service.serving import frames
from embedding_service.serving.cost_model import CostModel
from embedding_service.serving.frames import Done, Kind, Reader
from embedding_service.serving.item import Call, Item
from embedding_service.serving.limits import Limits
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.queue import Queue
from embedding_service.serving.scheduler import Scheduler
from embedding_service.serving.tokenizing import pieces
from embedding_service.serving.worker_link import Died, Outcome
from twohop.errors import DeadlineExceeded, InvalidInput, TooLarge, TwoHopError, Unavailable


@dataclass
class FakeLane:
    """A worker that runs what it is given until the test says how that ended."""

    tokens_per_batch: int = 100
    is_ready: bool = True
    is_lost: bool = False
    cost: CostModel = field(default_factory=lambda: CostModel([(100, 1.0)]))
    running: Sequence[Item] = ()
    batches: list[list[int]] = field(default_factory=list)
    _done: Callable[[Outcome], None] | None = None

    @property
    def is_free(self) -> bool:
        return self.is_ready and self._done is None

    def free_in_s(self, now: float) -> float:
        return 0.0 if self.is_free else 0.25

    def run(self, items: Sequence[Item], done: Callable[[Outcome], None]) -> None:
        assert self.is_free
        self.running, self._done = items, done
        self.batches.append([int(item.ids[0]) for item in items])

    def end(self, outcome: Outcome | None = None) -> None:
        """None: the vectors of what it runs, [the first token]."""
        done, self._done = self._done, None
        assert done is not None
        done(outcome or Done([np.full((1, 1), item.ids[0], np.float32) for item in self.running], 1.0, 0))


@dataclass
class World:
    scheduler: Scheduler
    lanes: list[FakeLane]
    now: list[float]

    def submit(self, name: int, tokens: int = 40, **more: Any) -> tuple[Item, Call]:
        call = Call(asyncio.get_running_loop())
        item = Item(call, 0, np.full(tokens, name, np.int32), None, **more)
        call.begin([item])
        self.scheduler.submit([item])
        return item, call


def run(check: Callable[[World], Awaitable[None]], lanes: int = 1) -> None:
    async def go() -> None:
        now, made = [1000.0], [FakeLane() for _ in range(lanes)]
        await check(World(Scheduler(Queue(0.2), made, Metrics(), lambda: now[0]), made, now))

    asyncio.run(go())


def test_an_idle_worker_gets_a_text_at_once_and_later_ones_share_the_next_batch() -> None:
    async def check(world: World) -> None:
        (lane,) = world.lanes
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


def test_several_lanes_work_side_by_side() -> None:
    async def check(world: World) -> None:
        for name in range(3):
            world.submit(name)
        assert [lane.batches for lane in world.lanes] == [[[0]], [[1]]]
        world.lanes[1].end()
        assert world.lanes[1].batches == [[1], [2]]

    run(check, lanes=2)


def test_a_text_whose_time_is_over_or_whose_caller_left_is_not_computed() -> None:
    async def check(world: World) -> None:
        (lane,) = world.lanes
        world.submit(0)
        _, late = world.submit(1, deadline=1005.0)
        left, _ = world.submit(2)
        world.submit(3)
        assert world.scheduler.load.online_tokens == 120
        world.scheduler.withdraw([left])
        assert world.scheduler.load.online_tokens == 80
        world.now[0] = 1006.0
        lane.end()
        assert lane.batches == [[0], [3]]
        assert world.scheduler.load.online_tokens == 0
        with pytest.raises(DeadlineExceeded):
            await late.ended()

    run(check)


def test_a_batch_whose_worker_died_runs_before_anything_new_once_there_is_another() -> None:
    async def check(world: World) -> None:
        (lane,) = world.lanes
        _, call = world.submit(0)
        world.submit(1)
        lane.is_ready = False
        lane.end(Died())
        assert lane.batches == [[0]]
        lane.is_ready = True
        world.scheduler.pump()
        assert lane.batches == [[0], [0]]
        lane.end()
        await call.ended()

    run(check)


def test_where_no_worker_can_be_had_everybody_who_waits_is_told() -> None:
    async def check(world: World) -> None:
        (lane,) = world.lanes
        calls = [world.submit(name)[1] for name in range(3)]
        lane.is_ready, lane.is_lost = False, True
        lane.end(Died())
        for call in calls:
            with pytest.raises(Unavailable):
                await call.ended()
        assert world.scheduler.load.online_tokens == 0

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
        world.lanes[0].end()
        item.fail(Unavailable("too late"))
        item.withdraw()
        await call.ended()
        assert item.vectors is not None
        assert item.vectors.tolist() == [[7.0]]

    run(check)


# --- what crosses the pipe

ids_of_texts = st.lists(st.integers(0, 30_000), min_size=1, max_size=20)
triples = st.lists(st.tuples(st.integers(0, 5), ids_of_texts, st.booleans()), min_size=1)


@given(given=triples)
def test_a_batch_arrives_as_it_was_sent(given: list[tuple[int, list[int], bool]]) -> None:
    loop = asyncio.new_event_loop()
    try:
        call = Call(loop)
    finally:
        loop.close()
    sent = [
        Item(call, encoder, np.array(ids, np.int32), np.array(ids, np.int32) % 2 if paired else None)
        for encoder, ids, paired in given
    ]
    got: list[Triple] = frames.unpack_run(frames.pack_run(sent))
    for item, (encoder, ids, types) in zip(sent, got, strict=True):
        assert (encoder, ids.tolist()) == (item.encoder, item.ids.tolist())
        assert (types is None) == (item.types is None)
        if types is not None and item.types is not None:
            assert types.tolist() == item.types.tolist()


@given(shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8)), min_size=1, max_size=10))
def test_vectors_arrive_as_they_were_sent(shapes: list[tuple[int, int]]) -> None:
    vectors = [np.random.default_rng(0).random(shape).astype(np.float32) for shape in shapes]
    done = frames.unpack_done(frames.pack_done(Done(vectors, 0.25, 17)))
    assert (done.seconds, done.filler) == (0.25, 17)
    for a, b in zip(vectors, done.vectors, strict=True):
        assert np.array_equal(a, b)


@given(payloads=st.lists(st.binary(max_size=50), max_size=8), size=st.integers(1, 40))
def test_frames_are_found_in_whatever_pieces_they_arrive(payloads: list[bytes], size: int) -> None:
    stream = b"".join(frames.frame(Kind.RUN, number, payload) for number, payload in enumerate(payloads))
    reader = Reader()
    found = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
    assert found == [(Kind.RUN, number, payload) for number, payload in enumerate(payloads)]


# --- limits of one request


@pytest.mark.parametrize(
    ("texts", "pairs", "kind", "said"),
    [
        ([], [], InvalidInput, "no texts"),
        (["a"] * 4, [], InvalidInput, "4 texts in one request; at most 3"),
        (["a", " \n"], [], InvalidInput, "text 1 is only white space"),
        (["a", ""], [], InvalidInput, "text 1 is empty"),
        (["a", "b"], ["c"], InvalidInput, "1 pairs for 2 texts"),
        (["é" * 600], [], TooLarge, "1200 bytes"),
        (["é" * 300], ["é" * 300], TooLarge, "1200 bytes"),
    ],
)
def test_what_is_above_a_limit_is_told_which(texts: list[str], pairs: list[str], kind: type[TwoHopError], said: str) -> None:
    with pytest.raises(kind, match=said):
        Limits(max_texts=3, max_request_bytes=1000).check_texts(texts, pairs)


def test_what_is_at_the_limits_is_taken() -> None:
    limits = Limits(max_texts=3, max_request_bytes=1000, max_response_bytes=10_000)
    limits.check_texts(["é" * 500], [])
    limits.check_texts(["a", "b", "c"], ["", "d", ""])
    limits.check_reply(9000, 3)
    with pytest.raises(TooLarge, match="10000"):
        limits.check_reply(9_900, 3)


@given(sizes=st.lists(st.integers(0, 300), max_size=50))
def test_texts_are_tokenised_in_pieces_that_cover_all_once(sizes: list[int]) -> None:
    found = list(pieces(sizes, 256))
    assert [index for piece in found for index in range(piece.start, piece.stop)] == list(range(len(sizes)))
    for piece in found:
        assert sum(sizes[piece]) <= 256 or piece.stop - piece.start == 1
