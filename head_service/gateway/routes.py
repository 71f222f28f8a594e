"""The gateway's HTTP interface: POST /v1/classify, GET /v1/heads, the probes and the docs."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse

from head_service.gateway import outcome
from head_service.gateway.classify import Classifier
from head_service.gateway.metrics import Metrics
from head_service.gateway.presence import while_connected
from head_service.gateway.request import ClassifyRequest, read
from head_service.gateway.settings import Deadlines, Limits
from head_service.gateway.traffic import Traffic
from head_service.gateway.watch import Watch
from twohop import __version__
from twohop_service import http_errors, probes
from twohop_service.auth import Keys
from twohop_service.drain import Lifecycle

BODY = {"required": True, "content": {"application/json": {"schema": ClassifyRequest.model_json_schema()}}}


def build(
    classifier: Classifier, watch: Watch, keys: Keys, metrics: Metrics, lifecycle: Lifecycle, limits: Limits, deadlines: Deadlines
) -> FastAPI:
    app = FastAPI(title="twohop gateway", version=__version__, redoc_url=None, description=__doc__)
    http_errors.install(app)
    app.add_middleware(Traffic, metrics=metrics)
    probes.add(app, lifecycle, metrics.registry, watch.why_not_ready)
    app.include_router(_interface(classifier, watch, keys, limits, deadlines))

    @app.get("/", include_in_schema=False)
    async def index() -> dict[str, str]:
        return {"service": "twohop gateway", "version": __version__, "docs": "/docs",
                "classify": "POST /v1/classify", "heads": "/v1/heads"}

    return app


def _interface(classifier: Classifier, watch: Watch, keys: Keys, limits: Limits, deadlines: Deadlines) -> APIRouter:
    async def let_in(authorization: Annotated[str | None, Header()] = None) -> None:
        keys.check(authorization)

    router = APIRouter(prefix="/v1", tags=["classification"], dependencies=[Depends(let_in)])

    @router.post("/classify", openapi_extra={"requestBody": BODY})
    async def classify(request: Request, x_request_timeout_ms: Annotated[str | None, Header()] = None) -> JSONResponse:
        """Labels for every text from every head; the texts are encoded once. A head that fails spoils only itself."""
        began = time.perf_counter()
        timeout_s = deadlines.seconds(x_request_timeout_ms)
        asked = await read(request, limits)
        fleet = watch.fleet
        work = classifier.classify(asked.texts, asked.heads, fleet, all_scores=asked.all_scores, timeout_s=timeout_s)
        answers = await while_connected(request, work)
        if error := outcome.failure(answers, asked.policy):
            raise error
        return JSONResponse(outcome.body(answers, fleet.encoders, total_ms=(time.perf_counter() - began) * 1000))

    @router.get("/heads")
    async def heads() -> dict[str, list[dict[str, Any]]]:
        """The heads on offer: versions with states and roles, encoder, labels, metrics (null where not known)."""
        return {"heads": [head.as_json() for head in watch.fleet.heads]}

    return router
