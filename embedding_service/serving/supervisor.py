"""Keeps one worker alive: the first start must succeed (a worker that is taken down meanwhile has two more tries), later it is
replaced, with backoff where a start fails or brings nothing, and ended where it hangs."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence

from embedding_service.serving.cost_model import Costs, Measured
from embedding_service.serving.frames import Done, Ready
from embedding_service.serving.item import Item
from embedding_service.serving.worker_link import Command, Outcome, WorkerLink
from twohop.errors import TwoHopError

log = logging.getLogger(__name__)

FIRST_BACKOFF_S, LARGEST_BACKOFF_S = 0.5, 30.0
# A batch that takes so many times as long as it should hangs, unless that is less than what the operator allows any batch.
HANGS = 20.0
# The same for a start: as the one before took, and the first (whose weights may come from far) half an hour.
LEAST_START_S, FIRST_START_S = 60.0, 1800.0
FIRST_TRIES = 3


class Supervisor:
    """One worker of the scheduler's. `changed` is called whenever it becomes ready, or is not any more; `hang_s`: the least
    time after which a batch that does not end is given up, and the worker with it."""

    def __init__(
        self, command: Command, *, changed: Callable[[], None], restarted: Callable[[], None], hang_s: float = 30.0
    ) -> None:
        self._command = command
        self._changed = changed
        self._restarted = restarted
        self._hang_s = hang_s
        self._link: WorkerLink | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._first: asyncio.Future[Ready] | None = None
        self._free_at: dict[int | None, float] = {}     # as predicted, for each stream that runs
        self._ready: Ready | None = None
        self._began_to_start = self._start_s = 0.0
        self._has_worked = False
        self._costs: list[Costs] = []
        self.is_lost = False        # the last attempt to replace a worker failed

    async def start(self) -> Ready:
        """Returns once the first worker is ready. Raises the error that keeps it from starting."""
        self._first = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(self._first))
        return await self._first

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._link is not None:
            await self._link.reap()

    @property
    def is_ready(self) -> bool:
        return self._ready is not None

    @property
    def free(self) -> Sequence[int]:
        return self._link.free if self._ready is not None and self._link is not None else ()

    @property
    def streams(self) -> int:
        return self._ready.streams if self._ready is not None else 0

    @property
    def pid(self) -> int | None:
        return self._link.pid if self._link is not None else None

    def costs(self, weights: int) -> Costs:
        """As measured when the worker started, and since; while it is replaced, those of the last one."""
        return self._costs[weights] if weights < len(self._costs) else _UNKNOWN

    def busy_s(self, now: float) -> Sequence[float]:
        return [max(free_at - now, 0.0) for free_at in self._free_at.values()]

    def free_in_s(self, now: float) -> float:
        """Until some stream is free, as predicted."""
        return 0.0 if self.free else min(self.busy_s(now), default=0.0)

    def ready_in_s(self, now: float) -> float:
        """If the next start takes as long as the last one did."""
        return 0.0 if self.is_ready else max(self._began_to_start + self._start_s - now, 0.0)

    def run(self, items: Sequence[Item], stream: int | None, expected_s: float, done: Callable[[Outcome], None]) -> None:
        """Calls `done` once, later. Only for a stream that is free; None: alone, while all are."""
        assert self._link is not None
        loop, limit_s = asyncio.get_running_loop(), max(self._hang_s, HANGS * expected_s)
        watchdog = loop.call_later(limit_s, self._end_hanging, self._link, "a batch does not end", limit_s)
        self._free_at[stream] = time.monotonic() + expected_s

        def ended(outcome: Outcome) -> None:
            watchdog.cancel()
            self._free_at.pop(stream, None)
            self._has_worked = self._has_worked or isinstance(outcome, Done)
            done(outcome)

        self._link.run(items, stream, ended)

    def _end_hanging(self, link: WorkerLink, what: str, limit_s: float) -> None:
        log.error("%s after %.0f s; ending the worker", what, limit_s)
        link.kill()

    async def _keep(self, first: asyncio.Future[Ready]) -> None:
        failures = 0
        while True:
            try:
                ready = await self._start_one()
            except (TwoHopError, OSError) as error:
                failures += 1
                says_why = self._link is None or self._link.says_why
                if not first.done() and (says_why or failures == FIRST_TRIES):
                    first.set_exception(error)
                    return
                self.is_lost = first.done()
                self._changed()
                await self._wait(failures, f"the worker cannot be started ({error})")
                continue
            if not first.done():
                first.set_result(ready)
            await self._watch()
            failures = 0 if self._has_worked else failures + 1
            if failures > 1:
                await self._wait(failures - 1, "the last workers ended without having embedded anything")

    async def _start_one(self) -> Ready:
        self._began_to_start = time.monotonic()
        self._link = await WorkerLink.start(self._command)
        limit_s = max(LEAST_START_S, HANGS * self._start_s) if self._start_s else FIRST_START_S
        loop = asyncio.get_running_loop()
        watchdog = loop.call_later(limit_s, self._end_hanging, self._link, "a worker's start does not end", limit_s)
        try:
            ready = await self._link.ready
        except TwoHopError as error:
            status = await self._link.reap()
            raise type(error)(error.message + _how(status), detail=error.detail) from error
        finally:
            watchdog.cancel()
        self._start_s = time.monotonic() - self._began_to_start
        self._costs = [Costs(measured, ready.streams) for measured in ready.measured]
        self._ready, self.is_lost, self._has_worked = ready, False, False
        self._changed()
        return ready

    async def _wait(self, failures: int, why: str) -> None:
        delay = min(FIRST_BACKOFF_S * 2 ** (failures - 1), LARGEST_BACKOFF_S)
        log.error("%s; next attempt in %.1f s", why, delay)
        await asyncio.sleep(delay)

    async def _watch(self) -> None:
        """Returns once the worker is gone and swept away."""
        assert self._link is not None
        await self._link.gone
        self._ready = None
        self._began_to_start = time.monotonic()
        self._changed()
        self._restarted()
        status = await self._link.reap()
        log.warning("the worker ended%s; starting another", _how(status))


_UNKNOWN = Costs(Measured([(1, 0.001)], [(1, 0.001)]), 1)


def _how(status: int) -> str:
    if status < 0:
        return f" (signal {signal.Signals(-status).name})"
    return f" (exit status {status})" if status > 1 else ""
