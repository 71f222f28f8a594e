"""Which of several addresses gets a request: of two at random the one with the shorter wait (M. Mitzenmacher, "The power
of two choices in randomized load balancing", 2001), and after a refusal another one."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from twohop.addresses import Address

REST_S = 1.0
LONGEST_REST_S = 32.0       # of one that keeps silent


class Endpoint:
    """One address and what is known of it. Times are those of the caller's clock, in seconds. Threads may share it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._in_flight = 0
        self._idle_at = 0.0             # when the queue it told of will have run empty
        self._rests_until = 0.0
        self._rest_s = REST_S           # after the next silence

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Counts one request of ours while the block runs."""
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def answered(self) -> None:
        self._rest_s = REST_S

    def kept_silent(self, now: float) -> None:
        """For the whole time of a call. It may hang, connected as it is: it rests twice as long each time."""
        self._rests_until = now + self._rest_s
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)

    def report_wait(self, wait_s: float, now: float) -> None:
        self._idle_at = now + wait_s

    def refuse(self, now: float, retry_after_s: float | None) -> None:
        self._rests_until = now + (REST_S if retry_after_s is None else retry_after_s)

    def rests(self, now: float) -> bool:
        return now < self._rests_until

    def load(self, now: float) -> tuple[float, int]:
        """Less is better: the rest of the wait it told of, then the requests of ours that it has."""
        return max(0.0, self._idle_at - now), self._in_flight


def pick(endpoints: Sequence[Endpoint], tried: Collection[Endpoint], now: float, rng: random.Random) -> Endpoint:
    """The next endpoint to ask; those `tried` in this call and those that rest come only when no others are left."""
    fresh = [endpoint for endpoint in endpoints if endpoint not in tried] or list(endpoints)
    awake = [endpoint for endpoint in fresh if not endpoint.rests(now)] or fresh
    return min(rng.sample(awake, min(2, len(awake))), key=lambda endpoint: endpoint.load(now))
