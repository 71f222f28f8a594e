"""`/livez`, `/readyz` and `/metrics`: what orchestrators and Prometheus ask every process of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from twohop_service.drain import Lifecycle

Reason = Callable[[], Awaitable[str | None]]


async def _nothing_amiss() -> str | None:
    return None


def add(app: FastAPI, lifecycle: Lifecycle, registry: CollectorRegistry, why_not_ready: Reason = _nothing_amiss) -> None:
    """`/livez`: the event loop turns. `/readyz`: 200, or 503 and the reason: the phase, else what `why_not_ready` says."""

    @app.get("/livez", tags=["operations"])
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["operations"])
    async def readyz() -> JSONResponse:
        reason = await why_not_ready() if lifecycle.is_ready else lifecycle.phase.value
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503, headers={"Retry-After": "1"})

    @app.get("/metrics", tags=["operations"])
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
