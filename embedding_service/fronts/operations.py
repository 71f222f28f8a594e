"""Hop 1's HTTP port, as operators see it: `/livez` `/readyz` `/metrics`, `/docs`, and what is here at `/`."""

from __future__ import annotations

from fastapi import FastAPI

from embedding_service.serving.metrics import Metrics
from embedding_service.serving.service import Service
from twohop import __version__
from twohop_service import http_errors, probes
from twohop_service.drain import Lifecycle


def build(service: Service, lifecycle: Lifecycle, metrics: Metrics) -> FastAPI:
    app = FastAPI(title="twohop embedding service", version=__version__, redoc_url=None, description=__doc__)
    http_errors.install(app)

    async def why_not_ready() -> str | None:
        return None if service.is_ready else "the worker is being replaced"

    probes.add(app, lifecycle, metrics.registry, why_not_ready)

    @app.get("/", include_in_schema=False)
    async def index() -> dict[str, str]:
        return {"service": "twohop embedding service", "version": __version__, "docs": "/docs", "ready": "/readyz",
                "metrics": "/metrics", "grpc": "twohop.embedding.v1.EmbeddingService"}

    return app
