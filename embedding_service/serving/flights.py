"""Texts that are being computed for whoever asks (single-flight): the same text asked twice at once is computed once.

A flight goes on as long as somebody waits for it, under the latest of their deadlines. It ends for all that wait with its
vectors, which are then kept, or with its error, which is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from embedding_service.model.encoder import Encoder, Tokens
from embedding_service.serving.cache import Cache
from embedding_service.serving.item import Call, Item
from twohop.errors import TwoHopError


class Computing(Protocol):
    """The scheduler, from where flights stand."""

    def submit(self, items: Sequence[Item]) -> None: ...

    def withdraw(self, items: Iterable[Item]) -> None: ...


class Flight:
    """One text under way, in the place of its item's call; `waiting` are the calls that want it."""

    __slots__ = ("_flights", "_total", "bulk", "item", "key", "waiting")

    def __init__(
        self, flights: Flights, key: bytes, encoder: Encoder, tokens: Tokens, *, bulk: bool, deadline: float | None
    ) -> None:
        self._flights = flights
        self._total = tokens.total
        self.key = key
        self.bulk = bulk
        self.waiting: set[Call] = set()
        self.item = Item(
            self, encoder.index, tokens.ids, tokens.types, weights=encoder.weights, bulk=bulk, deadline=deadline
        )

    def item_succeeded(self) -> None:
        if self.item.vectors is not None:
            self._flights.cache.put(self.key, self.item.vectors, self.item.tokens, self._total)
        self._flights.forget(self)
        for call in self.waiting:
            call.item_succeeded()

    def fail(self, error: TwoHopError) -> None:
        self._flights.forget(self)
        for call in self.waiting:
            call.fail(error)


class Flights:
    """By key and class: an online text never waits behind the same one in bulk; a bulk one gladly goes with online's."""

    def __init__(self, cache: Cache, computing: Computing) -> None:
        self.cache = cache
        self._computing = computing
        self._flights: dict[tuple[bytes, bool], Flight] = {}

    def join(
        self, call: Call, encoder: Encoder, wanted: Mapping[bytes, Tokens], *, bulk: bool, deadline: float | None
    ) -> tuple[dict[bytes, Flight], int]:
        """Begins `call`, that ends with the flights of all `wanted`: those there are, and (so many) new ones.
        Whatever ends the call, it must `leave`."""
        now, new = time.monotonic(), []
        joined: dict[bytes, Flight] = {}
        for key, tokens in wanted.items():
            flight = self._under_way(key, bulk, now)
            if flight is None:
                flight = Flight(self, key, encoder, tokens, bulk=bulk, deadline=deadline)
                self._flights[key, bulk] = flight
                new.append(flight.item)
            flight.item.deadline = _later(flight.item.deadline, deadline)
            flight.waiting.add(call)
            joined[key] = flight
        call.begin([flight.item for flight in joined.values()])
        try:
            if new:
                self._computing.submit(new)
        except BaseException:
            self.leave(call, joined.values())       # nobody may join what nobody computes
            raise
        return joined, len(new)

    def leave(self, call: Call, joined: Iterable[Flight]) -> None:
        """What nobody waits for any more is not computed."""
        unwanted = []
        for flight in joined:
            flight.waiting.discard(call)
            if not flight.waiting and not flight.item.is_over:
                self.forget(flight)
                unwanted.append(flight.item)
        self._computing.withdraw(unwanted)

    def forget(self, flight: Flight) -> None:
        if self._flights.get((flight.key, flight.bulk)) is flight:
            del self._flights[flight.key, flight.bulk]

    def _under_way(self, key: bytes, bulk: bool, now: float) -> Flight | None:
        """One that may be joined: whose time is over the scheduler may have dropped already."""
        for its_class in (False, True) if bulk else (False,):
            flight = self._flights.get((key, its_class))
            if flight is not None and (flight.item.deadline is None or flight.item.deadline > now):
                return flight
        return None


def _later(one: float | None, other: float | None) -> float | None:
    """None waits for ever."""
    return None if one is None or other is None else max(one, other)
