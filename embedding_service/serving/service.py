"""All that fronts call: texts in, vectors out. Knows no protocol; a front turns its own messages into `Request` and `Reply`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from embedding_service.model.encoder import Encoder, Tokens
from embedding_service.serving.admission import WaitLimits, admit, predicted_wait_s
from embedding_service.serving.item import Call, Item, Vectors
from embedding_service.serving.limits import Limits
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.registry import Registry
from embedding_service.serving.scheduler import Scheduler, lost
from embedding_service.serving.tokenizing import Tokenizing
from twohop.errors import DeadlineExceeded, InvalidInput, TwoHopError, Unavailable

STARTING_RETRY_S = 0.5


@dataclass(frozen=True)
class Request:
    """`pairs`: none, or one per text. `value_bytes`: of one number in the reply. `deadline`: of time.monotonic, None: none."""

    texts: Sequence[str]
    encoder: str = ""
    pairs: Sequence[str] = ()
    expect_fingerprint: str = ""
    bulk: bool = False
    refuse_truncation: bool = False
    value_bytes: int = 4
    deadline: float | None = None


@dataclass(frozen=True)
class Timings:
    """Of the request's slowest text, in seconds."""

    tokenize_s: float
    queue_s: float
    compute_s: float
    total_s: float


@dataclass(frozen=True)
class Reply:
    """Per text: `vectors` float32 [rows, D], its tokens after (`tokens`) and before (`tokens_total`) it was cut."""

    encoder: Encoder
    numerics: str
    vectors: Sequence[Vectors]
    tokens: Sequence[int]
    tokens_total: Sequence[int]
    timings: Timings
    estimated_wait_s: float


class Service:
    """Refuses everything until `open`. One event loop's."""

    def __init__(
        self, scheduler: Scheduler, tokenizing: Tokenizing, metrics: Metrics, *,
        limits: Limits, waits: WaitLimits, bulk_share: float,
    ) -> None:
        self._scheduler = scheduler
        self._tokenizing = tokenizing
        self._metrics = metrics
        self._waits = waits
        self._bulk_share = bulk_share
        self._registry: Registry | None = None
        self.limits = limits
        metrics.queue_tokens.labels("online").set_function(lambda: scheduler.online_tokens)
        metrics.queue_tokens.labels("bulk").set_function(lambda: scheduler.bulk_tokens)
        metrics.estimated_wait.set_function(self.estimated_wait_s)

    def open(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def is_ready(self) -> bool:
        """Opened, and a worker lives. While one is replaced texts are taken nevertheless, and wait."""
        return self._registry is not None and self._scheduler.is_ready

    def encoders(self) -> Registry:
        """Raises Unavailable while starting."""
        if self._registry is None:
            raise Unavailable("the service is starting: its encoders are not loaded yet", retry_after_s=STARTING_RETRY_S)
        return self._registry

    def estimated_wait_s(self) -> float:
        """For an online text that arrived now."""
        load = self._scheduler.load
        return load.starting_s + predicted_wait_s(load, bulk=False, bulk_share=self._bulk_share)

    async def embed(self, request: Request) -> Reply:
        """Vectors of all texts, or the first error. Raises the error tree's; a caller who leaves cancels it."""
        encoder = None
        with self._metrics.in_flight.track_inprogress():
            try:
                encoder = self.encoders().find(request.encoder, request.expect_fingerprint)
                reply = await self._embed(request, encoder, self.encoders().numerics)
            except TwoHopError as error:
                self._count(encoder, type(error).__name__)
                raise
            except asyncio.CancelledError:
                self._count(encoder, "Cancelled")
                raise
        self._count(encoder, "ok")
        self._measure(reply)
        return reply

    async def _embed(self, request: Request, encoder: Encoder, numerics: str) -> Reply:
        arrived = time.monotonic()
        self.limits.check_texts(request.texts, request.pairs)
        self._admit(request)
        tokens = await self._tokenizing.tokens(encoder, request.texts, request.pairs)
        self._check_tokens(request, encoder, tokens)
        self._admit(request)
        tokenized = time.monotonic()
        call = Call(asyncio.get_running_loop())
        await self._run(call, request, encoder, tokens)
        slowest = max(call.items, key=lambda item: item.ended_at)
        timings = Timings(
            tokenized - arrived,
            (slowest.started_at or tokenized) - slowest.enqueued_at,
            slowest.compute_s,
            time.monotonic() - arrived,
        )
        vectors = [item.vectors for item in call.items if item.vectors is not None]
        counts, totals = [len(each.ids) for each in tokens], [each.total for each in tokens]
        return Reply(encoder, numerics, vectors, counts, totals, timings, self.estimated_wait_s())

    async def _run(self, call: Call, request: Request, encoder: Encoder, tokens: Sequence[Tokens]) -> None:
        """Queues the request's texts and waits for the last. Whatever ends it, nothing of it stays behind."""
        now, deadline = time.monotonic(), request.deadline
        items = [
            Item(call, encoder.index, each.ids, each.types, weights=encoder.weights, bulk=request.bulk, deadline=deadline)
            for each in tokens
        ]
        call.begin(items)
        timer = None
        if deadline is not None:
            over = DeadlineExceeded("the deadline passed before all texts were done")
            timer = asyncio.get_running_loop().call_later(max(deadline - now, 0), call.fail, over)
        try:
            self._scheduler.submit(items)
            await call.ended()
        finally:
            if timer is not None:
                timer.cancel()
            self._scheduler.withdraw(items)

    def _admit(self, request: Request) -> None:
        if self._scheduler.is_lost:
            raise lost()
        limit_s = self._waits.bulk_s if request.bulk else self._waits.online_s
        if request.deadline is not None:
            limit_s = min(limit_s, request.deadline - time.monotonic())
        admit(predicted_wait_s(self._scheduler.load, bulk=request.bulk, bulk_share=self._bulk_share), limit_s)

    def _check_tokens(self, request: Request, encoder: Encoder, tokens: Sequence[Tokens]) -> None:
        if request.refuse_truncation:
            for index, each in enumerate(tokens):
                if each.total > len(each.ids):
                    raise InvalidInput(
                        f"text {index} has {each.total} tokens; {encoder.name} takes {encoder.max_length}: "
                        "shorten it, or allow truncation",
                        detail={"index": index, "tokens": each.total, "max_length": encoder.max_length},
                    )
        rows = sum(len(each.ids) for each in tokens) if encoder.per_token else len(tokens)
        self.limits.check_reply(rows * encoder.dimension * request.value_bytes, len(tokens))

    def _count(self, encoder: Encoder | None, status: str) -> None:
        self._metrics.requests.labels(encoder.name if encoder else "(unknown)", status).inc()

    def _measure(self, reply: Reply) -> None:
        name, metrics = reply.encoder.name, self._metrics
        cut = sum(total > count for count, total in zip(reply.tokens, reply.tokens_total, strict=True))
        metrics.texts.labels(name).inc(len(reply.tokens))
        metrics.tokens.labels(name).inc(sum(reply.tokens))
        metrics.truncated.labels(name).inc(cut)
        metrics.tokenize_seconds.observe(reply.timings.tokenize_s)
        metrics.queue_seconds.observe(reply.timings.queue_s)
        metrics.request_seconds.observe(reply.timings.total_s)
