"""Hop 1 over gRPC: embedding.proto, grpc.health.v1 and reflection. The port opens at once; what is asked too early is told so.

Requests are parsed here and not by gRPC, whose own deserialiser would answer bytes that are no UTF-8 with INTERNAL.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from embedding_service.fronts.messages import read_embed, read_list, write_encoders, write_reply
from embedding_service.serving.service import Service
from twohop.errors import Failed, ModelError, Overloaded, TwoHopError, Unavailable
from twohop.status import to_trailers
from twohop_service.auth import Keys, read_pair
from twohop_service.drain import Lifecycle, Phase
from twohop_service.http_server import bind
from twohop_service.settings import Security

log = logging.getLogger(__name__)

SERVICE = "twohop.embedding.v1.EmbeddingService"
RETRY_S = 0.5
LAST_WORDS_S = 0.5      # for replies that are being written

Context = Any       # grpc.aio.ServicerContext, whose stubs are incomplete


class GrpcFront:
    """One port. `max_requests`: under way at once; the next are refused."""

    def __init__(self, service: Service, lifecycle: Lifecycle, keys: Keys, *, max_requests: int) -> None:
        self._service = service
        self._lifecycle = lifecycle
        self._keys = keys
        self._max_requests = max_requests
        self._under_way = 0         # until their replies have left
        self._handlers: set[asyncio.Task[Any]] = set()
        self._is_over = False
        self._idle = asyncio.Event()
        self._health: Any = health.aio.HealthServicer()      # type: ignore[attr-defined]  # the stubs lack it
        self._server: Any = None

    async def open(self, host: str, port: int, security: Security) -> int:
        """The port that it listens on. Raises Failed for one that is taken."""
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),           # a second server on the port is an error, never a silent sharing of it
                ("grpc.max_receive_message_length", self._service.limits.max_request_bytes),
                ("grpc.max_send_message_length", -1),   # replies were measured before they were computed
            ]
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._methods()),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        await self.say_ready(False)
        bound = _bind(self._server, host, port, security)
        await self._server.start()
        return bound

    async def say_ready(self, is_ready: bool) -> None:
        """What grpc.health.v1 answers, and those who watch it are told."""
        status = health_pb2.HealthCheckResponse.SERVING if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, status)

    async def close(self, drain_s: float) -> None:
        """Those under way have `drain_s` seconds, and are told then; who asks anew is told to ask elsewhere. The server is
        stopped once it is idle: what reaches a gRPC server that stops is cancelled, and a caller could not tell why."""
        if self._server is not None:
            await self.say_ready(False)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._until_idle(), drain_s)
            self._is_over = True
            for handler in self._handlers:
                handler.cancel()
            await self._server.stop(LAST_WORDS_S)

    async def _until_idle(self) -> None:
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()

    # --- the calls

    def _methods(self) -> dict[str, Any]:
        def method(answer: Callable[[bytes, Context], Awaitable[bytes]]) -> Any:
            async def call(message: bytes, context: Context) -> bytes:
                self._under_way += 1
                context.add_done_callback(self._left)
                return await self._answer(answer, message, context)

            return grpc.unary_unary_rpc_method_handler(call)

        return {"Embed": method(self._embed), "ListEncoders": method(self._list_encoders)}

    async def _answer(self, answer: Callable[[bytes, Context], Awaitable[bytes]], message: bytes, context: Context) -> bytes:
        """The one place where errors become statuses."""
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            return await answer(message, context)
        except TwoHopError as error:
            await _abort(context, error)
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            await _abort(context, Unavailable("the service went down before this was done: ask elsewhere", retry_after_s=RETRY_S))
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            log.exception("a request failed unexpectedly")
            await _abort(context, ModelError("the request failed unexpectedly; the server's log says why"))
        finally:
            self._handlers.discard(handler)

    def _left(self, _: Context) -> None:
        """Its reply is on its way, or nobody wants it any more."""
        self._under_way -= 1
        self._idle.set()

    def _let_in(self, context: Context) -> None:
        self._keys.check(next((value for key, value in context.invocation_metadata() or () if key == "authorization"), None))
        if self._under_way > self._max_requests:
            raise Overloaded(f"{self._max_requests} requests are under way: come again", retry_after_s=RETRY_S)
        if self._lifecycle.phase is Phase.STARTING:
            raise Unavailable("the service is starting", retry_after_s=RETRY_S)
        if self._lifecycle.phase is Phase.DRAINING:
            raise Unavailable("the service is going down: ask elsewhere, or later", retry_after_s=RETRY_S)

    async def _embed(self, message: bytes, context: Context) -> bytes:
        try:
            self._let_in(context)
            left_s = context.time_remaining()
            request = read_embed(message, None if left_s is None else time.monotonic() + left_s)
        except TwoHopError as error:
            self._service.count_refused(error)
            raise
        reply = await self._service.embed(request)
        return write_reply(reply, np.dtype("<f2") if request.value_bytes == 2 else np.dtype("<f4"))

    async def _list_encoders(self, message: bytes, context: Context) -> bytes:
        self._let_in(context)
        read_list(message)
        return write_encoders(self._service.encoders(), self._service.limits, is_ready=self._service.is_ready)


async def _abort(context: Context, error: TwoHopError) -> NoReturn:
    await context.abort(grpc.StatusCode[error.grpc_code], error.message, to_trailers(error))
    raise AssertionError("abort raises")


def _bind(server: Any, host: str, port: int, security: Security) -> int:
    if port:
        bind(host, port).close()        # says why, where gRPC would only log it
    address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    try:
        if security.tls_cert is None or security.tls_key is None:
            bound = server.add_insecure_port(address)
        else:
            credentials = grpc.ssl_server_credentials([read_pair(security.tls_cert, security.tls_key)])
            bound = server.add_secure_port(address, credentials)
    except RuntimeError:
        bound = 0
    if not bound:
        raise Failed(f"cannot listen on {address}: taken, or not this machine's; choose another port, or stop what holds it")
    return int(bound)
