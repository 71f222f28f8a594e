"""A gateway whose two hops answer by rule, in the same process: all of it is real but the services behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from httpx import ASGITransport, AsyncClient, Response

from head_service.gateway.catalog import NamedHeads
from head_service.gateway.classify import Classifier
from head_service.gateway.metrics import Metrics
from head_service.gateway.routes import build
from head_service.gateway.settings import Deadlines, Limits
from head_service.gateway.watch import Watch
from twohop.deadline import Deadline
from twohop.errors import NotFound, TwoHopError
from twohop.types import Classification, Classifications, Encoder, Encoders, HeadSignature, HeadStatus
from twohop.types import Limits as HopLimits
from twohop_service.auth import Keys
from twohop_service.drain import Lifecycle, Phase

DEFAULT_LIMITS, NO_KEYS = Limits(), Keys()
MINILM = Encoder("minilm", (), "enc-70fe41bf296e", {}, "openvino-bf16", 384, False, 256, True, True)


@dataclass
class Hops:
    """Both services in one: a text's label is its first word, a head in `broken` fails, one in `hanging` never ends."""

    broken: dict[str, TwoHopError] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=lambda: {"sentiment": "AVAILABLE", "topic": "AVAILABLE"})
    hop_1: TwoHopError | None = None
    score: float = 0.75
    version: int = 3
    fingerprint: str = MINILM.fingerprint
    asked: list[tuple[list[str], list[str], bool, float | None]] = field(default_factory=list)
    cancelled: int = 0

    async def classify_many(
        self, texts: Sequence[str], heads: Sequence[str], *, all_scores: bool = False, timeout_s: float | None = None
    ) -> Mapping[str, Classifications | TwoHopError]:
        self.asked.append((list(texts), list(heads), all_scores, timeout_s))
        if self.hop_1:
            raise self.hop_1
        if self.hanging & set(heads):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return {head: self.broken.get(head) or self._answer(head, texts, all_scores) for head in heads}

    def _answer(self, head: str, texts: Sequence[str], all_scores: bool) -> Classifications:
        items = tuple(
            Classification(words[0], self.score, {words[0]: self.score} if all_scores else None, len(words) + 2)
            for words in map(str.split, texts)
        )
        return Classifications(items, head, self.version, MINILM.fingerprint, {"embed": 4.0, "head": 1.0, "total": 5.0})

    async def encoders(self, *, timeout_s: float | None = None) -> Encoders:
        if self.hop_1:
            raise self.hop_1
        return Encoders((MINILM,), HopLimits(2048, 1 << 23, 1 << 26), "0.1.0")

    async def status(self, head: str, *, timeout_s: float | None = None) -> list[HeadStatus]:
        if head not in self.states:
            raise NotFound(f"Could not find any versions of model {head}")
        return [HeadStatus(head, self.version, self.states[head], "")]

    async def refresh(self, head: str, deadline: Deadline) -> HeadSignature:
        return HeadSignature(head, self.version, self.fingerprint, {}, 384)


@dataclass
class Gateway:
    hops: Hops
    watch: Watch
    http: AsyncClient
    transport: ASGITransport
    lifecycle: Lifecycle

    async def classify(self, *heads: str, texts: Sequence[str] = ("good film",), headers: Any = None, **more: Any) -> Response:
        return await self.http.post("/v1/classify", json={"texts": list(texts), "heads": list(heads), **more}, headers=headers)

    async def metric(self, line: str) -> float:
        text = (await self.http.get("/metrics")).text
        return sum(float(each.split(" ")[-1]) for each in text.splitlines() if each.startswith(line + " "))


@asynccontextmanager
async def gateway(hops: Hops, *, limits: Limits, keys: Keys, looked: bool = True) -> AsyncIterator[Gateway]:
    metrics, lifecycle = Metrics(), Lifecycle()
    watch = Watch(NamedHeads(["sentiment", "topic"]), hops, hops, metrics, poll_s=60)
    classifier = Classifier(hops, metrics, limits.max_in_flight_per_head)
    app = build(classifier, watch, keys, metrics, lifecycle, limits, Deadlines(default_ms=2000, max_ms=5000))
    lifecycle.become(Phase.READY)
    if looked:
        await watch.look()
    transport = ASGITransport(app=app)
    async with AsyncClient(transport=transport, base_url="http://test") as http:
        yield Gateway(hops, watch, http, transport, lifecycle)


def run(
    check: Callable[[Gateway], Awaitable[None]], hops: Hops | None = None, *,
    limits: Limits = DEFAULT_LIMITS, keys: Keys = NO_KEYS, looked: bool = True,
) -> None:
    """Runs `check` on an open gateway; `looked`: it has looked at its two hops once."""

    async def go() -> None:
        async with gateway(hops or Hops(), limits=limits, keys=keys, looked=looked) as opened:
            await check(opened)

    asyncio.run(go())


async def until(is_so: Callable[[], bool]) -> None:
    """Lets the event loop turn until something that it does has happened."""
    for _ in range(10_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")
