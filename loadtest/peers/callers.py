"""How each contender is asked: the fastest sensible client of its protocol, connections kept, one process."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twohop import EmbeddingClient
from twohop.aio import AsyncEmbeddingClient

Vectors = NDArray[np.float32]       # [texts, D]
TIMEOUT_S = 120.0


class Blocking(Protocol):
    def embed(self, texts: Sequence[str]) -> Vectors: ...

    def close(self) -> None: ...


class Asking(Protocol):
    """One of several callers at the same time."""

    async def embed(self, texts: Sequence[str]) -> Vectors: ...

    async def aclose(self) -> None: ...


class Client(Protocol):
    """Makes callers of one address."""

    def blocking(self, address: str) -> Blocking: ...

    async def several(self, address: str, count: int) -> list[Asking]: ...


class Grpc:
    """Ours. Concurrent callers share one client, as its tasks would in a service."""

    def blocking(self, address: str) -> Blocking:
        return GrpcBlocking(address)

    async def several(self, address: str, count: int) -> list[Asking]:
        client = AsyncEmbeddingClient(address, timeout_s=TIMEOUT_S)
        return [GrpcAsking(client) for _ in range(count)]


class GrpcBlocking:
    def __init__(self, address: str) -> None:
        self._client = EmbeddingClient(address, timeout_s=TIMEOUT_S)

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._client.embed(texts).vectors, np.float32)

    def close(self) -> None:
        self._client.close()


class GrpcAsking:
    def __init__(self, client: AsyncEmbeddingClient) -> None:
        self._client = client

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.asarray((await self._client.embed(texts)).vectors, np.float32)

    async def aclose(self) -> None:
        await self._client.aclose()


class Http:
    """HTTP/1.1 over a kept connection per caller. `question` makes a body, `answer` reads one."""

    def __init__(self, path: str, question: Callable[[Sequence[str]], object], answer: Callable[[bytes], Vectors]) -> None:
        self.path, self.question, self.answer = path, question, answer

    def blocking(self, address: str) -> Blocking:
        return HttpBlocking(address, self)

    async def several(self, address: str, count: int) -> list[Asking]:
        host, _, port = address.rpartition(":")
        return [HttpAsking(*await asyncio.open_connection(host, int(port)), self) for _ in range(count)]


class HttpBlocking:
    def __init__(self, address: str, form: Http) -> None:
        self._connection, self._form = http.client.HTTPConnection(address, timeout=TIMEOUT_S), form

    def embed(self, texts: Sequence[str]) -> Vectors:
        body = json.dumps(self._form.question(texts)).encode()
        self._connection.request("POST", self._form.path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        said = response.read()
        refuse(response.status, said)
        return self._form.answer(said)

    def close(self) -> None:
        self._connection.close()


class HttpAsking:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Http) -> None:
        self._reader, self._writer, self._form = reader, writer, form

    async def embed(self, texts: Sequence[str]) -> Vectors:
        body = json.dumps(self._form.question(texts)).encode()
        head = f"POST {self._form.path} HTTP/1.1\r\nHost: peer\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._writer.write(head.encode() + b"\r\n\r\n" + body)
        async with asyncio.timeout(TIMEOUT_S):
            status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines if line)
            said = await self._reader.readexactly(int(headers["content-length"]))
        refuse(int(status.split(" ", 2)[1]), said)
        return self._form.answer(said)

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def refuse(status: int, said: bytes) -> None:
    """Raises OSError unless the reply is a 200: a failed request has no time to report."""
    if status != 200:
        raise OSError(f"a peer answered HTTP {status}: {said[:300].decode('utf-8', 'replace')}")


def infinity(model: str) -> Http:
    """OpenAI's form with base64 vectors, infinity's cheapest."""

    def answer(said: bytes) -> Vectors:
        return np.stack([np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in json.loads(said)["data"]])

    return Http("/embeddings", lambda texts: {"model": model, "input": list(texts), "encoding_format": "base64"}, answer)


PLAIN = Http("/embed", lambda texts: {"input": list(texts)}, lambda said: np.asarray(json.loads(said)["vectors"], np.float32))
