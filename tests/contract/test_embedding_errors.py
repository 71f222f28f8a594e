"""Errors of hop 1 say which text they are about, and every one is counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from services import EmbeddingProcess

from twohop import EmbeddingClient
from twohop.embedding import EMBED
from twohop.errors import EncoderMismatch, ModelError
from twohop.wire import embedding_pb2 as wire

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import tiny_bert

POISON = "ac"


@pytest.fixture(scope="module", params=["0", "100000"], ids=["no cache", "cache"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingProcess]:
    """Whose encoder has a piece that is not a number, and that asks for a key."""
    folder = tmp_path_factory.mktemp("errors")
    weights = tiny_bert.tensors()
    weights["embeddings.word_embeddings.weight"][tiny_bert.WORDS.index("##c")] = np.nan
    tiny_bert.write(folder / "tiny", weights=weights)
    (folder / "keys").write_bytes(b"\xef\xbb\xbfk\n")              # an editor wrote a mark before it
    flags = ("--precision", "f32", "--threads", "1", "--cache-bytes", request.param, "--key-file", str(folder / "keys"))
    process = EmbeddingProcess(folder, "--model", f"tiny={folder / 'tiny'}", *flags)
    try:
        yield process.until_ready()
    finally:
        assert process.stop() == 0


def test_the_text_that_breaks_the_model_is_named(service: EmbeddingProcess) -> None:
    with EmbeddingClient(service.address, token="k", timeout_s=60) as client:
        with pytest.raises(ModelError, match="text 2: this input breaks the model") as caught:
            client.embed(["a", "b", POISON, "a b"])
        assert caught.value.detail["index"] == 2
        assert len(client.embed(["a", "b", "a b"])) == 3


def test_every_refusal_is_counted_by_its_class(service: EmbeddingProcess) -> None:
    def count(encoder: str, status: str) -> float:
        return service.metric(f'twohop_embedding_requests_total{{encoder="{encoder}",status="{status}"}}')

    before = [count("(unknown)", "Unauthenticated"), count("(unknown)", "InvalidInput"), count("tiny", "EncoderMismatch")]
    with EmbeddingClient(service.address, token="k", timeout_s=60) as client, pytest.raises(EncoderMismatch):
        client.embed(["a"], expect_fingerprint="enc-000000000000")
    with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary(EMBED.path, wire.EmbedRequest.SerializeToString)
        for priority, key in ((9, "k"), (0, "another")):
            with pytest.raises(grpc.RpcError):
                ask(wire.EmbedRequest(texts=["a"], priority=priority), metadata=[("authorization", f"Bearer {key}")])
    after = [count("(unknown)", "Unauthenticated"), count("(unknown)", "InvalidInput"), count("tiny", "EncoderMismatch")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
