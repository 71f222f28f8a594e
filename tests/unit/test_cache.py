"""Kept vectors, and texts computed once for all who want them: the cache's bound, and who gets what when a flight ends."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.encoder import Encoder, Tokens
from embedding_service.serving.cache import ENTRY_BYTES, Cache, keys
from embedding_service.serving.flights import Flight, Flights
from embedding_service.serving.item import Call, Item
from twohop.errors import DeadlineExceeded, ModelError, Unavailable

ENCODER = cast(Encoder, SimpleNamespace(index=0, weights=0))


def numbers(fill: float, rows: int = 1, dimension: int = 4) -> np.ndarray:
    return np.full((rows, dimension), fill, np.float32)


class TestCache:
    @given(
        st.integers(0, 2000),
        st.lists(st.tuples(st.sampled_from(["put", "find"]), st.integers(0, 12), st.integers(0, 40)), max_size=80),
    )
    def test_it_is_a_dictionary_that_forgets_the_longest_unasked_and_never_exceeds_its_bytes(
        self, capacity: int, steps: list[tuple[str, int, int]]
    ) -> None:
        cache, model = Cache(capacity), OrderedDict[bytes, np.ndarray]()

        def size() -> int:
            return sum(ENTRY_BYTES + kept.nbytes for kept in model.values())

        for step, (action, name, rows) in enumerate(steps):
            key = bytes([name])
            if action == "put":
                vectors = numbers(step, rows)
                cache.put(key, vectors, step, step + rows)
                if ENTRY_BYTES + vectors.nbytes <= capacity:
                    model.pop(key, None)
                    model[key] = vectors
                    while size() > capacity:
                        model.popitem(last=False)
            else:
                found = cache.find([key])
                assert list(found) == ([key] if key in model else [])
                if key in model:
                    model.move_to_end(key)
                    np.testing.assert_array_equal(found[key].vectors, model[key])
                    assert found[key].vectors.shape == model[key].shape
                    assert found[key].total - found[key].tokens == len(model[key])
            assert (cache.size, len(cache)) == (size(), len(model))
            assert cache.size <= capacity
        assert set(cache.find(bytes([name]) for name in range(13))) == set(model)

    @pytest.mark.parametrize("dimension", [1, 96, 384])
    def test_the_memory_it_really_takes_is_within_its_bytes_while_it_fills_and_when_it_is_full(self, dimension: int) -> None:
        capacity, vectors = 4_000_000, numbers(0.5, 1, dimension)
        worst = 0
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            cache = Cache(capacity)
            for _ in range(2 * capacity // (ENTRY_BYTES + vectors.nbytes)):
                cache.put(os.urandom(24), vectors, 1000, 1000)
                worst = max(worst, tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
        assert 0.5 * capacity < worst <= capacity
        assert cache.size > 0.99 * capacity

    def test_what_it_keeps_is_a_copy_that_nobody_can_change(self) -> None:
        cache, batch = Cache(10_000), np.zeros((1000, 4), np.float32)
        cache.put(b"a", batch[:1], 3, 3)
        batch[:] = 7
        found = cache.find([b"a"])[b"a"].vectors
        assert not found.any()
        with pytest.raises(ValueError, match="read-only"):
            found[0, 0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            found.flags.writeable = True


class TestKeys:
    def test_texts_pairs_encoders_and_numerics_that_differ_have_different_keys(self) -> None:
        texts = ["a", "ab", "a\0b", "", "\ud800", "x" * 100_000]
        found = [*keys("e", "f32", texts), *keys("f", "f32", texts), *keys("e", "bf16", texts)]
        found += keys("e", "f32", ["a", "ab", "a"], ["b", "c", "bc"])
        assert len(set(found)) == len(found) == 21

    def test_an_empty_pair_is_no_pair(self) -> None:
        assert keys("e", "f32", ["a", "b"]) == keys("e", "f32", ["a", "b"], ["", ""])


@dataclass
class Computing:
    """Takes texts as a scheduler would; the test says how each ends."""

    items: list[Item] = field(default_factory=list)
    refuses: Exception | None = None

    def submit(self, items: Sequence[Item]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.items += items

    def withdraw(self, items: Iterable[Item]) -> None:
        for item in items:
            item.withdraw()

    def end(self, place: int, fill: float = 1.0) -> None:
        self.items[place].succeed(numbers(fill), compute_s=0.1, now=1.0)


@dataclass
class World:
    flights: Flights
    computing: Computing

    def join(
        self, *names: str, bulk: bool = False, deadline: float | None = None
    ) -> tuple[Call, Mapping[str, Flight], Callable[[], None]]:
        call = Call(asyncio.get_running_loop())
        wanted = {name.encode(): Tokens(np.zeros(3, np.int32), None, 5) for name in names}
        joined, _ = self.flights.join(call, ENCODER, wanted, bulk=bulk, deadline=deadline)
        return call, {key.decode(): flight for key, flight in joined.items()}, lambda: self.flights.leave(call, joined.values())


def run(check: Callable[[World], Awaitable[None]]) -> None:
    async def go() -> None:
        computing = Computing()
        await check(World(Flights(Cache(100_000), computing), computing))

    asyncio.run(go())


class TestFlights:
    def test_a_text_that_several_want_is_computed_once_and_kept(self) -> None:
        async def check(world: World) -> None:
            one, _, _ = world.join("a", "b")
            two, joined, _ = world.join("b", "c")
            assert len(world.computing.items) == 3
            world.computing.end(1, 7.0)
            world.computing.end(0)
            await one.ended()
            world.computing.end(2)
            await two.ended()
            assert joined["b"].item.vectors is not None
            entry = world.flights.cache.find([b"b"])[b"b"]
            assert (entry.vectors.tolist(), entry.tokens, entry.total) == ([[7.0] * 4], 3, 5)
            world.join("a")                     # not under way any more
            assert len(world.computing.items) == 4

        run(check)

    def test_a_caller_who_leaves_does_not_end_what_others_wait_for_and_the_last_one_does(self) -> None:
        async def check(world: World) -> None:
            _, _, leave_one = world.join("a")
            _, _, leave_two = world.join("a")
            leave_one()
            assert not world.computing.items[0].is_over
            leave_two()
            assert world.computing.items[0].is_over
            three, _, _ = world.join("a")       # nobody joins what was given up
            assert len(world.computing.items) == 2
            world.computing.end(1)
            await three.ended()

        run(check)

    def test_an_error_is_everybodys_and_is_not_kept(self) -> None:
        async def check(world: World) -> None:
            calls = [world.join("a")[0] for _ in range(3)]
            world.computing.items[0].fail(ModelError("this text"))
            for call in calls:
                with pytest.raises(ModelError, match="this text"):
                    await call.ended()
            assert len(world.flights.cache) == 0
            again, _, _ = world.join("a")
            world.computing.end(1)
            await again.ended()

        run(check)

    def test_it_goes_on_for_as_long_as_the_most_patient_of_them_waits(self) -> None:
        async def check(world: World) -> None:
            soon = asyncio.get_running_loop().time() + 1000
            hasty, _, leave = world.join("a", deadline=soon)
            patient, _, _ = world.join("a", deadline=soon + 1000)
            world.join("a", deadline=soon + 500)
            (item,) = world.computing.items
            assert item.deadline == soon + 1000
            hasty.fail(DeadlineExceeded("the deadline passed"))
            with pytest.raises(DeadlineExceeded):
                await hasty.ended()
            leave()
            world.join("a")
            assert item.deadline is None
            world.computing.end(0)
            await patient.ended()

        run(check)

    def test_what_ran_out_of_time_is_not_joined(self) -> None:
        async def check(world: World) -> None:
            _, _, leave = world.join("a", deadline=asyncio.get_running_loop().time() - 1)
            fresh, _, _ = world.join("a", deadline=asyncio.get_running_loop().time() + 1000)
            leave()
            assert [item.is_over for item in world.computing.items] == [True, False]
            world.join("a")
            assert len(world.computing.items) == 2
            world.computing.end(1)
            await fresh.ended()

        run(check)

    def test_online_does_not_wait_behind_bulk_and_bulk_goes_with_online(self) -> None:
        async def check(world: World) -> None:
            world.join("a", bulk=True)
            online, _, _ = world.join("a")
            assert [item.bulk for item in world.computing.items] == [True, False]
            rider, _, _ = world.join("a", bulk=True)
            assert len(world.computing.items) == 2
            world.computing.end(1)
            await online.ended()
            await rider.ended()

        run(check)

    def test_what_could_not_be_handed_over_is_not_waited_for(self) -> None:
        async def check(world: World) -> None:
            world.computing.refuses = Unavailable("gone")
            with pytest.raises(Unavailable):
                world.join("a")
            world.computing.refuses = None
            call, _, _ = world.join("a")
            world.computing.end(0)
            await call.ended()

        run(check)

    @given(st.lists(st.tuples(st.sampled_from(["join", "leave", "end", "fail"]), st.integers(0, 4), st.booleans()), max_size=40))
    def test_whatever_happens_no_text_has_two_flights_in_a_class_and_every_call_ends(
        self, steps: list[tuple[str, int, bool]]
    ) -> None:
        async def check(world: World) -> None:
            waiting: list[tuple[Call, Callable[[], None]]] = []

            def pending() -> list[Item]:
                return [item for item in world.computing.items if not item.is_over]

            for action, number, bulk in steps:
                if action == "join":
                    call, _, leave = world.join(str(number), str(number + 1), bulk=bulk)
                    waiting.append((call, leave))
                elif action == "leave" and waiting:
                    waiting.pop(number % len(waiting))[1]()
                elif pending():
                    item = pending()[number % len(pending())]
                    if action == "end":
                        item.succeed(numbers(1), compute_s=0.1, now=1.0)
                    elif action == "fail":
                        item.fail(ModelError("no"))
                assert len(pending()) <= 12         # six texts, two classes
            for item in pending():
                item.succeed(numbers(1), compute_s=0.1, now=1.0)
            ends: list[Any] = await asyncio.wait_for(
                asyncio.gather(*(call.ended() for call, _ in waiting), return_exceptions=True), 10
            )
            assert all(end is None or isinstance(end, ModelError) for end in ends)

        run(check)
