"""One suite for both ways to call: the asyncio clients behind the blocking ones' face, on a loop of their own."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from twohop import AsyncEmbeddingClient, AsyncHeadClient, AsyncTwoHop, EmbeddingClient, HeadClient, TwoHop

WAYS = ("blocking", "asyncio")


class Clients:
    """Makes clients of one way and closes them."""

    def __init__(self, way: str) -> None:
        self._loop = asyncio.new_event_loop() if way == "asyncio" else None
        self._made: list[Any] = []

    def embedding(self, *args: Any, **kwargs: Any) -> Any:
        return self._make(EmbeddingClient, AsyncEmbeddingClient, args, kwargs)

    def heads(self, *args: Any, **kwargs: Any) -> Any:
        return self._make(HeadClient, AsyncHeadClient, args, kwargs)

    def both(self, *args: Any, **kwargs: Any) -> Any:
        return self._make(TwoHop, AsyncTwoHop, args, kwargs)

    def close(self) -> None:
        for client in self._made:
            client.close()
        if self._loop is not None:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    def _make(self, blocking: Any, awaitable: Any, args: Any, kwargs: Any) -> Any:
        client = blocking(*args, **kwargs) if self._loop is None else Awaited(awaitable(*args, **kwargs), self._loop)
        self._made.append(client)
        return client


class Awaited:
    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, "aclose" if name == "close" else name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **kwargs: self._loop.run_until_complete(value(*args, **kwargs))
