"""The callers of `make peers` ask as their servers expect and read what they answer; ours against the real service."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from services import EmbeddingProcess

from loadtest.peers import callers

TEXTS = ["a very good film", "the plot is thin", "nobody laughed"]


class Peer(BaseHTTPRequestHandler):
    """Answers in both forms; the vector of a text is its length and 1. Refuses the text "refused"."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vectors = np.float32([[len(text), 1] for text in asked["input"]])
        if asked["input"] == ["refused"]:
            self.reply(503, {"error": "too busy"})
        elif self.path == "/embed":
            self.reply(200, {"vectors": vectors.tolist()})
        elif asked["model"] == "minilm" and asked["encoding_format"] == "base64":
            self.reply(200, {"data": [{"embedding": base64.b64encode(each.tobytes()).decode()} for each in vectors]})

    def reply(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def peer() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Peer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def alone(client: callers.Client, address: str, texts: list[str]) -> callers.Vectors:
    caller = client.blocking(address)
    try:
        caller.embed(texts[:1])         # the connection is kept
        return caller.embed(texts)
    finally:
        caller.close()


async def at_the_same_time(client: callers.Client, address: str, texts: list[str]) -> callers.Vectors:
    several = await client.several(address, len(texts))
    try:
        for _ in range(2):              # connections are kept
            found = await asyncio.gather(*(caller.embed([text]) for caller, text in zip(several, texts, strict=True)))
        return np.concatenate(found)
    finally:
        for caller in several:
            await caller.aclose()


@pytest.mark.parametrize("client", [callers.PLAIN, callers.infinity("minilm")], ids=["plain", "infinity"])
def test_peers_are_asked_in_their_form(client: callers.Client, peer: str) -> None:
    expected = np.float32([[len(text), 1] for text in TEXTS])
    np.testing.assert_array_equal(alone(client, peer, TEXTS), expected)
    np.testing.assert_array_equal(asyncio.run(at_the_same_time(client, peer, TEXTS)), expected)


def test_a_refusal_is_an_error_and_never_a_time(peer: str) -> None:
    with pytest.raises(OSError, match=r"HTTP 503.*too busy"):
        alone(callers.PLAIN, peer, ["refused"])
    with pytest.raises(OSError, match=r"HTTP 503.*too busy"):
        asyncio.run(at_the_same_time(callers.PLAIN, peer, ["refused"]))


def test_our_service_gives_a_text_the_same_vector_both_ways(embedding_service_f32: EmbeddingProcess) -> None:
    address = embedding_service_f32.address
    together = asyncio.run(at_the_same_time(callers.Grpc(), f"{address}/minilm", TEXTS))
    assert together.shape == (3, 384)
    assert together.dtype == np.float32
    np.testing.assert_allclose(alone(callers.Grpc(), f"{address}/minilm", TEXTS), together, atol=1e-5)
