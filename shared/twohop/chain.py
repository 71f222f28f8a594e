"""Both hops as one call: texts in, labels out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from twohop.deadline import Deadline, deadlines
from twohop.embedding import EmbeddingCalls
from twohop.errors import EncoderMismatch, InvalidInput, NotFound, TooLarge, TwoHopError
from twohop.head_inputs import head_inputs
from twohop.heads import HeadCalls, joined, mismatch
from twohop.texts import Texts, check
from twohop.transport import BlockingTransport, Transport, run
from twohop.types import TLS, Classifications, Embeddings, Encoder, Encoders, HeadSignature
from twohop.wire import embedding_pb2 as wire

# Hop 1 gives up this much earlier than the call, so that hop 2 has time for what was paid for.
RESERVE_SHARE, RESERVE_MOST_S = 0.1, 1.0
HEADS_AT_ONCE = 32

Answers = dict[str, Classifications | TwoHopError]


class TwoHop:
    """Both hops, blocking; threads may share it. Addresses: one or several of each service."""

    def __init__(
        self,
        embedding: str | Sequence[str],
        heads: str | Sequence[str],
        *,
        encoder: str = "",
        timeout_s: float = 10.0,
        token: str | None = None,
        tls: TLS | None = None,
    ) -> None:
        transport = BlockingTransport(tls, token)
        self._calls = TwoHopCalls(embedding, heads, encoder=encoder, timeout_s=timeout_s, transport=transport)

    def classify(
        self, texts: Sequence[str], head: str, *, all_scores: bool = False, timeout_s: float | None = None
    ) -> Classifications:
        """The labels of any number of texts, in order.

        Without a named encoder the head gets vectors of the listed encoder whose fingerprint it names; a named one is
        used as it is. `timeout_s` bounds the whole call, both hops; without it the client's default bounds each of the
        requests that a large call is split into.

        Raises what `EmbeddingClient.embed` and `HeadClient.predict` raise; EncoderMismatch names both fingerprints.
        """
        return run(self._calls.classify(texts, head, all_scores=all_scores, timeout_s=timeout_s))

    def classify_many(
        self, texts: Sequence[str], heads: Sequence[str], *, all_scores: bool = False, timeout_s: float | None = None
    ) -> Answers:
        """The same for several heads, with one encode for all heads of one encoder. A head that fails has its error for
        a value and spoils no other; only bad texts raise."""
        return run(self._calls.classify_many(texts, heads, all_scores=all_scores, timeout_s=timeout_s))

    def embed(self, texts: Sequence[str], *, timeout_s: float | None = None) -> npt.NDArray[np.float32]:
        """Vectors [N, D] of the named encoder, else of the first. Raises InvalidInput for a token encoder."""
        return run(self._calls.embed(texts, timeout_s=timeout_s))

    def close(self) -> None:
        run(self._calls.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class TwoHopCalls:
    """What both clients of the chain do, written once; how to wait is the transport's. `AsyncTwoHop` is this."""

    def __init__(
        self,
        embedding: str | Sequence[str],
        heads: str | Sequence[str],
        *,
        encoder: str,
        timeout_s: float,
        transport: Transport,
    ) -> None:
        self.timeout_s = timeout_s
        self._transport = transport
        self._embedding = EmbeddingCalls(embedding, encoder=encoder, timeout_s=timeout_s, transport=transport)
        self._heads = HeadCalls(heads, timeout_s=timeout_s, transport=transport)

    async def classify(
        self, texts: Sequence[str], head: str, *, all_scores: bool = False, timeout_s: float | None = None
    ) -> Classifications:
        """The labels of any number of texts, in order: see `TwoHop.classify`."""
        answer = (await self.classify_many(texts, [head], all_scores=all_scores, timeout_s=timeout_s))[head]
        if isinstance(answer, TwoHopError):
            raise answer
        return answer

    async def classify_many(
        self, texts: Sequence[str], heads: Sequence[str], *, all_scores: bool = False, timeout_s: float | None = None
    ) -> Answers:
        """The same for several heads: see `TwoHop.classify_many`."""
        if isinstance(heads, str) or not heads:
            raise InvalidInput("heads: give a list with at least one name")
        begun = time.perf_counter()
        names = list(dict.fromkeys(heads))
        given = check(texts)
        deadline = deadlines(timeout_s, self.timeout_s)
        try:
            requests = await self._embedding.split(given, _for_hop_1(deadline()))
        except TooLarge:
            raise
        except TwoHopError as error:
            return dict.fromkeys(names, error)
        failed: dict[str, TwoHopError] = {}

        async def ask(part: Texts) -> Answers:
            wanted = [name for name in names if name not in failed]         # a head that failed is not asked further
            answers = await self._classify_part(part, wanted, all_scores, deadline())
            failed.update({name: answer for name, answer in answers.items() if isinstance(answer, TwoHopError)})
            return answers

        parts = await self._transport.each(ask, requests, self._embedding.at_once)
        return {name: failed.get(name) or _whole(name, parts, _since(begun)) for name in names}

    async def embed(self, texts: Sequence[str], *, timeout_s: float | None = None) -> npt.NDArray[np.float32]:
        """Vectors [N, D]: see `TwoHop.embed`."""
        found = await self._embedding.embed(texts, timeout_s=timeout_s)
        if any(rows != 1 for rows in found.rows):
            raise InvalidInput(
                f"encoder '{found.encoder}' gives one vector per token: use EmbeddingClient.embed, whose result has their rows"
            )
        return found.vectors.copy()         # the caller's own, to change as they like

    async def aclose(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _classify_part(self, part: Texts, heads: Sequence[str], all_scores: bool, deadline: Deadline) -> Answers:
        """One request's worth. What was read of heads and encoders may be out of date: where they do not fit, both are
        read once more, and what has changed is asked again."""
        pairs = await self._pairs(heads, deadline)
        answers = await self._ask(pairs, part, all_scores, deadline)
        stale = [head for head, answer in answers.items() if isinstance(answer, (EncoderMismatch, NotFound))]
        if stale:
            fresh = await self._pairs(stale, deadline, anew=True)
            changed = {head: pair for head, pair in fresh.items() if isinstance(pair, _Pair) and pair != pairs[head]}
            answers |= await self._ask(changed, part, all_scores, deadline)
        return answers

    async def _pairs(self, heads: Sequence[str], deadline: Deadline, *, anew: bool = False) -> dict[str, _Pair | TwoHopError]:
        """Each head with the encoder that it gets vectors of, or the reason why it gets none."""
        try:
            listed = await (self._embedding.refresh(deadline) if anew else self._embedding.listed(deadline))
        except TwoHopError as error:
            return dict.fromkeys(heads, error)

        async def pair(head: str) -> _Pair | TwoHopError:
            try:
                signature = await (self._heads.refresh(head, deadline) if anew else self._heads.known(head, deadline))
                return _Pair(signature, _encoder_for(signature, self._embedding.encoder, listed))
            except TwoHopError as error:
                return error

        return dict(zip(heads, await self._transport.each(pair, heads, HEADS_AT_ONCE), strict=True))

    async def _ask(
        self, pairs: Mapping[str, _Pair | TwoHopError], part: Texts, all_scores: bool, deadline: Deadline
    ) -> Answers:
        """One encode for each encoder, then its heads, side by side."""
        answers: Answers = {head: pair for head, pair in pairs.items() if isinstance(pair, TwoHopError)}
        groups: dict[str, list[_Pair]] = {}
        for pair in pairs.values():
            if isinstance(pair, _Pair):
                groups.setdefault(pair.encoder.name, []).append(pair)

        async def ask(group: list[_Pair]) -> Answers:
            try:
                vectors = await self._encode(group[0].encoder, part, deadline)
            except TwoHopError as error:
                return {pair.signature.head: error for pair in group}
            found = await self._transport.each(
                lambda pair: self._label(pair.signature, vectors, part, all_scores, deadline), group, HEADS_AT_ONCE
            )
            return {pair.signature.head: answer for pair, answer in zip(group, found, strict=True)}

        for found in await self._transport.each(ask, list(groups.values()), HEADS_AT_ONCE):
            answers |= found
        return answers

    async def _encode(self, encoder: Encoder, part: Texts, deadline: Deadline) -> Embeddings:
        form = wire.EmbedRequest(
            encoder=encoder.name,
            expect_fingerprint=encoder.fingerprint,
            dtype=wire.DTYPE_FLOAT16 if encoder.per_token else wire.DTYPE_FLOAT32,      # a vector per token is much to send
        )
        return await self._embedding.send(form, part, _for_hop_1(deadline))

    async def _label(
        self, signature: HeadSignature, vectors: Embeddings, part: Texts, all_scores: bool, deadline: Deadline
    ) -> Classifications | TwoHopError:
        begun = time.perf_counter()
        try:
            found = joined([
                await self._heads.ask(signature.head, inputs, vectors.fingerprint, all_scores, lambda: deadline)
                for inputs in head_inputs(signature, vectors, part.texts)
            ])
        except TwoHopError as error:
            return error
        head_ms = _since(begun)
        items = tuple(
            replace(item, tokens=kept, truncated=total > kept)
            for item, kept, total in zip(found.items, vectors.tokens, vectors.tokens_total, strict=True)
        )
        embed_ms = vectors.timings["total"]
        return replace(found, items=items, timings_ms={"embed": embed_ms, "head": head_ms, "total": embed_ms + head_ms})


@dataclass(frozen=True)
class _Pair:
    """A head, and the encoder whose vectors it takes."""

    signature: HeadSignature
    encoder: Encoder


def _encoder_for(signature: HeadSignature, named: str, listed: Encoders) -> Encoder:
    """The named encoder, else the listed one whose fingerprint the head names. Raises EncoderMismatch, NotFound."""
    if named:
        encoder = listed.named(named)
        if encoder.fingerprint != signature.fingerprint:
            raise mismatch(signature, encoder.fingerprint)
        return encoder
    found = listed.with_fingerprint(signature.fingerprint or "")
    if found is None:
        raise mismatch(signature, ", ".join(encoder.fingerprint for encoder in listed))
    return found


def _for_hop_1(deadline: Deadline) -> Deadline:
    return deadline.keeping(min(RESERVE_SHARE * deadline.timeout_s, RESERVE_MOST_S))


def _whole(head: str, parts: Sequence[Answers], total_ms: float) -> Classifications:
    found = joined([answer for part in parts if isinstance(answer := part[head], Classifications)])
    return replace(found, timings_ms={**found.timings_ms, "total": total_ms})


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
