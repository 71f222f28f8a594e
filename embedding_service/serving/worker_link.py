"""The service's end of one worker process: starts it, hands it batches, notices its end. One worker's life, no second one."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import cast

from embedding_service.model.engine import MOST_STREAMS
from embedding_service.serving import frames
from embedding_service.serving.frames import Done, Kind, Reader, Ready
from embedding_service.serving.item import Item
from twohop.errors import Failed, TwoHopError

log = logging.getLogger(__name__)

STOP_S = 2.0
SIGNALS = {signal.SIGINT, signal.SIGTERM}


class Died:
    """A worker ended while a batch was with it."""


Outcome = Done | TwoHopError | Died
Command = Callable[[Sequence[int]], list[str]]


class WorkerLink:
    """`ready` resolves to what the worker says once it can run, or to why it cannot; `gone` to how it ended."""

    def __init__(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._wires: list[_Wire] = []
        self._takes_batches = False
        self._runs_alone = False
        self.says_why = False       # it cannot start
        self.ready: asyncio.Future[Ready] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def start(cls, command: Command) -> WorkerLink:
        """`command` makes the argument list from the numbers of the descriptors that the worker inherits."""
        loop = asyncio.get_running_loop()
        ends: list[socket.socket] = []
        descriptors: list[int] = []
        with ExitStack() as theirs, ExitStack() as kept:
            try:
                # Before the worker knows how many streams its engine has; those that it does not use are closed.
                for _ in range(MOST_STREAMS):
                    ours, its = socket.socketpair()
                    ends.append(kept.enter_context(ours))
                    descriptors.append(theirs.enter_context(its).fileno())
                process = _spawn(command(descriptors), descriptors)
            except OSError as error:
                raise Failed(f"the worker process cannot be started: {error}") from error
            kept.pop_all()
        link = cls(process, loop)
        try:
            while ends:
                _, wire = await loop.create_unix_connection(lambda: _Wire(link), sock=ends[0])
                link._wires.append(wire)
                del ends[0]
        except BaseException:
            for ours in ends:
                ours.close()
            link.kill()
            await asyncio.shield(link.reap())
            raise
        return link

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def free(self) -> Sequence[int]:
        """The streams that could begin now."""
        if not self._takes_batches or self._runs_alone:
            return ()
        return [stream for stream, wire in enumerate(self._wires) if wire.is_free]

    def run(self, items: Sequence[Item], stream: int | None, done: Callable[[Outcome], None]) -> None:
        """Calls `done` once, later. `stream` None: alone on all, while all are free."""
        self._runs_alone = stream is None

        def ended(outcome: Outcome) -> None:
            self._runs_alone = False
            done(outcome)

        self._wires[stream or 0].run(Kind.RUN_ALONE if stream is None else Kind.RUN, items, ended)

    def kill(self) -> None:
        self._process.kill()

    async def reap(self) -> int:
        """Ends it, if it has not ended; its exit status (negative: the signal). The service never waits for it longer."""
        for wire in self._wires:
            wire.close()
        try:
            return await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return await asyncio.to_thread(self._process.wait)

    # --- what its wires hear

    def heard(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.FAILED:
            self.says_why = True
            self.ready.set_exception(frames.unpack_object(payload))
            return
        ready: Ready = frames.unpack_object(payload)
        for wire in self._wires[ready.streams :]:
            wire.close()
        del self._wires[ready.streams :]
        self._takes_batches = True
        self.ready.set_result(ready)

    def lost(self) -> None:
        """A wire is down, and so is the worker."""
        self._takes_batches = False
        if not self.ready.done():
            self.ready.set_exception(Failed("the worker process ended while it was starting"))
        if not self.gone.done():
            self.gone.set_result(None)


class _Wire(asyncio.Protocol):
    """One stream's socket: one batch at a time."""

    def __init__(self, link: WorkerLink) -> None:
        self._link = link
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._number = 0
        self._done: Callable[[Outcome], None] | None = None
        self._is_closed = False

    @property
    def is_free(self) -> bool:
        return self._done is None

    def run(self, kind: Kind, items: Sequence[Item], done: Callable[[Outcome], None]) -> None:
        assert self.is_free
        self._number += 1
        self._done = done
        cast(asyncio.Transport, self._transport).write(frames.frame(kind, self._number, frames.pack_run(items)))

    def close(self) -> None:
        """It is not needed: its end says nothing of the worker's."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, number, payload in self._reader.feed(data):
            if kind in (Kind.READY, Kind.FAILED):
                self._link.heard(kind, payload)
            elif number == self._number:
                self._end(frames.unpack_done(payload) if kind is Kind.DONE else frames.unpack_object(payload))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_closed:
            self._link.lost()
        self._end(Died())

    def _end(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


def _spawn(arguments: list[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """A new program, never a fork of this one. It starts with the terminal's signals blocked: Ctrl-C is for the service."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return subprocess.Popen(arguments, pass_fds=descriptors, stdin=subprocess.DEVNULL, stdout=2)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
