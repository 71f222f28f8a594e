"""The embedding service as a process: wires the parts, opens the ports at once, starts the worker, drains on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop

from embedding_service.fronts import operations
from embedding_service.fronts.grpc import GrpcFront
from embedding_service.model.devices import computing_devices
from embedding_service.model.encoder import describe_encoders
from embedding_service.serving import worker
from embedding_service.serving.cache import Cache
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.queue import Queues
from embedding_service.serving.registry import Registry
from embedding_service.serving.scheduler import Scheduler
from embedding_service.serving.service import Service
from embedding_service.serving.supervisor import Supervisor
from embedding_service.serving.tokenizing import Tokenizing
from embedding_service.settings import Settings
from twohop import __version__
from twohop_service import logs
from twohop_service.auth import Keys
from twohop_service.drain import Lifecycle, Phase
from twohop_service.http_server import bind, serving

log = logging.getLogger(__name__)

_IMPORTED = time.perf_counter()


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises Failed or InvalidInput where it cannot start."""
    logs.set_up(settings.plan.log_level)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    settings.security.check(settings.host)
    keys = Keys.read(settings.security.key_file)
    lifecycle, metrics, changed = Lifecycle(), Metrics(), asyncio.Event()

    def worker_changed() -> None:
        scheduler.pump()
        changed.set()

    supervisors = [
        Supervisor(
            partial(worker.command, plan), changed=worker_changed, restarted=metrics.worker_restarts.inc, hang_s=settings.hang_s
        )
        for plan in _plans(settings)
    ]
    scheduler = Scheduler(Queues(settings.bulk_share), supervisors, metrics)
    tokenizing = Tokenizing(settings.tokenizer_threads)
    service = Service(
        scheduler, tokenizing, metrics, limits=settings.limits, waits=settings.waits, bulk_share=settings.bulk_share,
        cache=Cache(settings.cache_bytes) if settings.cache_bytes else None,
    )
    front = GrpcFront(service, lifecycle, keys, max_requests=settings.max_requests)
    metrics.ready.set_function(lambda: float(lifecycle.is_ready and service.is_ready))
    async with AsyncExitStack() as stack:
        stack.callback(tokenizing.close)
        for supervisor in supervisors:
            stack.push_async_callback(supervisor.stop)
        listener = bind(settings.host, settings.http_port)
        stack.callback(listener.close)
        await stack.enter_async_context(serving(operations.build(service, lifecycle, metrics), listener, settings.security))
        port = await front.open(settings.host, settings.port, settings.security)
        stack.push_async_callback(front.close, settings.drain_s)
        lifecycle.watch_signals()
        host, http_port = listener.getsockname()[:2]
        log.info("embedding service %s: gRPC on %s:%d, HTTP on %s:%d; loading", __version__, host, port, host, http_port)
        if await _unless_stopped(lifecycle, _start(settings, supervisors, service, metrics)):
            lifecycle.become(Phase.READY)
            names = ", ".join(f"{encoder.name} {encoder.fingerprint}" for encoder in service.encoders())
            await stack.enter_async_context(_telling(front, lifecycle, service, changed))
            log.info("ready after %.1f s: %s (%s)", _age_s(), names, service.encoders().numerics)
            gc.freeze()         # what is loaded stays: no collection has to look at it again
            await lifecycle.stopped()
        log.info("draining: no new calls, those under way have %.0f s", settings.drain_s)


def _plans(settings: Settings) -> list[worker.Plan]:
    """One worker for each device, or one for the CPU."""
    devices = computing_devices(settings.plan.engine, settings.plan.precision)
    return [replace(settings.plan, device=device) for device in devices] or [settings.plan]


async def _start(settings: Settings, supervisors: Sequence[Supervisor], service: Service, metrics: Metrics) -> None:
    """The workers load the weights while this process reads what they are. Raises Failed or InvalidInput."""
    describing = asyncio.create_task(asyncio.to_thread(describe_encoders, settings.plan.models))
    try:
        ready, *_ = await asyncio.gather(*(supervisor.start() for supervisor in supervisors))
    finally:
        encoders = await describing         # where both fail, this error is nearer to what was asked for
    metrics.build.info({"version": __version__, "numerics": ready.numerics})
    service.open(Registry(encoders, ready.numerics))


async def _unless_stopped(lifecycle: Lifecycle, starting: Coroutine[None, None, None]) -> bool:
    """Whether it came to its end: a signal need not wait for a start."""
    start, stop = asyncio.create_task(starting), asyncio.create_task(lifecycle.stopped())
    await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
    is_done = start.done()
    for task in (start, stop):
        task.cancel()
    await asyncio.gather(start, stop, return_exceptions=True)
    if is_done:
        start.result()
    return is_done


@asynccontextmanager
async def _telling(
    front: GrpcFront, lifecycle: Lifecycle, service: Service, changed: asyncio.Event
) -> AsyncIterator[None]:
    """While the block runs, those who watch the health service hear of every worker that goes and comes."""

    async def tell() -> None:
        while True:
            changed.clear()
            await front.say_ready(lifecycle.is_ready and service.is_ready)
            await changed.wait()

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _age_s() -> float:
    """Of this process, in seconds: what whoever started it has waited."""
    try:
        started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.perf_counter() - _IMPORTED
