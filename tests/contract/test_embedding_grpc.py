"""Hop 1 over the wire, by raw gRPC calls: what embedding.proto and the contract's table of errors promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from services import EmbeddingProcess

from twohop.wire import embedding_pb2 as wire

SERVICE = "/twohop.embedding.v1.EmbeddingService/"
MINILM = "enc-70fe41bf296e"
MEBIBYTE = 1024 * 1024


class Raw:
    """Messages in and out as bytes, so that a test may send what no generated client would."""

    def __init__(self, address: str) -> None:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=[*unlimited, ("grpc.enable_http_proxy", 0)])

    def send(self, method: str, message: bytes, timeout: float | None = 60) -> bytes:
        answer: bytes = self.channel.unary_unary(SERVICE + method)(message, timeout=timeout)
        return answer

    def embed(self, *texts: str, **fields: Any) -> wire.EmbedResponse:
        request = wire.EmbedRequest(texts=texts, **fields)
        return wire.EmbedResponse.FromString(self.send("Embed", request.SerializeToString()))

    def refused(self, message: wire.EmbedRequest | bytes, method: str = "Embed") -> tuple[str, str, str, dict[str, Any]]:
        """(code, text, class, detail) of the error that this is answered with."""
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            self.send(method, raw)
        call: Any = caught.value
        trailers = dict(call.trailing_metadata())
        return call.code().name, call.details(), trailers.get("twohop-error", ""), json.loads(trailers.get("twohop-detail", "{}"))


@pytest.fixture(scope="module")
def raw(embedding_service: EmbeddingProcess) -> Iterator[Raw]:
    client = Raw(embedding_service.address)
    yield client
    client.channel.close()


@pytest.fixture
def still_answers(raw: Raw) -> Iterator[None]:
    """Whatever a test did: the service embeds afterwards."""
    yield
    assert raw.embed("hello").rows == [1]


def vectors(reply: wire.EmbedResponse) -> list[np.ndarray]:
    """Per text, float [rows, D]."""
    kind = "<f2" if reply.dtype == wire.DTYPE_FLOAT16 else "<f4"
    flat = np.frombuffer(reply.vectors, kind).reshape(-1, reply.dimension)
    assert len(flat) == sum(reply.rows)
    return np.split(flat, np.cumsum(reply.rows)[:-1])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_default_start_offers_three_encoders_over_one_set_of_weights(raw: Raw) -> None:
    listed = wire.ListEncodersResponse.FromString(raw.send("ListEncoders", b""))
    assert [encoder.name for encoder in listed.encoders] == ["minilm", "rich", "tokens"]
    assert listed.encoders[0].fingerprint == MINILM
    assert [encoder.dimension for encoder in listed.encoders] == [384, 1536, 384]
    assert [encoder.per_token for encoder in listed.encoders] == [False, False, True]
    assert all(encoder.ready and encoder.max_length == 256 for encoder in listed.encoders)
    assert {encoder.numerics for encoder in listed.encoders} == {raw.embed("a").numerics}
    identity = json.loads(listed.encoders[1].identity_json)
    assert (identity["layers"], identity["normalize"]) == ([3, 4, 5, 6], False)
    assert (listed.limits.max_texts, listed.limits.max_request_bytes, listed.limits.max_response_bytes) == (
        2048, 8 * MEBIBYTE, 64 * MEBIBYTE
    )
    assert listed.service_version


def test_a_reply_says_everything_about_each_text(raw: Raw) -> None:
    reply = raw.embed("Hello world", "The quick brown fox jumps over the lazy dog")
    assert (reply.encoder, reply.fingerprint, reply.dimension) == ("minilm", MINILM, 384)
    assert (list(reply.rows), list(reply.tokens), list(reply.tokens_total)) == ([1, 1], [4, 11], [4, 11])
    assert [round(float(np.linalg.norm(each)), 2) for each in vectors(reply)] == [1.0, 1.0]
    timings = reply.timings
    assert timings.compute_us > 0
    assert timings.total_us >= timings.tokenize_us + timings.queue_us + timings.compute_us
    assert timings.cached_texts == 0


def test_a_token_encoder_gives_one_vector_per_token_and_float16_where_asked(raw: Raw) -> None:
    whole = raw.embed("Hello world", "Hi", encoder="tokens")
    half = raw.embed("Hello world", "Hi", encoder="tokens", dtype=wire.DTYPE_FLOAT16)
    assert list(whole.rows) == list(whole.tokens) == [4, 3]
    assert len(half.vectors) * 2 == len(whole.vectors)
    for a, b in zip(vectors(whole), vectors(half), strict=True):
        assert cosine(a, b) > 0.9998


def test_a_pair_is_one_text_of_two_segments_and_an_empty_second_none(raw: Raw) -> None:
    pair = raw.embed("Hello world", "Hello world", pairs=["good bye", ""])
    alone = raw.embed("Hello world")
    assert list(pair.tokens) == [7, 4]
    assert cosine(vectors(pair)[1], vectors(alone)[0]) > 0.9999
    assert cosine(vectors(pair)[0], vectors(alone)[0]) < 0.99


def test_a_long_text_is_cut_and_says_so_unless_that_is_refused(raw: Raw) -> None:
    long = "word " * 500
    reply = raw.embed("short", long)
    assert (list(reply.tokens), list(reply.tokens_total)) == ([3, 256], [3, 502])
    code, text, kind, detail = raw.refused(wire.EmbedRequest(texts=["short", long], refuse_truncation=True))
    assert (code, kind) == ("INVALID_ARGUMENT", "InvalidInput")
    assert detail == {"index": 1, "tokens": 502, "max_length": 256}
    assert "text 1" in text


def test_a_text_has_the_same_vector_alone_and_among_any_mates_of_any_encoder(embedding_service_f32: EmbeddingProcess) -> None:
    raw = Raw(embedding_service_f32.address)
    texts = [" ".join(["one", "two", "three"][number % 3] for number in range(count)) for count in (1, 2, 7, 30, 60, 100, 250)]
    for encoder in ("minilm", "rich", "tokens"):
        together = vectors(raw.embed(*texts, encoder=encoder))
        for text, among in zip(texts, together, strict=True):
            (alone,) = vectors(raw.embed(text, encoder=encoder))
            assert float(np.abs(alone - among).max()) <= 5e-6, (encoder, text[:20])
    raw.channel.close()


def test_a_full_request_of_bulk_and_online_callers_side_by_side_are_all_served(raw: Raw) -> None:
    call = raw.channel.unary_unary(SERVICE + "Embed")
    requests = [
        wire.EmbedRequest(texts=[f"text {number} of caller {caller}" for number in range(32)], priority=caller % 3, encoder=name)
        for caller, name in enumerate(["minilm", "rich", "minilm", "tokens", "minilm", "rich"])
    ]
    futures = [call.future(request.SerializeToString(), timeout=60) for request in requests]
    for future in futures:
        assert len(wire.EmbedResponse.FromString(future.result()).rows) == 32


@pytest.mark.usefixtures("still_answers")
class TestBadInput:
    @pytest.mark.parametrize("text", ["", " ", "\t\n \u3000"])
    def test_a_text_of_white_space_is_named_by_its_index(self, raw: Raw, text: str) -> None:
        code, said, kind, detail = raw.refused(wire.EmbedRequest(texts=["fine", text]))
        assert (code, kind, detail) == ("INVALID_ARGUMENT", "InvalidInput", {"index": 1})
        assert "text 1" in said

    def test_a_text_without_word_pieces_is_served(self, raw: Raw) -> None:
        assert list(raw.embed("\u200b\ufeff").tokens) == [2]

    def test_zero_texts(self, raw: Raw) -> None:
        assert raw.refused(wire.EmbedRequest())[::2] == ("INVALID_ARGUMENT", "InvalidInput")

    def test_a_hundred_thousand_texts(self, raw: Raw) -> None:
        code, said, kind, detail = raw.refused(wire.EmbedRequest(texts=["a"] * 100_000))
        assert (code, kind) == ("INVALID_ARGUMENT", "InvalidInput")
        assert "2048" in said
        assert detail == {"texts": 100_000, "max_texts": 2048}

    def test_ten_megabytes_of_text(self, raw: Raw) -> None:
        code, said, _, _ = raw.refused(wire.EmbedRequest(texts=["word " * (2 * MEBIBYTE)]))
        assert code == "RESOURCE_EXHAUSTED"
        assert "larger than max" in said

    def test_seven_megabytes_of_text_are_cut_and_served(self, raw: Raw) -> None:
        reply = raw.embed("word " * (7 * MEBIBYTE // 5))
        assert list(reply.tokens) == [256]
        assert reply.tokens_total[0] == 7 * MEBIBYTE // 5 + 2

    def test_a_reply_above_the_limit_is_refused_before_compute(self, raw: Raw, embedding_service: EmbeddingProcess) -> None:
        before = embedding_service.metric("twohop_embedding_batch_tokens_count")
        code, _, kind, detail = raw.refused(wire.EmbedRequest(texts=["word " * 300] * 300, encoder="tokens"))
        assert (code, kind) == ("RESOURCE_EXHAUSTED", "TooLarge")
        assert detail["bytes"] > detail["max_response_bytes"] == 64 * MEBIBYTE
        assert embedding_service.metric("twohop_embedding_batch_tokens_count") == before

    def test_bytes_that_are_no_utf8_name_the_text(self, raw: Raw) -> None:
        message = b"\x12\x05hello" + b"\x12\x03a\xff\xfe"
        code, said, kind, detail = raw.refused(message)
        assert (code, kind, detail) == ("INVALID_ARGUMENT", "InvalidInput", {"index": 1})
        assert "text 1 is not UTF-8" in said

    @pytest.mark.parametrize("message", [b"\xff\xff\xff\xff", b"\x12\x7fshort"])
    @pytest.mark.parametrize("method", ["Embed", "ListEncoders"])
    def test_bytes_that_are_no_message(self, raw: Raw, message: bytes, method: str) -> None:
        assert raw.refused(message, method)[::2] == ("INVALID_ARGUMENT", "InvalidInput")

    def test_an_unknown_encoder_is_told_which_there_are(self, raw: Raw) -> None:
        code, said, kind, _ = raw.refused(wire.EmbedRequest(texts=["a"], encoder="nobody"))
        assert (code, kind) == ("NOT_FOUND", "NotFound")
        assert "minilm, rich, tokens" in said

    def test_an_unknown_method(self, raw: Raw) -> None:
        assert raw.refused(b"", "Sing")[0] == "UNIMPLEMENTED"

    def test_another_fingerprint_than_expected_names_both(self, raw: Raw) -> None:
        code, said, kind, _ = raw.refused(wire.EmbedRequest(texts=["a"], expect_fingerprint="enc-000000000000"))
        assert (code, kind) == ("FAILED_PRECONDITION", "EncoderMismatch")
        assert MINILM in said
        assert "enc-000000000000" in said
        assert raw.embed("a", expect_fingerprint=MINILM).fingerprint == MINILM

    @pytest.mark.parametrize("fields", [{"priority": 9}, {"dtype": 9}, {"pairs": ["a", "b", "c"]}])
    def test_values_that_mean_nothing(self, raw: Raw, fields: dict[str, Any]) -> None:
        assert raw.refused(wire.EmbedRequest(texts=["a"], **fields))[::2] == ("INVALID_ARGUMENT", "InvalidInput")

    def test_a_caller_without_time_gets_deadline_exceeded(self, raw: Raw) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            raw.send("Embed", wire.EmbedRequest(texts=["some words"] * 2048).SerializeToString(), timeout=0.05)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED     # type: ignore[attr-defined]

    def test_a_caller_who_leaves_stops_costing(self, raw: Raw, embedding_service: EmbeddingProcess) -> None:
        from services import until

        call = raw.channel.unary_unary(SERVICE + "Embed")
        future = call.future(wire.EmbedRequest(texts=["some words to embed"] * 2048).SerializeToString(), timeout=60)
        until(lambda: embedding_service.metric("twohop_embedding_queue_tokens") > 0)
        future.cancel()
        until(lambda: embedding_service.metric("twohop_embedding_queue_tokens") == 0)
        until(lambda: embedding_service.metric("twohop_embedding_requests_in_flight") == 0)


def test_health_says_serving_for_the_server_and_the_service(raw: Raw) -> None:
    stub = health_pb2_grpc.HealthStub(raw.channel)
    for name in ("", "twohop.embedding.v1.EmbeddingService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_probes_metrics_docs_and_the_landing_page(embedding_service: EmbeddingProcess, raw: Raw) -> None:
    http = embedding_service.http
    for path in ("/livez", "/readyz", "/docs", "/"):
        assert http.get(path).status_code == 200, path
    assert http.get("/nothing").json()["error"]["type"] == "NotFound"
    before = embedding_service.metric("twohop_embedding_texts_total")
    raw.embed("one", "two")
    raw.refused(wire.EmbedRequest(texts=[" "]))
    assert embedding_service.metric("twohop_embedding_texts_total") == before + 2
    assert embedding_service.metric('twohop_embedding_requests_total{encoder="minilm",status="InvalidInput"}') >= 1
    assert embedding_service.metric("twohop_embedding_ready") == 1
    assert embedding_service.metric("twohop_embedding_filler_tokens_total") > 0
    assert embedding_service.metric("twohop_embedding_estimated_wait_seconds") == 0
