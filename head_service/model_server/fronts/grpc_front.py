"""The gRPC port: PredictionService, ModelService and, if wanted, health. Requests are parsed here and not by gRPC, so
that bytes that are no message are the caller's error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from head_service.model_server.fronts.pace import SMALL_BYTES, Pace
from head_service.model_server.model import NO_TIMEOUT_MS
from head_service.model_server.service import Service
from head_service.model_server.settings import GrpcSettings
from head_service.model_server.status import Code, ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
HEALTH_NAMES = ("", "ModelService", "PredictionService")        # unqualified, as TF-Serving registers them

MAX_TEXT_BYTES = 1024
TRUNCATED = "...TRUNCATED"
RELOAD_LOOK_S = 0.05

_CODES = {status.value[0]: status for status in grpc.StatusCode}

Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request", bound=Message)
Answer = Callable[[bytes, Context], Awaitable[Message]]


async def build(settings: GrpcSettings, service: Service, pool: Executor) -> grpc.aio.Server:
    """A server with its port and socket bound, not started. Raises ServingError where a port or a path is taken."""
    server = grpc.aio.server(options=_options(settings))
    methods = Methods(service, Pace(pool))
    server.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler(PREDICTION, {
            "Predict": _handler(methods.predict),
            "GetModelMetadata": _handler(methods.get_model_metadata),
            **{name: _handler(_not_built(name)) for name in ("Classify", "Regress", "MultiInference")},
        }),
        grpc.method_handlers_generic_handler(MODEL, {
            "GetModelStatus": _handler(methods.get_model_status),
            "HandleReloadConfigRequest": _handler(methods.handle_reload_config_request),
        }),
    ])
    if settings.health:
        await _add_health(server)
    for address in addresses(settings):
        _bind(server, address)
    return server


def addresses(settings: GrpcSettings) -> list[str]:
    """Where the server listens, in gRPC's words."""
    host = f"[{settings.host}]" if ":" in settings.host and not settings.host.startswith("[") else settings.host
    tcp = [f"{host}:{settings.port}"] if settings.port else []
    return tcp + ([f"unix:{settings.socket_path}"] if settings.socket_path else [])


class Methods:
    """Each takes the bytes of a request and returns the reply, or raises ServingError."""

    def __init__(self, service: Service, pace: Pace) -> None:
        self._service = service
        self._pace = pace

    async def predict(self, body: bytes, context: Context) -> Message:
        left_ms = time_left_ms(context)

        def work() -> Message:
            return self._service.predict(parsed or _parse(wire.PredictRequest, body), left_ms())

        # A large one is parsed where it is worked on; a small one at once, since its model says where that is.
        parsed = _parse(wire.PredictRequest, body) if len(body) <= SMALL_BYTES else None
        return await self._pace.do(parsed.model_spec.name if parsed else "", len(body), work)

    async def get_model_metadata(self, body: bytes, context: Context) -> Message:
        return self._service.get_model_metadata(_parse(wire.GetModelMetadataRequest, body))

    async def get_model_status(self, body: bytes, context: Context) -> Message:
        return self._service.get_model_status(_parse(wire.GetModelStatusRequest, body))

    async def handle_reload_config_request(self, body: bytes, context: Context) -> Message:
        """Answers once every newly named model has a version, however long that takes; the caller's deadline ends it."""
        names = self._service.start_reload(_parse(wire.ReloadConfigRequest, body))
        while True:
            if self._service.reloaded(names):
                return wire.ReloadConfigResponse(status=wire.StatusProto())
            await asyncio.sleep(RELOAD_LOOK_S)


def time_left_ms(context: Context) -> Callable[[], int]:
    """What will be left of the caller's deadline, asked for when the work begins."""
    left_s = context.time_remaining()
    if left_s is None:
        return lambda: NO_TIMEOUT_MS
    ends_at = time.monotonic() + left_s
    return lambda: max(1, int((ends_at - time.monotonic()) * 1000))


def shortened(text: str) -> str:
    """As TF-Serving cuts its texts."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= MAX_TEXT_BYTES else raw[:MAX_TEXT_BYTES].decode("utf-8", "ignore") + TRUNCATED


def _handler(answer: Answer) -> grpc.RpcMethodHandler[Any, Any]:
    async def call(body: bytes, context: Context) -> bytes:
        try:
            return (await answer(body, context)).SerializeToString()
        except ServingError as error:
            await context.abort(_CODES[error.code], shortened(error.message))
            raise AssertionError("abort raises") from error

    return grpc.unary_unary_rpc_method_handler(call)


def _not_built(name: str) -> Answer:
    async def answer(body: bytes, context: Context) -> Message:
        raise ServingError(Code.UNIMPLEMENTED, f"{name} is not built yet in the embedded server; use Predict")

    return answer


def _parse(kind: type[Request], body: bytes) -> Request:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise invalid(f"The request's bytes are no {kind.DESCRIPTOR.name}: {error}") from error


def _options(settings: GrpcSettings) -> list[tuple[str, Any]]:
    ours = {
        "grpc.max_receive_message_length": -1,
        "grpc.max_send_message_length": -1,
        "grpc.so_reuseport": 0,             # or a second server would share the port without a word
    }
    return list({**ours, **dict(settings.channel_arguments)}.items())


def _bind(server: grpc.aio.Server, address: str) -> None:
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(
            Code.UNKNOWN, f"Failed to BuildAndStart gRPC server: cannot listen on {address}; is another server there? ({error})"
        ) from error


async def _add_health(server: grpc.aio.Server) -> None:
    """SERVING from the first call on: the port opens only when models are loaded."""
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.aio.HealthServicer()      # type: ignore[attr-defined]
    for name in HEALTH_NAMES:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
