"""`--cache-bytes` from where callers stand: what was asked before comes back the same, and every promise holds for it too."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from services import EmbeddingProcess, until

from twohop import EmbeddingClient
from twohop.embedding import EMBED
from twohop.errors import EncoderMismatch, InvalidInput, TooLarge
from twohop.wire import embedding_pb2 as wire

CAPACITY = 200_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingProcess]:
    process = EmbeddingProcess(
        tmp_path_factory.mktemp("cache"), "--cache-bytes", str(CAPACITY), "--threads", "1", "--max-response-bytes", "300000"
    )
    try:
        yield process.until_ready()
    finally:
        assert process.stop() == 0


@pytest.fixture(scope="module")
def client(service: EmbeddingProcess) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(service.address, timeout_s=60) as client:
        yield client


class Counters:
    """How far each counter has moved since this was made."""

    def __init__(self, service: EmbeddingProcess) -> None:
        self._service = service
        self._before = self._now()

    def moved(self) -> dict[str, float]:
        return {name: value - self._before[name] for name, value in self._now().items()}

    def _now(self) -> dict[str, float]:
        names = {
            "hits": "cache_hits_total", "misses": "cache_misses_total", "shared": "cache_shared_total",
            "texts": "texts_total", "batches": "compute_seconds_count", "tokens": "batch_tokens_sum",
        }
        return {short: self._service.metric(f"twohop_embedding_{name}") for short, name in names.items()}


@pytest.mark.parametrize("encoder", ["minilm", "tokens"])
def test_a_text_asked_again_is_answered_with_the_same_bits_and_nothing_is_computed(
    service: EmbeddingProcess, encoder: str
) -> None:
    texts = ["the first of three", "a second, longer than the first one", "third"]
    counters = Counters(service)
    with EmbeddingClient(service.address, encoder=encoder, timeout_s=60) as client:
        first = client.embed(texts)
        assert counters.moved() | {"batches": 0, "tokens": 0} == {
            "hits": 0, "misses": 3, "shared": 0, "texts": 3, "batches": 0, "tokens": 0
        }
        counters = Counters(service)
        second = client.embed([texts[2], texts[0], texts[1], texts[0]])
    assert counters.moved() == {"hits": 4, "misses": 0, "shared": 0, "texts": 4, "batches": 0, "tokens": 0}
    order = [2, 0, 1, 0]
    parts = np.split(first.vectors, np.cumsum(first.rows)[:-1])
    assert second.vectors.tobytes() == np.concatenate([parts[place] for place in order]).tobytes()
    assert list(second.rows) == [first.rows[place] for place in order]
    assert list(second.tokens) == [first.tokens[place] for place in order]
    assert list(second.tokens_total) == [first.tokens_total[place] for place in order]


def test_known_and_new_texts_mix_in_the_order_asked(service: EmbeddingProcess, client: EmbeddingClient) -> None:
    known = client.embed(["known one", "known two"]).vectors
    counters = Counters(service)
    mixed = client.embed(["new one", "known two", "new one", "known one", "new two"]).vectors
    moved = counters.moved()
    assert (moved["hits"], moved["misses"], moved["shared"]) == (2, 2, 1)
    assert mixed[1].tobytes() == known[1].tobytes()
    assert mixed[3].tobytes() == known[0].tobytes()
    assert mixed[0].tobytes() == mixed[2].tobytes()
    assert not np.array_equal(mixed[0], mixed[4])


def test_a_pair_is_not_its_first_text(client: EmbeddingClient) -> None:
    alone = client.embed(["a question"]).vectors
    pair = client.embed(["a question"], pairs=["an answer"])
    assert not np.array_equal(alone, pair.vectors)
    assert client.embed(["a question"], pairs=["an answer"]).vectors.tobytes() == pair.vectors.tobytes()
    assert client.embed(["a question"], pairs=[""]).vectors.tobytes() == alone.tobytes()


def test_limits_and_refusals_hold_for_what_is_kept(service: EmbeddingProcess, client: EmbeddingClient) -> None:
    long = "word " * 300
    assert client.embed([long]).tokens_total[0] == 302
    with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/twohop.embedding.v1.EmbeddingService/Embed")

        def refused(**fields: Any) -> str:
            with pytest.raises(grpc.RpcError) as caught:
                call(wire.EmbedRequest(**fields).SerializeToString(), timeout=60)
            return str(dict(caught.value.trailing_metadata())["twohop-error"])      # type: ignore[attr-defined]

        assert refused(texts=[long], refuse_truncation=True) == InvalidInput.__name__
        assert refused(texts=[long] * 300) == TooLarge.__name__
        assert refused(texts=[long], expect_fingerprint="enc-000000000000") == EncoderMismatch.__name__


def test_two_who_ask_the_same_at_once_cost_one_computation(service: EmbeddingProcess, client: EmbeddingClient) -> None:
    worker, counters = service.worker(), Counters(service)
    worker.suspend()            # so that both are there before the first can be done
    try:
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(client.embed, ["asked by two at once"]) for _ in range(2)]
            until(lambda: service.metric("twohop_embedding_requests_in_flight") == 2)
            worker.resume()
            one, two = (answer.result(60).vectors for answer in answers)
    finally:
        worker.resume()
    assert one.tobytes() == two.tobytes()
    moved = counters.moved()
    assert (moved["misses"], moved["shared"] + moved["hits"], moved["texts"], moved["batches"]) == (1, 1, 2, 1)


def test_a_caller_whose_time_is_over_does_not_spoil_it_for_the_other(service: EmbeddingProcess) -> None:
    worker = service.worker()
    worker.suspend()
    try:
        with (
            EmbeddingClient(service.address, timeout_s=60) as patient,
            EmbeddingClient(service.address, timeout_s=1) as hasty,
            ThreadPoolExecutor(2) as pool,
        ):
            late = pool.submit(hasty.embed, ["wanted by two"])
            until(lambda: service.metric("twohop_embedding_requests_in_flight") == 1)
            answer = pool.submit(patient.embed, ["wanted by two"])
            assert late.exception(30) is not None
            worker.resume()
            assert len(answer.result(60)) == 1
    finally:
        worker.resume()


def test_what_is_kept_is_answered_while_no_worker_can(service: EmbeddingProcess, client: EmbeddingClient) -> None:
    before = client.embed(["kept for bad times"]).vectors
    worker = service.worker()
    worker.suspend()
    try:
        assert client.embed(["kept for bad times"]).vectors.tobytes() == before.tobytes()
    finally:
        worker.resume()


def test_many_texts_do_not_exceed_its_bytes(service: EmbeddingProcess, client: EmbeddingClient) -> None:
    for start in range(0, 400, 100):
        client.embed([f"text number {start + number}" for number in range(100)])
    assert 0.9 * CAPACITY < service.metric("twohop_embedding_cache_bytes") <= CAPACITY
    assert service.metric("twohop_embedding_cache_entries") == CAPACITY // (1536 + 384)
    counters = Counters(service)
    client.embed(["text number 399", "text number 0"])
    assert (counters.moved()["hits"], counters.moved()["misses"]) == (1, 1)      # the oldest went


def test_without_the_flag_nothing_is_kept(embedding_service: EmbeddingProcess) -> None:
    counters = Counters(embedding_service)
    with EmbeddingClient(embedding_service.address, timeout_s=60) as client:
        client.embed(["twice", "twice"])
        client.embed(["twice"])
    moved = counters.moved()
    assert (moved["hits"], moved["misses"], moved["shared"]) == (0, 0, 0)
    assert embedding_service.metric("twohop_embedding_cache_bytes") == 0


def test_a_reply_says_how_many_of_its_texts_were_kept(service: EmbeddingProcess) -> None:
    with grpc.insecure_channel(service.address) as channel:
        ask = channel.unary_unary(EMBED.path, wire.EmbedRequest.SerializeToString, wire.EmbedResponse.FromString)
        texts = ["kept for the one who asks twice", "and this one too"]
        assert ask(wire.EmbedRequest(texts=texts)).timings.cached_texts == 0
        assert ask(wire.EmbedRequest(texts=[*texts, "new among them"])).timings.cached_texts == 2
