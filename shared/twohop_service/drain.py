"""A process's way through life: starting, ready, draining. Signals start the drain; readiness is what probes see."""

from __future__ import annotations

import asyncio
import signal
from enum import Enum


class Phase(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Lifecycle:
    """The phase of a process and the wish to stop. One event loop's, not shared between threads."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._stop = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        return self.phase is Phase.READY

    def become(self, phase: Phase) -> None:
        """Moves on; a draining process stays so."""
        if self.phase is not Phase.DRAINING:
            self.phase = phase

    def stop(self) -> None:
        self.phase = Phase.DRAINING
        self._stop.set()

    async def stopped(self) -> None:
        """Returns once SIGTERM, SIGINT or `stop` has asked for the end."""
        await self._stop.wait()

    def watch_signals(self) -> None:
        """The first signal asks for the end, a second one is it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        if not self._stop.is_set():
            self.stop()
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
