"""Hop 1's client: texts in, vectors out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar

from twohop import addresses
from twohop.deadline import Deadline, deadlines
from twohop.embedding_replies import joined, read_embeddings, read_encoders
from twohop.errors import (
    DeadlineExceeded,
    EncoderMismatch,
    InvalidInput,
    ModelError,
    Overloaded,
    TooLarge,
    TwoHopError,
    Unavailable,
)
from twohop.remote import Remote
from twohop.texts import Texts, check
from twohop.transport import BlockingTransport, Method, Transport, run
from twohop.types import TLS, Embeddings, Encoders
from twohop.wire import embedding_pb2 as wire

Priority = Literal["online", "bulk"]
Dtype = Literal["float32", "float16"]
Value = TypeVar("Value")

EMBED = Method("/twohop.embedding.v1.EmbeddingService/Embed", wire.EmbedRequest, wire.EmbedResponse)
LIST_ENCODERS = Method(
    "/twohop.embedding.v1.EmbeddingService/ListEncoders", wire.ListEncodersRequest, wire.ListEncodersResponse
)

# Requests of one split call under way at once, per address: the service computes one while the next arrives.
REQUESTS_AT_ONCE = 2
POLL_S = 0.2
ONE_POLL_S = 5.0

_PRIORITIES = {"online": wire.PRIORITY_ONLINE, "bulk": wire.PRIORITY_BULK}
_DTYPES = {"float32": wire.DTYPE_FLOAT32, "float16": wire.DTYPE_FLOAT16}


class EmbeddingClient:
    """Hop 1, blocking; threads may share it. Addresses: `HOST:PORT[/ENCODER]`, one or several (then balanced over)."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        encoder: str = "",
        timeout_s: float = 10.0,
        token: str | None = None,
        tls: TLS | None = None,
    ) -> None:
        self._calls = EmbeddingCalls(address, encoder=encoder, timeout_s=timeout_s, transport=BlockingTransport(tls, token))

    def embed(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        priority: Priority = "online",
        dtype: Dtype = "float32",
        encoder: str | None = None,
        expect_fingerprint: str = "",
        refuse_truncation: bool = False,
        timeout_s: float | None = None,
    ) -> Embeddings:
        """Vectors of any number of texts, in order; a call above the service's limits goes out as several requests.

        `pairs`: a second segment per text. `dtype` is how vectors travel and arrive. `expect_fingerprint`: refuse vectors
        of another encoder. `refuse_truncation`: an error instead of cutting a text that is too long.
        `timeout_s` bounds the whole call; without it the client's default bounds each request of it.

        Raises InvalidInput (naming the text's index), NotFound (no such encoder), EncoderMismatch, TooLarge (one text
        alone is above a limit), Overloaded and Unavailable (refused until the time was over), DeadlineExceeded,
        ModelError, Unauthenticated.
        """
        return run(
            self._calls.embed(
                texts,
                pairs=pairs,
                priority=priority,
                dtype=dtype,
                encoder=encoder,
                expect_fingerprint=expect_fingerprint,
                refuse_truncation=refuse_truncation,
                timeout_s=timeout_s,
            )
        )

    def encoders(self, *, timeout_s: float | None = None) -> Encoders:
        """What the service offers, asked anew each time."""
        return run(self._calls.encoders(timeout_s=timeout_s))

    def wait_until_ready(self, timeout_s: float) -> Encoders:
        """Asks until the service answers and each of its encoders is ready. Raises the last reason (Unavailable,
        DeadlineExceeded) after `timeout_s`; what waiting cannot mend, such as Unauthenticated, at once."""
        return run(self._calls.wait_until_ready(timeout_s))

    @property
    def address(self) -> str:
        return self._calls.address

    @property
    def encoder(self) -> str:
        """The encoder asked for; "" for the service's first."""
        return self._calls.encoder

    @property
    def estimated_wait_ms(self) -> float:
        """What the service last said a text would wait that arrived then."""
        return self._calls.estimated_wait_ms

    def close(self) -> None:
        run(self._calls.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class EmbeddingCalls:
    """What both clients of hop 1 do, written once; how to wait is the transport's. `AsyncEmbeddingClient` is this."""

    def __init__(self, address: str | Sequence[str], *, encoder: str, timeout_s: float, transport: Transport) -> None:
        found, named = addresses.parse(address)
        if encoder and named and encoder != named:
            raise InvalidInput(f"the address names the encoder '{named}' and the argument '{encoder}': name one")
        self.address = ",".join(map(str, found))
        self.encoder = encoder or named
        self.timeout_s = timeout_s
        self.estimated_wait_ms = 0.0
        self._transport = transport
        self._remote = Remote("hop 1 (embedding service)", found, transport)
        self._listed: Encoders | None = None

    async def embed(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        priority: Priority = "online",
        dtype: Dtype = "float32",
        encoder: str | None = None,
        expect_fingerprint: str = "",
        refuse_truncation: bool = False,
        timeout_s: float | None = None,
    ) -> Embeddings:
        """Vectors of any number of texts, in order: see `EmbeddingClient.embed`."""
        begun = time.perf_counter()
        given = check(texts, pairs)
        form = wire.EmbedRequest(
            encoder=self.encoder if encoder is None else encoder,
            expect_fingerprint=expect_fingerprint,
            priority=_chosen(_PRIORITIES, "priority", priority),
            dtype=_chosen(_DTYPES, "dtype", dtype),
            refuse_truncation=refuse_truncation,
        )
        deadline = deadlines(timeout_s, self.timeout_s)
        requests = await self.split(given, deadline())
        parts = await self._transport.each(lambda part: self.send(form, part, deadline()), requests, self.at_once)
        whole = joined(parts)
        whole.timings["total"] = _since(begun)
        return whole

    async def encoders(self, *, timeout_s: float | None = None) -> Encoders:
        """What the service offers, asked anew each time."""
        return await self.refresh(deadlines(timeout_s, self.timeout_s)())

    async def wait_until_ready(self, timeout_s: float) -> Encoders:
        """Asks until the service answers and each of its encoders is ready: see `EmbeddingClient.wait_until_ready`."""
        deadline = Deadline.after(timeout_s)
        while True:
            try:
                found = await self.encoders(timeout_s=max(0.001, min(deadline.left_s(), ONE_POLL_S)))
                waiting = [encoder.name for encoder in found if not encoder.ready]
                if found.encoders and not waiting:
                    return found
                reason: TwoHopError = Unavailable(f"hop 1 answers, but is not ready: {', '.join(waiting) or 'no encoder'}")
            except (Unavailable, Overloaded, DeadlineExceeded) as error:
                reason = error
            if deadline.left_s() <= POLL_S:
                raise reason
            await self._transport.sleep(POLL_S)

    async def aclose(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- one step lower: what the chain of both hops uses too

    @property
    def at_once(self) -> int:
        """Requests of one call that may be under way at the same time."""
        return REQUESTS_AT_ONCE * len(self._remote.endpoints)

    async def listed(self, deadline: Deadline) -> Encoders:
        """The list as last read; asked for if it never was."""
        return self._listed or await self.refresh(deadline)

    async def refresh(self, deadline: Deadline) -> Encoders:
        reply, _ = await self._remote.call(LIST_ENCODERS, wire.ListEncodersRequest(), deadline)
        self._listed = read_encoders(reply)
        return self._listed

    async def split(self, given: Texts, deadline: Deadline) -> list[Texts]:
        """The requests that a call becomes, below the service's limits."""
        return given.requests((await self.listed(deadline)).limits)

    async def send(self, form: wire.EmbedRequest, part: Texts, deadline: Deadline) -> Embeddings:
        """`form` with the texts of `part`, in one request; in halves if the service finds it or its reply too large."""
        try:
            return await self._send_whole(form, part, deadline)
        except TooLarge as error:
            if len(part) == 1:
                raise TooLarge(
                    f"text {part.first} alone is too large: {error.message}", detail={**error.detail, "index": part.first}
                ) from error
        return joined([await self.send(form, half, deadline) for half in part.halves()])

    async def _send_whole(self, form: wire.EmbedRequest, part: Texts, deadline: Deadline) -> Embeddings:
        begun = time.perf_counter()
        request = wire.EmbedRequest()
        request.CopyFrom(form)
        request.texts.extend(part.texts)
        request.pairs.extend(part.pairs)
        try:
            reply, endpoint = await self._remote.call(EMBED, request, deadline)
        except (InvalidInput, ModelError) as error:
            raise _within_call(error, part.first) from None
        self.estimated_wait_ms = reply.estimated_wait_us / 1000
        endpoint.report_wait(reply.estimated_wait_us / 1e6, deadline.clock())
        if form.expect_fingerprint not in ("", reply.fingerprint):
            raise EncoderMismatch(
                f"expected vectors of {form.expect_fingerprint}, and encoder '{reply.encoder}' sent those of {reply.fingerprint}",
                detail={"expected": form.expect_fingerprint, "given_encoder": reply.fingerprint},
            )
        return read_embeddings(reply, len(part), _since(begun))


def _within_call(error: TwoHopError, first: int) -> TwoHopError:
    """The service counts texts from the start of a request; callers from the start of their call."""
    index = error.detail.get("index")
    if first == 0 or not isinstance(index, int):
        return error
    message = f"text {first + index} of the call (as text {index} of one request): {error.message}"
    return type(error)(message, detail={**error.detail, "index": first + index}, retry_after_s=error.retry_after_s)


def _chosen(values: Mapping[str, Value], argument: str, given: str) -> Value:
    if given not in values:
        raise InvalidInput(f"{argument} is {given!r}: give {' or '.join(values)}")
    return values[given]


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
