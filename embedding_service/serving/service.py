"""All that fronts call: texts in, vectors out. Knows no protocol; a front turns its own messages into `Request` and `Reply`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from embedding_service.model.encoder import Encoder, Tokens
from embedding_service.serving.admission import WaitLimits, admit, longest_wait_s, predicted_wait_s
from embedding_service.serving.cache import Cache, Entry, keys
from embedding_service.serving.flights import Flights
from embedding_service.serving.item import Call, Item, Vectors
from embedding_service.serving.limits import Limits
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.registry import Registry, expect
from embedding_service.serving.scheduler import Scheduler, lost
from embedding_service.serving.tokenizing import Tokenizing
from twohop.errors import Cancelled, DeadlineExceeded, InvalidInput, ModelError, TwoHopError, Unavailable

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
    """Of the request's slowest text, in seconds. `cached`: texts whose vectors were kept from before."""

    tokenize_s: float
    queue_s: float
    compute_s: float
    total_s: float
    cached: int = 0


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
        limits: Limits, waits: WaitLimits, bulk_share: float, cache: Cache | None = None,
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
        self._flights: Flights | None = None        # without a cache, texts are not even hashed
        if cache is not None:
            self._flights = Flights(cache, scheduler)
            metrics.cache_bytes.set_function(lambda: cache.size)
            metrics.cache_entries.set_function(lambda: len(cache))

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
                encoder = self.encoders().find(request.encoder)
                expect(encoder, request.expect_fingerprint)
                reply = await self._embed(request, encoder, self.encoders().numerics)
            except TwoHopError as error:
                self._count(encoder, type(error).__name__)
                raise
            except asyncio.CancelledError:
                # At its deadline gRPC ends a call itself.
                is_late = request.deadline is not None and time.monotonic() >= request.deadline
                self._count(encoder, (DeadlineExceeded if is_late else Cancelled).__name__)
                raise
        self._count(encoder, "ok")
        self._measure(reply)
        return reply

    async def _embed(self, request: Request, encoder: Encoder, numerics: str) -> Reply:
        arrived = time.monotonic()
        self.limits.check_texts(request.texts, request.pairs)
        if self._flights is not None:
            return await self._embed_what_is_new(self._flights, request, encoder, numerics, arrived)
        tokens = await self._tokens(request, encoder, request.texts, request.pairs)
        counts, totals = [len(each.ids) for each in tokens], [each.total for each in tokens]
        self._check_tokens(request, encoder, counts, totals)
        tokenized = time.monotonic()
        call = Call(asyncio.get_running_loop())
        items = [
            Item(call, encoder.index, each.ids, each.types,
                 weights=encoder.weights, bulk=request.bulk, deadline=request.deadline)
            for each in tokens
        ]
        call.begin(items)
        try:
            self._scheduler.submit(items)
            await _ended(call, request.deadline)
        except ModelError as error:
            raise _naming(error, items) from error
        finally:
            self._scheduler.withdraw(items)         # whatever ended it, nothing of it stays behind
        timings = _timings(arrived, tokenized, items)
        vectors = [item.vectors for item in items if item.vectors is not None]
        return Reply(encoder, numerics, vectors, counts, totals, timings, self.estimated_wait_s())

    async def _embed_what_is_new(
        self, flights: Flights, request: Request, encoder: Encoder, numerics: str, arrived: float
    ) -> Reply:
        """The same through the cache. What is all in it is answered whatever the load, and while no worker lives."""
        wanted = keys(encoder.sha256, numerics, request.texts, request.pairs)
        known = flights.cache.find(wanted)
        tokens = await self._tokens_of_new(request, encoder, wanted, known)
        counts = [known[key].tokens if key in known else len(tokens[key].ids) for key in wanted]
        totals = [known[key].total if key in known else tokens[key].total for key in wanted]
        self._check_tokens(request, encoder, counts, totals)
        known |= flights.cache.find(tokens)         # what others finished while this was tokenised
        new = {key: each for key, each in tokens.items() if key not in known}
        tokenized = time.monotonic()
        found, items = {key: entry.vectors for key, entry in known.items()}, []
        started = 0
        if new:
            call = Call(asyncio.get_running_loop())
            joined, started = flights.join(call, encoder, new, bulk=request.bulk, deadline=request.deadline)
            items = [flight.item for flight in joined.values()]
        hits = sum(key in known for key in wanted)
        self._count_cached(encoder, hits=hits, misses=started, texts=len(wanted))
        if new:
            try:
                await _ended(call, request.deadline)
            except ModelError as error:
                raise _naming(error, [joined[key].item if key in joined else None for key in wanted]) from error
            finally:
                flights.leave(call, joined.values())
            found |= {key: flight.item.vectors for key, flight in joined.items() if flight.item.vectors is not None}
        timings = replace(_timings(arrived, tokenized, items), cached=hits)
        return Reply(encoder, numerics, [found[key] for key in wanted], counts, totals, timings, self.estimated_wait_s())

    async def _tokens_of_new(
        self, request: Request, encoder: Encoder, wanted: Sequence[bytes], known: Mapping[bytes, Entry]
    ) -> dict[bytes, Tokens]:
        """Of the texts that are not known, each once."""
        places = {key: index for index, key in enumerate(wanted) if key not in known}
        if not places:
            return {}
        texts = [request.texts[index] for index in places.values()]
        pairs = [request.pairs[index] for index in places.values()] if request.pairs else ()
        return dict(zip(places, await self._tokens(request, encoder, texts, pairs), strict=True))

    async def _tokens(self, request: Request, encoder: Encoder, texts: Sequence[str], pairs: Sequence[str]) -> list[Tokens]:
        return await self._tokenizing.tokens(encoder, texts, pairs, partial(self._admit, request, encoder))

    def _admit(self, request: Request, encoder: Encoder, tokens: float) -> None:
        """`tokens`: of its texts, as known so far."""
        if self._scheduler.is_lost:
            raise lost()
        limit_s = self._waits.bulk_s if request.bulk else self._waits.online_s
        if request.deadline is not None:
            # Over already: then it is let in if nobody waits, and ends so.
            limit_s = longest_wait_s(
                limit_s, request.deadline - time.monotonic(), self._scheduler.seconds(encoder.weights, tokens)
            )
        admit(predicted_wait_s(self._scheduler.load, bulk=request.bulk, bulk_share=self._bulk_share), limit_s)

    def _check_tokens(self, request: Request, encoder: Encoder, counts: Sequence[int], totals: Sequence[int]) -> None:
        """Per text: its tokens after and before the cut."""
        if request.refuse_truncation:
            for index, (count, total) in enumerate(zip(counts, totals, strict=True)):
                if total > count:
                    raise InvalidInput(
                        f"text {index} has {total} tokens; {encoder.name} takes {encoder.max_length}: "
                        "shorten it, or allow truncation",
                        detail={"index": index, "tokens": total, "max_length": encoder.max_length},
                    )
        rows = sum(counts) if encoder.per_token else len(counts)
        self.limits.check_reply(rows * encoder.dimension * request.value_bytes, len(counts))

    def count_refused(self, error: TwoHopError) -> None:
        """A request that ended before it came here."""
        self._count(None, type(error).__name__)

    def _count(self, encoder: Encoder | None, status: str) -> None:
        self._metrics.requests.labels(encoder.name if encoder else "(unknown)", status).inc()

    def _count_cached(self, encoder: Encoder, *, hits: int, misses: int, texts: int) -> None:
        self._metrics.cache_hits.labels(encoder.name).inc(hits)
        self._metrics.cache_misses.labels(encoder.name).inc(misses)
        self._metrics.cache_shared.labels(encoder.name).inc(texts - hits - misses)

    def _measure(self, reply: Reply) -> None:
        name, metrics = reply.encoder.name, self._metrics
        cut = sum(total > count for count, total in zip(reply.tokens, reply.tokens_total, strict=True))
        metrics.texts.labels(name).inc(len(reply.tokens))
        metrics.tokens.labels(name).inc(sum(reply.tokens))
        metrics.truncated.labels(name).inc(cut)
        metrics.tokenize_seconds.observe(reply.timings.tokenize_s)
        metrics.queue_seconds.observe(reply.timings.queue_s)
        metrics.request_seconds.observe(reply.timings.total_s)


def _naming(error: ModelError, items: Sequence[Item | None]) -> ModelError:
    """`items`: of the texts, in their order; None: one that was not computed."""
    index = next((index for index, item in enumerate(items) if item is not None and item.error is error), None)
    return error if index is None else ModelError(f"text {index}: {error.message}", detail={**error.detail, "index": index})


async def _ended(call: Call, deadline: float | None) -> None:
    """Raises its first error, or DeadlineExceeded."""
    if deadline is None:
        await call.ended()
        return
    over = DeadlineExceeded("the deadline passed before all texts were done")
    timer = asyncio.get_running_loop().call_later(max(deadline - time.monotonic(), 0), call.fail, over)
    try:
        await call.ended()
    finally:
        timer.cancel()


def _timings(arrived: float, tokenized: float, items: Sequence[Item]) -> Timings:
    """`items`: those that were computed. One that others asked for earlier may have waited and run before this request came."""
    ended, queue_s, compute_s = time.monotonic(), 0.0, 0.0
    if items:
        slowest = max(items, key=lambda item: item.ended_at)
        queue_s = max((slowest.started_at or tokenized) - max(slowest.enqueued_at, tokenized), 0.0)
        compute_s = min(slowest.compute_s, ended - tokenized)
    return Timings(tokenized - arrived, queue_s, compute_s, ended - arrived)
