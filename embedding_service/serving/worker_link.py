"""The service's end of one worker process: starts it, hands it batches, notices its end. One worker's life, no second one."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import cast

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
Command = Callable[[int], list[str]]


class WorkerLink(asyncio.Protocol):
    """`ready` resolves to what the worker says once it can run, or to why it cannot; `gone` to how it ended."""

    def __init__(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._process = process
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._number = 0
        self._done: Callable[[Outcome], None] | None = None
        self.ready: asyncio.Future[Ready] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def start(cls, command: Command) -> WorkerLink:
        """`command` makes the argument list from the number of the descriptor that the worker inherits."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = _spawn(command(theirs.fileno()), theirs.fileno())
            except OSError as error:
                ours.close()
                raise Failed(f"the worker process cannot be started: {error}") from error
        _, link = await loop.create_unix_connection(lambda: cls(process, loop), sock=ours)
        return link

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_free(self) -> bool:
        return self._done is None and self.ready.done() and not self.gone.done()

    def run(self, items: Sequence[Item], done: Callable[[Outcome], None]) -> None:
        """Calls `done` once, later. For one batch at a time, while `is_free`."""
        assert self.is_free
        self._number += 1
        self._done = done
        cast(asyncio.Transport, self._transport).write(frames.frame(Kind.RUN, self._number, frames.pack_run(items)))

    async def reap(self) -> int:
        """Ends it, if it has not ended; its exit status (negative: the signal). The service never waits for it longer."""
        if self._transport is not None:
            self._transport.close()
        try:
            return await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return await asyncio.to_thread(self._process.wait)

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, number, payload in self._reader.feed(data):
            if kind is Kind.READY:
                self.ready.set_result(frames.unpack_object(payload))
            elif kind is Kind.FAILED:
                self.ready.set_exception(frames.unpack_object(payload))
            elif number == self._number:
                self._end(frames.unpack_done(payload) if kind is Kind.DONE else frames.unpack_object(payload))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(Failed("the worker process ended while it was starting"))
        if not self.gone.done():
            self.gone.set_result(None)
        self._end(Died())

    def _end(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


def _spawn(arguments: list[str], descriptor: int) -> subprocess.Popen[bytes]:
    """A new program, never a fork of this one. It starts with the terminal's signals blocked: Ctrl-C is for the service."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return subprocess.Popen(arguments, pass_fds=(descriptor,), stdin=subprocess.DEVNULL, stdout=2)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
