"""Around every request: an id that the caller can quote, a place in the metrics, a log line where we failed."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from head_service.gateway.metrics import Metrics

log = logging.getLogger(__name__)

ID_HEADER = b"x-request-id"
SAFE_ID = re.compile(rb"[!-~]{1,128}")


class Traffic:
    """ASGI middleware. `X-Request-Id` is echoed where the caller sent one, made up otherwise."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)
        status = 500          # what the caller gets if the application raises

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (ID_HEADER, request_id)]
            await send(message)

        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._metrics.in_flight.dec()
            seconds = time.perf_counter() - began
            # Unknown paths share one label: callers must not be able to make new time series.
            route = getattr(scope.get("route"), "path", "(unknown)")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            # A 503 of a service that is away comes by the thousand: the metrics count those. A 500 is worth a line each.
            level = logging.WARNING if status == 500 else logging.DEBUG
            log.log(level, "%s %s: %d after %.1f ms, request %s",
                    scope["method"], route, status, seconds * 1000, request_id.decode("ascii"))


def _id_of(scope: Scope) -> bytes:
    given = next((value for name, value in scope["headers"] if name == ID_HEADER), b"")
    return given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex.encode()
