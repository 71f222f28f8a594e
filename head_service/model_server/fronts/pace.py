"""Where a request is worked on. A small head answers in microseconds, and handing that to a thread would cost more than
the work (0.2 ms of a 0.6 ms call); what is slow or large must not hold the event loop up. Each key, a model's name, is
timed as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

QUICK_S = 0.002
SMALL_BYTES = 1 << 16
FADING = 0.95               # of the slowest run seen lately, per run

Answer = TypeVar("Answer")


class Pace:
    """One event loop's. `pool` has the threads for what is not known to be quick."""

    def __init__(self, pool: Executor, clock: Callable[[], float] = time.perf_counter) -> None:
        self._pool = pool
        self._clock = clock
        self._slowest_s: dict[str, float] = {}

    def is_quick(self, key: str, size_bytes: int) -> bool:
        return size_bytes <= SMALL_BYTES and self._slowest_s.get(key, QUICK_S) < QUICK_S

    async def do(self, key: str, size_bytes: int, work: Callable[[], Answer]) -> Answer:
        """What `work` returns or raises. Only keys whose work succeeded are remembered."""
        if self.is_quick(key, size_bytes):
            return self._timed(key, work)
        if size_bytes > SMALL_BYTES:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, key, work)

    def _timed(self, key: str, work: Callable[[], Answer]) -> Answer:
        begun = self._clock()
        answer = work()
        self._slowest_s[key] = max(self._clock() - begun, self._slowest_s.get(key, 0.0) * FADING)
        return answer
