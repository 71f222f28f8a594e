"""The loop that keeps one fresh look at the fleet: the catalogue of heads, their states at hop 2, hop 1's encoders.
Probes and GET /v1/heads answer from it, so that asking them often costs the services nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol, TypeVar

from head_service.gateway.fleet import Fleet, Head, Offer, head_of
from head_service.gateway.metrics import Metrics
from twohop.deadline import Deadline
from twohop.errors import TwoHopError, Unavailable
from twohop.types import Encoders, HeadSignature, HeadStatus

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 2.0
ASKED_AT_ONCE = 64

Answer = TypeVar("Answer")


class Catalog(Protocol):
    """Which heads there are. Called on a thread; raises TwoHopError where that cannot be said."""

    def offers(self) -> Sequence[Offer]: ...


class EmbeddingService(Protocol):
    async def encoders(self, *, timeout_s: float | None = None) -> Encoders: ...


class HeadServer(Protocol):
    async def status(self, head: str, *, timeout_s: float | None = None) -> list[HeadStatus]: ...
    async def refresh(self, head: str, deadline: Deadline) -> HeadSignature: ...


class Watch:
    """`fleet` is the last look; `running()` keeps looking while its block runs."""

    def __init__(self, catalog: Catalog, embedding: EmbeddingService, heads: HeadServer, metrics: Metrics, poll_s: float) -> None:
        self._catalog, self._embedding, self._heads = catalog, embedding, heads
        self._metrics, self._poll_s = metrics, poll_s
        self._places = asyncio.Semaphore(ASKED_AT_ONCE)
        self._last: Fleet | None = None
        self._signed: dict[tuple[str, int], str | None] = {}

    @property
    def fleet(self) -> Fleet:
        """Raises Unavailable before the first look."""
        if self._last is None:
            raise Unavailable("the gateway is starting", retry_after_s=1.0)
        return self._last

    async def why_not_ready(self) -> str | None:
        return "starting" if self._last is None else self._last.why_not_ready()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("looking at the fleet failed; the last look stands")
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """Asks everything once and replaces `fleet`. What does not answer is noted as trouble, never raised."""
        trouble: dict[str, str] = {}
        encoders, heads = await asyncio.gather(
            _noting(trouble, "embedding", self._embedding.encoders(timeout_s=ASK_TIMEOUT_S)),
            self._ask_heads(trouble),
        )
        before, self._last = self._last, Fleet(heads, encoders.encoders if encoders else (), trouble)
        self._tell(before or Fleet(), self._last, first=before is None)

    async def _ask_heads(self, trouble: dict[str, str]) -> tuple[Head, ...]:
        offers = await _noting(trouble, "repository", asyncio.to_thread(self._catalog.offers))
        if offers is None:
            # A repository that cannot be read for a moment takes no head away.
            offers = [head.offer for head in self._last.heads] if self._last else []
        return tuple(await asyncio.gather(*(self._ask_head(offer, trouble) for offer in offers)))

    async def _ask_head(self, offer: Offer, trouble: dict[str, str]) -> Head:
        async with self._places:
            statuses = {
                model: await _noting(trouble, "heads", self._heads.status(model, timeout_s=ASK_TIMEOUT_S))
                for model in offer.models
            }
            head = head_of(offer, {model: found for model, found in statuses.items() if found is not None})
            if offer.encoder is None and head.newest_available is not None:
                encoder = await self._encoder_of(offer.name, head.newest_available, trouble)
                head = replace(head, offer=replace(offer, encoder=encoder))
        return head

    async def _encoder_of(self, head: str, version: int, trouble: dict[str, str]) -> str | None:
        """From the signature; asked once per version, since versions never change."""
        if (head, version) not in self._signed:
            signature = await _noting(trouble, "heads", self._heads.refresh(head, Deadline.after(ASK_TIMEOUT_S)))
            if signature is None or signature.version != version:
                return None
            self._signed[head, version] = signature.fingerprint
        return self._signed[head, version]

    def _tell(self, before: Fleet, now: Fleet, *, first: bool) -> None:
        self._metrics.heads_available.set(now.heads_available)
        self._metrics.encoders_ready.set(now.encoders_ready)
        reason = now.why_not_ready()
        # Not by the reason's words: they count attempts, and would be news at every look.
        if first or (now.encoders_ready > 0, now.heads_available > 0) != (before.encoders_ready > 0, before.heads_available > 0):
            log.info("ready: %d heads available", now.heads_available) if reason is None else log.info("not ready: %s", reason)
        if now.models != before.models:
            log.info("heads on offer: %s", ", ".join(sorted(now.models)) or "none")


async def _noting(trouble: dict[str, str], part: str, asked: Awaitable[Answer]) -> Answer | None:
    try:
        return await asked
    except TwoHopError as error:
        trouble[part] = error.message
        return None
