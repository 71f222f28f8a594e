"""The gateway as a process: wires the parts, opens the port at once, drains on SIGTERM."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

import uvloop

from head_service.gateway.catalog import NamedHeads, RepositoryHeads
from head_service.gateway.classify import Classifier
from head_service.gateway.metrics import Metrics
from head_service.gateway.routes import build
from head_service.gateway.settings import Settings
from head_service.gateway.watch import Catalog, Watch
from twohop.aio import AsyncEmbeddingClient, AsyncHeadClient, AsyncTwoHop
from twohop_service import logs
from twohop_service.auth import Keys
from twohop_service.drain import Lifecycle, Phase
from twohop_service.http_server import bind, serving

log = logging.getLogger(__name__)


def run(settings: Settings, log_level: str = "info") -> None:
    """Serves until SIGTERM or SIGINT. Raises Failed or InvalidInput where it cannot start."""
    logs.set_up(log_level)
    if log_level != "debug":
        # The client tells of every retry. The watch asks every other second and tells what has changed: that is enough.
        logging.getLogger("twohop").setLevel(logging.WARNING)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    settings.security.check(settings.host)
    hops, token = settings.hops, settings.hops.token()
    keys = Keys.read(settings.security.key_file)
    metrics, lifecycle = Metrics(), Lifecycle()
    listener = bind(settings.host, settings.port)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        timeout_s = settings.deadlines.default_ms / 1000
        both = await stack.enter_async_context(
            AsyncTwoHop(hops.embedding, hops.heads, timeout_s=timeout_s, token=token, tls=hops.tls)
        )
        embedding = await stack.enter_async_context(AsyncEmbeddingClient(hops.embedding, token=token, tls=hops.tls))
        heads = await stack.enter_async_context(AsyncHeadClient(hops.heads, token=token, tls=hops.tls))
        watch = Watch(_catalog(settings), embedding, heads, metrics, settings.poll_s)
        classifier = Classifier(both, metrics, settings.limits.max_in_flight_per_head)
        app = build(classifier, watch, keys, metrics, lifecycle, settings.limits, settings.deadlines)
        await stack.enter_async_context(watch.running())
        await stack.enter_async_context(serving(app, listener, settings.security, drain_s=settings.drain_s))
        lifecycle.watch_signals()
        lifecycle.become(Phase.READY)
        host, port = listener.getsockname()[:2]
        log.info("gateway listening on %s:%d", host, port)
        await lifecycle.stopped()
        log.info("draining: no new connections, running requests have %.0f s", settings.drain_s)


def _catalog(settings: Settings) -> Catalog:
    return NamedHeads(settings.heads) if settings.repository is None else RepositoryHeads(settings.repository)
