"""Where a request is worked on. A small head answers in microseconds, and handing that to a thread would cost more than
the work (0.2 ms of a 0.6 ms call); what is slow or large must not hold the event loop up. Each key, a model's name, is
timed as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from head_service.model_server.quickness import Quickness

SMALL_BYTES = 1 << 16

Answer = TypeVar("Answer")


class Pace:
    """One event loop's. `pool` has the threads for what is not known to be quick."""

    def __init__(self, pool: Executor, clock: Callable[[], float] = time.perf_counter) -> None:
        self._pool = pool
        self._clock = clock
        self._known: dict[str, Quickness] = {}

    async def do(self, key: str, size_bytes: int, work: Callable[[], Answer]) -> Answer:
        """What `work` returns or raises. Large work is never done on the spot, whatever its key."""
        if size_bytes > SMALL_BYTES:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        if key in self._known and self._known[key].is_quick:
            return self._timed(key, work)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, key, work)

    def _timed(self, key: str, work: Callable[[], Answer]) -> Answer:
        """Only keys whose work succeeded are remembered: callers cannot fill the table with names of no model."""
        begun = self._clock()
        answer = work()
        self._known.setdefault(key, Quickness()).took(self._clock() - begun)
        return answer
