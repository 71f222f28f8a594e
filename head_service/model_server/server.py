"""Wires the embedded server and leads it through its life: load, listen, serve, drain. As TF-Serving it opens no port
before every configured model has a version that is available or has failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from head_service.model_server.fronts import grpc_front
from head_service.model_server.fronts.rest_front import RestApp
from head_service.model_server.lifecycle.available import Available
from head_service.model_server.lifecycle.config_source import ConfigFile, first_models
from head_service.model_server.lifecycle.history import History
from head_service.model_server.lifecycle.loading import load
from head_service.model_server.lifecycle.loop import Loop
from head_service.model_server.lifecycle.reconciler import Reconciler
from head_service.model_server.service import Service, not_available
from head_service.model_server.settings import GrpcSettings, RestSettings, Settings, SourceSettings
from head_service.model_server.status import Code, ServingError
from twohop.errors import Failed
from twohop_service.drain import Lifecycle
from twohop_service.http_server import bind, serving
from twohop_service.settings import Security

log = logging.getLogger(__name__)

LOOK_S = 0.05
REMIND_LOOKS = 600                      # of LOOK_S each
DRAIN_S = 30.0


def run(settings: Settings) -> None:
    """Serves until a signal, then finishes what is running. Raises ServingError where it cannot start."""
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    process = Lifecycle()
    process.watch_signals()
    _check_free(settings.grpc)
    async with AsyncExitStack() as stack:
        if not await _before_stop(process, _wait_for_config(settings.source)):
            return
        service, reconciler = stack.enter_context(_models(settings))
        if not await _before_stop(process, _until_settled(reconciler)):
            return
        if failures := reconciler.failures():
            raise not_available(failures, "servable(s)")
        await stack.enter_async_context(_rest(settings.rest, settings.grpc.port, service))
        await stack.enter_async_context(_grpc(settings.grpc, service))
        await process.stopped()
        log.info("Draining: no new requests; the running ones end first, for up to %.0f s", DRAIN_S)


# --- loading

@contextmanager
def _models(settings: Settings) -> Iterator[tuple[Service, Reconciler]]:
    """What serves and what loads. Leaving ends the lifecycle and unloads everything."""
    available, history, loop = Available(), History(), Loop()
    source, answers = settings.source, settings.answers
    models = first_models(source)
    follows = source.config_file is not None and source.poll_s > 0
    config_file = ConfigFile(source.config_file, source.poll_s) if follows and source.config_file else None
    with ThreadPoolExecutor(settings.loading.threads, "model-load") as pool:

        def open_version(path: str) -> Any:
            return load(path, settings.session, settings.loading.warmup_iterations, answers)

        reconciler = Reconciler(settings.loading, open_version, pool, available, history, wake=loop.wake)
        reconciler.set_models(models)
        loop.start(reconciler, config_file)
        try:
            yield Service(available, history, reconciler, answers), reconciler
        finally:
            loop.stop()
            pool.shutdown(cancel_futures=True)
            reconciler.close()


async def _wait_for_config(source: SourceSettings) -> None:
    """A repository without a head yet is waited for, as TF-Serving waits for a model without a version."""
    looks = 0
    while source.may_be_absent and source.config_file is not None and not source.config_file.exists():
        if looks % REMIND_LOOKS == 0:
            log.warning("%s is not there yet: waiting for the first head to be trained; no port is open", source.config_file)
        looks += 1
        await asyncio.sleep(LOOK_S)


async def _until_settled(reconciler: Reconciler) -> None:
    looks = 0
    while waiting := reconciler.unsettled():
        looks += 1
        if looks % REMIND_LOOKS == 0:
            log.warning("Still waiting, with no port open, for a version of: %s", ", ".join(sorted(waiting)))
        await asyncio.sleep(LOOK_S)


async def _before_stop(process: Lifecycle, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` was done before the process was asked to end."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(process.stopped())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    done = working.done()
    for task in (working, stopping):
        task.cancel()
    await asyncio.gather(working, stopping, return_exceptions=True)
    return done


# --- listening

def _check_free(settings: GrpcSettings) -> None:
    """A taken port is told before models are loaded, and not minutes later."""
    if settings.port:
        try:
            bind(settings.host, settings.port).close()
        except Failed as error:
            raise ServingError(Code.UNKNOWN, f"Failed to BuildAndStart gRPC server: {error.message}") from error


@asynccontextmanager
async def _grpc(settings: GrpcSettings, service: Service) -> AsyncIterator[None]:
    with ThreadPoolExecutor(settings.threads, "grpc") as pool:
        server = await grpc_front.build(settings, service, pool)
        await server.start()
        for address in grpc_front.addresses(settings):
            log.info("Running gRPC ModelServer at %s ...", address)
        try:
            yield
        finally:
            await server.stop(DRAIN_S)


@asynccontextmanager
async def _rest(settings: RestSettings, grpc_port: int, service: Service) -> AsyncIterator[None]:
    """REST that cannot be served is told, and gRPC goes on without it, as with TF-Serving."""
    listener = None
    if settings.port and settings.port == grpc_port:
        log.error("server_options.http_port cannot be same as grpc_port. Please use a different port for HTTP/REST API. "
                  "Skipped exporting HTTP/REST API.")
    elif settings.port:
        try:
            listener = bind(settings.host, settings.port)
        except Failed as error:
            log.error("Failed to start HTTP Server at localhost:%d: %s", settings.port, error.message)
    if listener is None:
        yield
        return
    with ThreadPoolExecutor(settings.threads, "rest") as pool:
        async with serving(RestApp(settings, service, pool), listener, Security(), drain_s=DRAIN_S):
            log.info("Exporting HTTP/REST API at:localhost:%d ...", settings.port)
            yield
