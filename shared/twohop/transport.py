"""The two ways to wait, behind one interface: blocking and asyncio.

The clients' logic is written once, as coroutines over a Transport. Over BlockingTransport none of them ever suspends, so
`run` drives one to its end in the calling thread, without an event loop; over AsyncTransport they are awaited as usual.
A failed call raises the error of the tree that its status stands for; nothing else here knows policy.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from twohop import channel
from twohop.addresses import Address
from twohop.errors import Cancelled, TwoHopError
from twohop.status import from_status
from twohop.types import TLS

# gRPC wraps why it could not connect: "connections to all backends failing; last error: UNKNOWN: ipv4:…".
_LAST_ERROR = re.compile(r"^.*; last error: (?:[A-Z_]+: )?", re.DOTALL)

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Method(Generic[Request, Reply]):
    """A remote procedure: its path on the wire and the messages that go and come."""

    path: str
    request: type[Request]
    reply: type[Reply]


class Transport(Protocol):
    is_closed: bool

    async def call(self, address: Address, method: Method[Request, Reply], request: Request, timeout_s: float) -> Reply: ...

    async def sleep(self, seconds: float) -> None: ...

    async def each(
        self, do: Callable[[Item], Coroutine[Any, Any, Result]], items: Sequence[Item], at_once: int
    ) -> list[Result]:
        """`do` for each item, up to `at_once` of them at the same time; results in order. The first error ends it."""
        ...

    async def close(self) -> None: ...


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine over BlockingTransport."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        coroutine.close()
    raise RuntimeError("a coroutine over the blocking transport suspended")


class BlockingTransport:
    """For threads, any number of them. Channels open at the first call; a process that forks does so before it."""

    def __init__(self, tls: TLS | None, token: str | None) -> None:
        self._tls = tls
        self._metadata = channel.metadata(token)
        self._lock = threading.Lock()
        self._channels: dict[Address, grpc.Channel] = {}
        self._callables: dict[tuple[Address, str], Callable[..., Any]] = {}
        self.is_closed = False

    async def call(self, address: Address, method: Method[Request, Reply], request: Request, timeout_s: float) -> Reply:
        ask = self._callables.get((address, method.path)) or self._open(address, method)
        try:
            reply: Reply = ask(request, timeout=timeout_s, metadata=self._metadata)
            return reply
        except grpc.RpcError as error:
            raise _read_error(error, address, method) from None
        except ValueError as error:         # grpc says so of a closed channel
            if self.is_closed:
                raise Cancelled("the client is closed") from error
            raise

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)             # noqa: ASYNC251  blocking is this transport's job

    async def each(
        self, do: Callable[[Item], Coroutine[Any, Any, Result]], items: Sequence[Item], at_once: int
    ) -> list[Result]:
        work = _Work(do, items)
        # This thread is one of the workers. The others are daemons: an interrupted program does not wait for them.
        others = [threading.Thread(target=work.take_in_thread, daemon=True) for _ in range(min(at_once, len(items)) - 1)]
        for thread in others:
            thread.start()
        try:
            await work.take()
            for thread in others:
                thread.join()
        finally:
            work.stop()
        return work.results()

    async def close(self) -> None:
        with self._lock:
            self.is_closed = True
            for opened in self._channels.values():
                opened.close()

    def _open(self, address: Address, method: Method[Request, Reply]) -> Callable[..., Any]:
        with self._lock:
            if self.is_closed:
                raise Cancelled("the client is closed")
            if address not in self._channels:
                self._channels[address] = channel.open_blocking(address, self._tls)
            ask = self._channels[address].unary_unary(
                method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.reply.FromString
            )
            self._callables[address, method.path] = ask
            return ask


class AsyncTransport:
    """For one event loop at a time; in another loop it opens its channels anew."""

    def __init__(self, tls: TLS | None, token: str | None) -> None:
        self._tls = tls
        self._metadata = channel.metadata(token)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[Address, grpc.aio.Channel] = {}
        self._callables: dict[tuple[Address, str], Callable[..., Any]] = {}
        self.is_closed = False

    async def call(self, address: Address, method: Method[Request, Reply], request: Request, timeout_s: float) -> Reply:
        ask = self._open(address, method)
        try:
            reply: Reply = await ask(request, timeout=timeout_s, metadata=self._metadata)
            return reply
        except grpc.RpcError as error:
            raise _read_error(error, address, method) from None
        except (asyncio.CancelledError, grpc.aio.UsageError) as error:
            task = asyncio.current_task()
            if self.is_closed and not (task is not None and task.cancelling()):
                raise Cancelled("the client is closed") from error
            raise

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def each(
        self, do: Callable[[Item], Coroutine[Any, Any, Result]], items: Sequence[Item], at_once: int
    ) -> list[Result]:
        work = _Work(do, items)
        if len(items) == 1:
            await work.take()
            return work.results()
        tasks = [asyncio.create_task(work.take()) for _ in range(min(at_once, len(items)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            work.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return work.results()

    async def close(self) -> None:
        self.is_closed = True
        for opened in self._channels.values():
            await opened.close(None)

    def _open(self, address: Address, method: Method[Request, Reply]) -> Callable[..., Any]:
        if self.is_closed:
            raise Cancelled("the client is closed")
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._channels, self._callables = loop, {}, {}
        ask = self._callables.get((address, method.path))
        if ask is None:
            if address not in self._channels:
                self._channels[address] = channel.open_async(address, self._tls)
            ask = self._callables[address, method.path] = self._channels[address].unary_unary(
                method.path, request_serializer=method.request.SerializeToString, response_deserializer=method.reply.FromString
            )
        return ask


class _Work(Generic[Item, Result]):
    """Items that several workers take from; the first error stops them all."""

    def __init__(self, do: Callable[[Item], Coroutine[Any, Any, Result]], items: Sequence[Item]) -> None:
        self._do = do
        self._waiting = deque(enumerate(items))
        self._done: dict[int, Result] = {}
        self._error: BaseException | None = None

    async def take(self) -> None:
        """Works until nothing waits. Raises what an item raised."""
        while True:
            try:
                index, item = self._waiting.popleft()
            except IndexError:
                return
            try:
                self._done[index] = await self._do(item)
            except Exception as error:
                self._error = self._error or error
                self.stop()
                raise

    def take_in_thread(self) -> None:
        with suppress(Exception):       # kept for results()
            run(self.take())

    def stop(self) -> None:
        self._waiting.clear()

    def results(self) -> list[Result]:
        """In the order of the items. Raises the first error."""
        if self._error is not None:
            raise self._error
        return [self._done[index] for index in range(len(self._done))]


def _read_error(error: grpc.RpcError, address: Address, method: Method[Any, Any]) -> TwoHopError:
    trailers: Any = error.trailing_metadata() or ()
    message = _LAST_ERROR.sub("", error.details() or "")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        message = f"{address} does not serve {method.path}: is it the address of another service? ({message})"
    return from_status(error.code().name, message, trailers)
