"""One request's work: refuse what nobody offers or can take now, send the rest through both hops, count it."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from head_service.gateway.fleet import Fleet
from head_service.gateway.metrics import Metrics
from head_service.gateway.outcome import Outcome
from twohop.errors import Cancelled, ModelError, Overloaded, TwoHopError
from twohop.types import Classification, Classifications


class TwoHops(Protocol):
    """One encode, many heads; a head that fails is an error among the answers."""

    async def classify_many(
        self, texts: Sequence[str], heads: Sequence[str], *, all_scores: bool = False, timeout_s: float | None = None
    ) -> Mapping[str, Classifications | TwoHopError]: ...


class Classifier:
    def __init__(self, hops: TwoHops, metrics: Metrics, max_in_flight_per_head: int) -> None:
        self._hops, self._metrics = hops, metrics
        self._places = Places(max_in_flight_per_head)

    async def classify(
        self, texts: Sequence[str], heads: Sequence[str], fleet: Fleet, *, all_scores: bool, timeout_s: float
    ) -> Outcome:
        """An answer or an error for every head, in the order asked. Never raises TwoHopError."""
        offered = fleet.models
        outcome: dict[str, Classifications | TwoHopError] = {
            head: fleet.unknown(head) for head in heads if head not in offered
        }
        with self._places.taken(head for head in heads if head in offered) as (let_in, full):
            outcome |= full
            try:
                outcome |= await self._through_both_hops(texts, let_in, all_scores, timeout_s)
            except asyncio.CancelledError:
                outcome |= dict.fromkeys(let_in, Cancelled("the caller left"))
                raise
            finally:
                self._count(outcome, offered, len(texts))
        return {head: outcome[head] for head in heads}

    async def _through_both_hops(
        self, texts: Sequence[str], heads: list[str], all_scores: bool, timeout_s: float
    ) -> Mapping[str, Classifications | TwoHopError]:
        if not heads:
            return {}
        try:
            answers = await self._hops.classify_many(texts, heads, all_scores=all_scores, timeout_s=timeout_s)
        except TwoHopError as error:
            return dict.fromkeys(heads, error)
        return {head: _finite(answers[head]) for head in heads}

    def _count(self, outcome: Outcome, offered: frozenset[str], texts: int) -> None:
        embed_ms = []
        for head, result in outcome.items():
            # Names that nobody offers would let any caller make new time series.
            label = head if head in offered else "(unknown)"
            kind = "ok" if isinstance(result, Classifications) else type(result).__name__
            self._metrics.head_calls.labels(label, kind).inc()
            if isinstance(result, Classifications):
                self._metrics.hop_seconds.labels("head").observe(result.timings_ms["head"] / 1000)
                embed_ms.append(result.timings_ms["embed"])
        if embed_ms:
            self._metrics.hop_seconds.labels("embed").observe(max(embed_ms) / 1000)
            self._metrics.texts.inc(texts)


def _finite(answer: Classifications | TwoHopError) -> Classifications | TwoHopError:
    """JSON has no word for NaN: a head whose weights are broken fails alone, not the whole reply."""
    if isinstance(answer, TwoHopError) or all(map(_is_finite, answer)):
        return answer
    return ModelError(f"head {answer.head!r} (version {answer.version}) answered a score that is no number")


def _is_finite(item: Classification) -> bool:
    return math.isfinite(item.score) and all(map(math.isfinite, (item.scores or {}).values()))


class Places:
    """How many requests wait for each head. One that hangs fills its own places and nobody else's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def taken(self, heads: Iterator[str]) -> Iterator[tuple[list[str], dict[str, Overloaded]]]:
        """The heads that have a place, held while the block runs, and an error for each that has none."""
        let_in, full = [], {}
        for head in heads:
            if self._waiting[head] < self._limit:
                let_in.append(head)
            else:
                full[head] = Overloaded(
                    f"{self._limit} requests are waiting for head {head!r} already", detail={"head": head}, retry_after_s=1.0
                )
        self._waiting.update(let_in)
        try:
            yield let_in, full
        finally:
            self._waiting.subtract(let_in)
            self._waiting += Counter()          # forgets the heads that nobody waits for
