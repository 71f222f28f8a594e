"""The REST port: routes, bodies, codes and headers of TF-Serving, as a plain ASGI application."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from head_service.model_server.fronts import json_replies, json_requests, json_text, rest_routes
from head_service.model_server.fronts.pace import Pace
from head_service.model_server.model import DEFAULT_SIGNATURE
from head_service.model_server.requests.predict import run
from head_service.model_server.service import SIGNATURE_DEF, Service
from head_service.model_server.settings import RestSettings
from head_service.model_server.status import Code, ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

log = logging.getLogger(__name__)

MAX_INFLATED_BYTES = 100 * 2**20

_STATUS = {
    Code.OK: 200, Code.INVALID_ARGUMENT: 400, Code.FAILED_PRECONDITION: 400, Code.OUT_OF_RANGE: 400, Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403, Code.NOT_FOUND: 404, Code.ALREADY_EXISTS: 409, Code.ABORTED: 409, Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499, Code.UNKNOWN: 500, Code.INTERNAL: 500, Code.DATA_LOSS: 500, Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503, Code.DEADLINE_EXCEEDED: 504,
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_NOT_FOUND_PAGE = (
    "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Reply:
    status: int
    body: str
    content_type: str = "application/json"


class RestApp:
    def __init__(self, settings: RestSettings, service: Service, pool: Executor) -> None:
        self._settings = settings
        self._service = service
        self._pace = Pace(pool)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        if body is None:                    # the caller has gone
            return
        reply = await self._answer(scope, body)
        content = reply.body.encode("utf-8", json_text.BYTES)
        headers = {"Content-Type": reply.content_type, "Content-Length": str(len(content))}
        if self._settings.cors:
            headers |= _CORS
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, body: bytes) -> Reply:
        method, path = scope["method"], _path(scope)
        if not rest_routes.is_ours(path):
            return Reply(404, _NOT_FOUND_PAGE, "text/html")
        try:
            return Reply(200, await self._act(rest_routes.route(method, path), scope, body))
        except rest_routes.VersionOutOfRange:
            return Reply(400, "")
        except ServingError as error:
            # A preflight that is refused says nothing; every other error is an object with one key.
            return Reply(_STATUS[error.code], "" if method == "OPTIONS" else json_replies.error_body(error.message))
        except Exception as error:
            log.exception("%s %s failed in a way that was not foreseen", method, path)
            return Reply(500, json_replies.error_body(f"{type(error).__name__}: {error}"))

    async def _act(self, route: rest_routes.Route, scope: Scope, body: bytes) -> str:
        spec = route.spec
        match route.action:
            case "preflight":
                return _preflight(_header(scope, b"origin"))
            case "status":
                return _as_json(self._service.get_model_status(wire.GetModelStatusRequest(model_spec=spec)))
            case "metadata":
                request = wire.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
                return _metadata_json(self._service.get_model_metadata(request))
            case "predict":
                if "gzip" in _header(scope, b"content-encoding"):       # nobody knows yet how large it is
                    return await self._pace.do(spec.name, MAX_INFLATED_BYTES, lambda: self._predict(spec, _inflated(body)))
                return await self._pace.do(spec.name, len(body), lambda: self._predict(spec, body))
            case action:
                raise ServingError(
                    Code.UNIMPLEMENTED, f":{action} is not built yet in the embedded server; use :predict"
                )

    def _predict(self, spec: wire.ModelSpec, body: bytes) -> str:
        document = json_text.parse_object(body)
        name = json_requests.signature_name(document) or DEFAULT_SIGNATURE
        with self._service.servable(spec) as servable:
            signature = servable.model.signatures.get(name)
            if signature is None:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {name}")
            arrays, in_rows = json_requests.read_inputs(document, signature.inputs)
            outputs = run(servable.model, signature, arrays, lambda array: array, (), self._settings.timeout_ms)
        return json_replies.row_form(outputs) if in_rows else json_replies.column_form(outputs)


async def _read(receive: Receive) -> bytes | None:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _path(scope: Scope) -> str:
    """As it was sent: not decoded, with its query."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (raw + (b"?" + query if query else b"")).decode("latin-1")


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _preflight(origin: str) -> str:
    if "http://" not in origin and "https://" not in origin:
        raise ServingError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
    return ""


def _inflated(body: bytes) -> bytes:
    """Empty, and so no JSON, where it is no gzip or too much of it."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(body, MAX_INFLATED_BYTES)
    except zlib.error:
        return b""
    return plain if inflater.eof else b""


def _as_json(message: Message) -> str:
    return json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
    ) + "\n"


def _metadata_json(response: wire.GetModelMetadataResponse) -> str:
    """The signatures stand in it as themselves, without the `@type` of an Any."""
    signatures = wire.SignatureDefMap.FromString(response.metadata[SIGNATURE_DEF].value)
    document = {
        "model_spec": json.loads(_as_json(response.model_spec)),
        "metadata": {SIGNATURE_DEF: json.loads(_as_json(signatures))},
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
