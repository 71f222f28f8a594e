"""The clients for asyncio: the same names and arguments, awaitable. One event loop at a time; cancelling a call cancels
what it has under way at the services."""

from __future__ import annotations

from collections.abc import Sequence

from twohop.chain import TwoHopCalls
from twohop.embedding import EmbeddingCalls
from twohop.heads import HeadCalls
from twohop.transport import AsyncTransport
from twohop.types import TLS


class AsyncEmbeddingClient(EmbeddingCalls):
    """`EmbeddingClient` for asyncio."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        encoder: str = "",
        timeout_s: float = 10.0,
        token: str | None = None,
        tls: TLS | None = None,
    ) -> None:
        super().__init__(address, encoder=encoder, timeout_s=timeout_s, transport=AsyncTransport(tls, token))


class AsyncHeadClient(HeadCalls):
    """`HeadClient` for asyncio."""

    def __init__(
        self, address: str | Sequence[str], *, timeout_s: float = 10.0, token: str | None = None, tls: TLS | None = None
    ) -> None:
        super().__init__(address, timeout_s=timeout_s, transport=AsyncTransport(tls, token))


class AsyncTwoHop(TwoHopCalls):
    """`TwoHop` for asyncio."""

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
        super().__init__(embedding, heads, encoder=encoder, timeout_s=timeout_s, transport=AsyncTransport(tls, token))
