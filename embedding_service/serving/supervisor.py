"""Keeps one worker alive: the first start must succeed, later it is replaced, with backoff where a start fails."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence

from embedding_service.serving.cost_model import CostModel
from embedding_service.serving.frames import Ready
from embedding_service.serving.item import Item
from embedding_service.serving.worker_link import Command, Outcome, WorkerLink
from twohop.errors import TwoHopError

log = logging.getLogger(__name__)

FIRST_BACKOFF_S, LARGEST_BACKOFF_S = 0.5, 30.0


class Supervisor:
    """One lane of the scheduler. `changed` is called whenever it becomes ready, or is not any more."""

    def __init__(self, command: Command, *, changed: Callable[[], None], restarted: Callable[[], None]) -> None:
        self._command = command
        self._changed = changed
        self._restarted = restarted
        self._link: WorkerLink | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._first: asyncio.Future[Ready] | None = None
        self._busy_until = 0.0
        self._ready: Ready | None = None
        self.cost = CostModel([(1, 0.001)])
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
    def is_free(self) -> bool:
        return self._ready is not None and self._link is not None and self._link.is_free

    @property
    def tokens_per_batch(self) -> int:
        return self._ready.tokens_per_batch if self._ready is not None else 0

    @property
    def pid(self) -> int | None:
        return self._link.pid if self._link is not None else None

    def free_in_s(self, now: float) -> float:
        """When it will be free, as predicted."""
        return 0.0 if self.is_free else max(self._busy_until - now, 0.0)

    def run(self, items: Sequence[Item], done: Callable[[Outcome], None]) -> None:
        """Calls `done` once, later. Only while `is_free`."""
        assert self._link is not None
        self._busy_until = time.monotonic() + self.cost.seconds(sum(item.tokens for item in items))
        self._link.run(items, done)

    async def _keep(self, first: asyncio.Future[Ready]) -> None:
        failures = 0
        while True:
            try:
                ready = await self._start_one()
            except TwoHopError as error:
                if not first.done():
                    first.set_exception(error)
                    return
                failures += 1
                await self._wait_after(error, failures)
                continue
            failures = 0
            if not first.done():
                first.set_result(ready)
            await self._watch()

    async def _start_one(self) -> Ready:
        self._link = await WorkerLink.start(self._command)
        try:
            ready = await self._link.ready
        except TwoHopError as error:
            status = await self._link.reap()
            raise type(error)(error.message + _how(status), detail=error.detail) from error
        self.cost = CostModel(ready.points)
        self._ready, self.is_lost = ready, False
        self._changed()
        return ready

    async def _wait_after(self, error: TwoHopError, failures: int) -> None:
        self.is_lost = True
        self._changed()
        delay = min(FIRST_BACKOFF_S * 2 ** (failures - 1), LARGEST_BACKOFF_S)
        log.error("the worker cannot be replaced (%s); next attempt in %.1f s", error, delay)
        await asyncio.sleep(delay)

    async def _watch(self) -> None:
        """Returns once the worker is gone and swept away."""
        assert self._link is not None
        await self._link.gone
        self._ready = None
        self._changed()
        self._restarted()
        status = await self._link.reap()
        log.warning("the worker ended%s; starting another", _how(status))


def _how(status: int) -> str:
    if status < 0:
        return f" (signal {signal.Signals(-status).name})"
    return f" (exit status {status})" if status > 1 else ""
