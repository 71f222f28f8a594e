"""The light client against both services by rule, over the wire: blocking and asyncio go through the same suite."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from rule_services import POOLED, RICH, TOKENS, EmbeddingRules, Foreign, HeadRules
from two_ways import WAYS, Clients

from twohop.errors import (
    ON_THE_WIRE,
    Cancelled,
    DeadlineExceeded,
    EncoderMismatch,
    InvalidInput,
    ModelError,
    NotFound,
    Overloaded,
    TooLarge,
    TwoHopError,
    Unauthenticated,
    Unavailable,
)
from twohop.retry import REFUSALS
from twohop.types import Classifications


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[EmbeddingRules, HeadRules]]:
    hop_1, hop_2 = EmbeddingRules(), HeadRules()
    hop_1.start()
    hop_2.start()
    yield hop_1, hop_2
    hop_1.stop()
    hop_2.stop()


@pytest.fixture
def hop_1(services: tuple[EmbeddingRules, HeadRules]) -> EmbeddingRules:
    services[0].reset()
    return services[0]


@pytest.fixture
def hop_2(services: tuple[EmbeddingRules, HeadRules]) -> HeadRules:
    services[1].reset()
    return services[1]


@pytest.fixture(params=WAYS)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    made = Clients(request.param)
    yield made
    made.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


# --- what is promised when all is well


def test_vectors_come_in_order_with_their_rows_and_counts(clients: Clients, hop_1: EmbeddingRules) -> None:
    found = clients.embedding(hop_1.address).embed(["a bc", "one two three four five six seven"])
    assert found.vectors.dtype == np.float32
    assert found.vectors.tolist() == [[109, 4, 2, 4], [109, 33, 7, 33]]
    assert (found.rows, found.tokens, found.tokens_total, found.truncated) == ([1, 1], [4, 8], [4, 9], [False, True])
    assert (found.encoder, found.fingerprint, found.numerics) == ("minilm", POOLED, "rule-f32")
    assert set(found.timings) == {"tokenize", "queue", "compute", "service", "total"}
    assert not found.vectors.flags.writeable


def test_a_token_encoder_gives_ragged_rows_in_half_precision_where_asked(clients: Clients, hop_1: EmbeddingRules) -> None:
    found = clients.embedding(f"{hop_1.address}/tokens").embed(["a bc", "def"], dtype="float16", priority="bulk")
    assert found.vectors.dtype == np.float16
    assert [found.of(index).shape for index in range(2)] == [(2, 4), (1, 4)]
    assert found.of(1).tolist() == [[116, 3, 1, 3]]
    assert hop_1.asked("Embed")[0].priority == 2


def test_the_list_of_encoders_is_asked_anew(clients: Clients, hop_1: EmbeddingRules) -> None:
    client = clients.embedding(hop_1.address)
    assert [encoder.name for encoder in client.encoders()] == ["minilm", "rich", "tokens"]
    hop_1.encoders = {"other": RICH}
    found = client.encoders()
    assert found.named("").name == found.named("other-alias").name == "other"
    assert found.with_fingerprint(RICH) == found.encoders[0]
    assert found.with_fingerprint(POOLED) is None
    with pytest.raises(NotFound, match="served are: other"):
        found.named("minilm")


def test_each_head_gets_vectors_of_the_encoder_that_it_names(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    both = clients.both(hop_1.address, hop_2.address)
    found = both.classify_many(["ab", "abc", "a" * 13], ["sentiment", "topic", "hybrid"], all_scores=True)
    assert [answer.label for answer in found["sentiment"]] == ["even", "odd", None]
    assert found["sentiment"][0].scores == {"even": 0.75, "odd": 0.25}
    assert (found["sentiment"].version, found["sentiment"].fingerprint) == (3, POOLED)
    assert (found["topic"].fingerprint, found["hybrid"].fingerprint) == (RICH, TOKENS)
    assert set(found["topic"].timings_ms) == {"embed", "head", "total"}
    asked = {request.encoder: request for request in hop_1.asked("Embed")}
    assert len(hop_1.asked("Embed")) == 3
    assert asked["tokens"].dtype == 2, "a vector per token travels in half precision"
    assert {request.expect_fingerprint for request in asked.values()} == {POOLED, RICH, TOKENS}
    sent = {request.model_spec.name: request for request in hop_2.asked("Predict")}
    assert sent["hybrid"].inputs["text"].string_val[:] == [b"ab", b"abc", b"a" * 13]
    assert sent["sentiment"].model_spec.signature_name == POOLED


def test_heads_of_one_encoder_share_one_encode_and_unasked_scores_do_not_travel(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules
) -> None:
    hop_2.heads["twin"] = (POOLED, 1, ("embedding",))
    found = clients.both(hop_1.address, hop_2.address).classify_many(["ab"], ["sentiment", "twin"])
    assert found["twin"][0].scores is None
    assert len(hop_1.asked("Embed")) == 1
    assert [list(request.output_filter) for request in hop_2.asked("Predict")] == [["label", "score"]] * 2


def test_counts_and_cuts_reach_the_classification(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    found = clients.both(hop_1.address, hop_2.address).classify(["a b", "one two three four five six seven"], "sentiment")
    assert [(answer.tokens, answer.truncated) for answer in found] == [(4, False), (8, True)]
    assert [answer.label for answer in found[:1]] == ["odd"]


def test_vectors_of_the_chain_are_the_callers_own(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    vectors = clients.both(f"{hop_1.address}/rich", hop_2.address).embed(["ab"])
    vectors /= 2
    assert vectors.tolist() == [[57, 1, 0.5, 1]]
    with pytest.raises(InvalidInput, match="per token"):
        clients.both(hop_1.address, hop_2.address, encoder="tokens").embed(["a b"])


def test_a_head_says_what_it_takes_and_how_its_versions_are(clients: Clients, hop_2: HeadRules) -> None:
    client = clients.heads(hop_2.address)
    signature = client.signature("hybrid")
    assert (signature.version, signature.fingerprint, signature.dimension) == (2, TOKENS, 4)
    assert {name: spec.shape for name, spec in signature.inputs.items()} == {
        "tokens": (None, None, 4), "mask": (None, None), "text": (None,),
    }
    assert [(status.version, status.state) for status in client.status("hybrid")] == [(2, "AVAILABLE"), (1, "END")]
    client.signature("hybrid")
    assert len(hop_2.asked("GetModelMetadata")) == 1, "the signature is read once"


# --- calls above the limits


def test_a_call_above_the_limits_is_split_and_its_order_kept(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.max_texts, hop_1.max_request_bytes = 100, 4096
    texts = ["x" * (1 + index % 97) for index in range(1000)]
    found = clients.embedding(hop_1.address).embed(texts, pairs=["p"] * 1000)
    assert found.vectors[:, 1].tolist() == [len(text) for text in texts]
    assert len(found) == 1000
    assert all(len(request.texts) == len(request.pairs) <= 100 for request in hop_1.asked("Embed"))
    assert not found.vectors.flags.writeable


def test_a_reply_that_would_be_too_large_is_asked_for_in_halves(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.max_response_bytes = 5 * 16
    texts = ["x" * (1 + index) for index in range(23)]
    found = clients.embedding(hop_1.address).embed(texts)
    assert found.vectors[:, 1].tolist() == [len(text) for text in texts]


def test_a_text_too_large_on_its_own_is_named_and_never_sent(clients: Clients, hop_1: EmbeddingRules) -> None:
    with pytest.raises(TooLarge, match="text 1 takes") as caught:
        clients.embedding(hop_1.address).embed(["a", "x" * 10_000_000])
    assert caught.value.detail["index"] == 1
    assert caught.value.detail["limit_bytes"] == 8 << 20
    assert not hop_1.asked("Embed")


def test_a_text_whose_reply_is_too_large_on_its_own_is_named(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.max_response_bytes = 2 * 16
    with pytest.raises(TooLarge, match="text 2 alone") as caught:
        clients.embedding(hop_1.address, encoder="tokens").embed(["a", "b", "c d e"])
    assert caught.value.detail["index"] == 2


def test_a_hundred_thousand_texts_in_one_call_are_served(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    made = Clients("blocking")
    texts = ["x" * (1 + index % 9) for index in range(100_000)]
    found = made.both(hop_1.address, hop_2.address).classify(texts, "hybrid")
    made.close()
    assert [answer.label for answer in found] == ["odd" if len(text) % 2 else "even" for text in texts]
    assert all(request.inputs["tokens"].ByteSize() < 4 << 20 for request in hop_2.asked("Predict"))


def test_a_large_batch_of_vectors_goes_to_the_head_in_several_requests(clients: Clients, hop_2: HeadRules) -> None:
    vectors = np.zeros((3000, 4 * 100), np.float64)
    vectors[:, 1] = np.arange(3000)
    found = clients.heads(hop_2.address).predict("sentiment", {"embedding": vectors}, fingerprint=POOLED)
    assert [answer.label for answer in found[:16]][14:16] == ["even", "odd"]
    assert len(found) == 3000
    assert len(hop_2.asked("Predict")) == 2


def test_an_error_about_a_text_names_its_index_in_the_call(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.max_texts = 10
    with pytest.raises(InvalidInput, match="text 57 of the call") as caught:
        clients.embedding(hop_1.address).embed(["a"] * 57 + ["poison"])
    assert caught.value.detail["index"] == 57


# --- bad input never leaves


@pytest.mark.parametrize(("texts", "named"), [
    ([], "no text"), ("a string", "list of strings"), (["a", " \n\t"], "text 1 is empty"), (["a", ""], "text 1 is empty"),
    (["a", 5], "text 1 is no string"), (["\ud800"], "text 0 cannot be written in UTF-8"), ([None], "text 0 is no string"),
])
def test_bad_texts_are_refused_before_sending(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules, texts: list[str], named: str
) -> None:
    with pytest.raises(InvalidInput, match=named):
        clients.embedding(hop_1.address).embed(texts)
    with pytest.raises(InvalidInput, match=named):
        clients.both(hop_1.address, hop_2.address).classify(texts, "sentiment")
    assert not hop_1.calls


def test_bad_arguments_name_themselves(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    client, heads = clients.embedding(hop_1.address), clients.heads(hop_2.address)
    for arguments, named in (
        ({"pairs": []}, "1 texts and 0 pairs"), ({"priority": "now"}, "priority"), ({"dtype": "int8"}, "dtype"),
        ({"timeout_s": 0}, "timeout_s"), ({"timeout_s": float("nan")}, "timeout_s"),
    ):
        with pytest.raises(InvalidInput, match=named):
            client.embed(["a"], **arguments)
    for head in ("", "Sentiment", "a/b", "-a", "a" * 65):
        with pytest.raises(InvalidInput, match="no head name"):
            heads.predict(head, {"embedding": np.zeros((1, 4))}, fingerprint=POOLED)
    for inputs in ({"embedding": np.zeros((0, 4))}, {"tokens": np.zeros((2, 1, 4)), "mask": np.zeros((1, 1))}, {}):
        with pytest.raises(InvalidInput, match="same number of rows"):
            heads.predict("sentiment", inputs, fingerprint=POOLED)
    with pytest.raises(InvalidInput, match="list with at least one"):
        clients.both(hop_1.address, hop_2.address).classify_many(["a"], "sentiment")


# --- errors come back as they were raised


@pytest.mark.parametrize("kind", ON_THE_WIRE)
def test_each_class_of_the_tree_makes_the_round_trip(clients: Clients, hop_1: EmbeddingRules, kind: type[TwoHopError]) -> None:
    hop_1.always = kind("because", detail={"why": "for 1"})
    with pytest.raises(kind, match="because") as caught:
        clients.embedding(hop_1.address).embed(["a"], timeout_s=0.3)
    assert type(caught.value) is kind
    assert caught.value.detail["why"] == "for 1"
    assert (len(hop_1.calls) > 1) == (kind in REFUSALS)


@pytest.mark.parametrize(("code", "message", "kind"), [
    ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", TooLarge),
    ("RESOURCE_EXHAUSTED", "Run() timeout exceeded while waiting in batching queue", Overloaded),
    ("FAILED_PRECONDITION", "anything", EncoderMismatch),
    ("INVALID_ARGUMENT", 'Serving signature key "enc-1" not found.', EncoderMismatch),
    ("INVALID_ARGUMENT", "Matrix size-incompatible", InvalidInput),
    ("NOT_FOUND", "Servable not found", NotFound),
    ("UNIMPLEMENTED", "Method not found!", NotFound),
    ("UNAUTHENTICATED", "who?", Unauthenticated),
    ("UNAVAILABLE", "batch scheduling queue is full", Unavailable),
    ("INTERNAL", "boom", ModelError),
    ("DATA_LOSS", "boom", ModelError),
    ("CANCELLED", "", Cancelled),
])
def test_a_status_that_is_not_ours_is_read_by_code_and_text(
    clients: Clients, hop_2: HeadRules, code: str, message: str, kind: type[TwoHopError]
) -> None:
    hop_2.always = Foreign(grpc.StatusCode[code], message)
    with pytest.raises(kind) as caught:
        clients.heads(hop_2.address).predict("sentiment", {"embedding": np.zeros((1, 4))}, fingerprint=POOLED, timeout_s=0.3)
    assert type(caught.value) is kind


def test_a_call_that_a_stopping_server_cancelled_is_asked_again(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.faults.append(Foreign(grpc.StatusCode.CANCELLED, ""))
    assert len(clients.embedding(hop_1.address).embed(["a"])) == 1
    assert len(hop_1.asked("ListEncoders")) == 2


def test_a_reply_that_does_not_add_up_is_an_error_of_the_model(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.dimension = 5
    try:
        with pytest.raises(ModelError, match="does not add up"):
            clients.embedding(hop_1.address).embed(["a"])
    finally:
        hop_1.dimension = 4


def test_the_address_of_another_service_is_told_apart(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    with pytest.raises(NotFound, match=f"{hop_2.address} does not serve"):
        clients.embedding(hop_2.address).embed(["a"])
    with pytest.raises(NotFound, match="another service"):
        clients.heads(hop_1.address).status("sentiment")


# --- fingerprints


def test_a_named_encoder_that_the_head_does_not_take_is_refused_before_any_encode(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules
) -> None:
    with pytest.raises(EncoderMismatch, match=f"{POOLED}.*{RICH}") as caught:
        clients.both(f"{hop_1.address}/rich", hop_2.address).classify(["a"], "sentiment")
    assert caught.value.detail == {"head": "sentiment", "head_encoder": POOLED, "given_encoder": RICH}
    assert not hop_1.asked("Embed")


def test_no_listed_encoder_fits(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    hop_1.encoders = {"rich": RICH}
    with pytest.raises(EncoderMismatch, match=f"{POOLED}.*{RICH}"):
        clients.both(hop_1.address, hop_2.address).classify(["a"], "sentiment")
    hop_2.heads["sentiment"] = ("", 1, ("embedding",))
    with pytest.raises(EncoderMismatch, match="does not name"):
        clients.both(hop_1.address, hop_2.address).classify(["a"], "sentiment")


def test_the_server_refuses_other_vectors_and_the_client_names_both(clients: Clients, hop_2: HeadRules) -> None:
    with pytest.raises(EncoderMismatch, match="takes vectors of") as caught:
        clients.heads(hop_2.address).predict("sentiment", {"embedding": np.zeros((1, 4))}, fingerprint=RICH)
    assert caught.value.detail == {"head": "sentiment", "head_encoder": POOLED, "given_encoder": RICH}
    assert len(hop_2.asked("Predict")) == 1


def test_an_expected_fingerprint_is_sent_and_the_reply_compared(clients: Clients, hop_1: EmbeddingRules) -> None:
    with pytest.raises(EncoderMismatch):
        clients.embedding(hop_1.address).embed(["a"], expect_fingerprint=RICH)
    assert hop_1.asked("Embed")[0].expect_fingerprint == RICH


def test_a_head_that_was_replaced_under_the_client_is_followed(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules
) -> None:
    both = clients.both(hop_1.address, hop_2.address)
    assert both.classify(["ab"], "sentiment").fingerprint == POOLED
    hop_2.heads["sentiment"] = (RICH, 4, ("embedding",))
    found = both.classify(["ab"], "sentiment")
    assert (found.fingerprint, found.version) == (RICH, 4)


def test_an_encoder_that_was_renamed_under_the_client_is_followed(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules
) -> None:
    both = clients.both(hop_1.address, hop_2.address)
    both.classify(["ab"], "sentiment")
    hop_1.encoders = {"minilm": RICH, "old": POOLED}
    assert both.classify(["ab"], "sentiment").fingerprint == POOLED
    assert hop_1.asked("Embed")[-1].encoder == "old"


def test_a_head_that_fails_spoils_only_itself(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    hop_2.heads["foreign"] = (POOLED, 1, ("pixels",))
    found = clients.both(hop_1.address, hop_2.address).classify_many(["ab"], ["sentiment", "nobody", "Bad", "foreign"])
    assert isinstance(found["sentiment"], Classifications)
    assert {name: type(answer) for name, answer in found.items() if name != "sentiment"} == {
        "nobody": NotFound, "Bad": InvalidInput, "foreign": InvalidInput,
    }
    assert "pixels" in found["foreign"].message


def test_a_head_that_failed_is_not_asked_for_the_rest_of_a_large_call(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules
) -> None:
    hop_1.max_texts = 1
    hop_2.always = ModelError("broken")
    with pytest.raises(ModelError, match="broken"):
        clients.both(hop_1.address, hop_2.address).classify(["a"] * 50, "sentiment")
    assert len(hop_2.calls) < 5


# --- time, refusals, and asking again


def test_a_refusal_is_asked_again(clients: Clients, hop_1: EmbeddingRules) -> None:
    client = clients.embedding(hop_1.address)
    client.encoders()
    hop_1.faults.extend([Unavailable("starting"), Overloaded("full"), Foreign(grpc.StatusCode.UNAVAILABLE, "socket closed")])
    assert len(client.embed(["a"])) == 1


def test_a_server_that_says_when_to_come_again_is_not_asked_earlier(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.faults.append(Overloaded("full", retry_after_s=0.2))
    begun = time.monotonic()
    clients.embedding(hop_1.address).encoders()
    assert time.monotonic() - begun >= 0.2


def test_a_wait_longer_than_the_deadline_is_not_begun(clients: Clients, hop_1: EmbeddingRules) -> None:
    hop_1.always = Overloaded("full", retry_after_s=60)
    with pytest.raises(Overloaded) as caught:
        clients.embedding(hop_1.address).embed(["a"], timeout_s=30)
    assert len(hop_1.calls) == 1
    assert caught.value.retry_after_s == 60
    assert caught.value.detail["address"] == hop_1.address


def test_a_service_that_is_down_is_asked_until_the_deadline_and_named(clients: Clients, hop_2: HeadRules) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=f"hop 1.*{address}.*refused") as caught:
        clients.both(address, hop_2.address).classify(["a"], "sentiment", timeout_s=0.6)
    assert caught.value.detail["address"] == address


def test_a_service_that_comes_back_is_found_within_the_call(clients: Clients) -> None:
    service = EmbeddingRules(port=free_port())
    starting = threading.Timer(0.4, service.start)
    starting.start()
    try:
        assert len(clients.embedding(service.address).embed(["a"], timeout_s=10)) == 1
    finally:
        starting.join()
        service.stop()


def test_time_is_spent_once_over_both_hops(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    both = clients.both(hop_1.address, hop_2.address)
    both.classify(["a"], "sentiment")
    hop_1.calls.clear()
    hop_2.calls.clear()
    hop_1.delay_s = 0.3
    both.classify(["a"], "sentiment", timeout_s=3)
    (_, _, _, left_1), (_, _, _, left_2) = hop_1.calls[0], hop_2.calls[0]
    assert left_1 is not None
    assert left_2 is not None
    assert left_1 <= 2.75, "a share is kept for hop 2"
    assert left_2 <= 2.75, "what hop 1 took is gone"


@pytest.mark.parametrize("slow", [1, 2])
def test_a_deadline_that_passes_names_the_hop_and_its_address(
    clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules, slow: int
) -> None:
    both = clients.both(hop_1.address, hop_2.address)
    both.classify(["a"], "sentiment")
    service = (hop_1, hop_2)[slow - 1]
    service.delay_s = 5
    with pytest.raises(DeadlineExceeded, match=rf"hop {slow} .*{service.address}.*0\.3 s"):
        both.classify(["a"], "sentiment", timeout_s=0.3)


def test_readiness_is_waited_for(clients: Clients, hop_1: EmbeddingRules) -> None:
    client = clients.embedding(hop_1.address)
    hop_1.ready = False
    with pytest.raises(Unavailable, match="not ready: minilm, rich, tokens"):
        client.wait_until_ready(0.3)
    becoming = threading.Timer(0.3, setattr, (hop_1, "ready", True))
    becoming.start()
    assert all(encoder.ready for encoder in client.wait_until_ready(10))
    becoming.join()
    hop_1.always = Unauthenticated("who?")
    with pytest.raises(Unauthenticated):
        client.wait_until_ready(10)
    with pytest.raises(Unavailable, match="refused"):
        clients.embedding(f"127.0.0.1:{free_port()}").wait_until_ready(0.5)


# --- several addresses


def test_a_refusal_of_one_address_is_carried_to_the_other_without_a_wait(clients: Clients, hop_1: EmbeddingRules) -> None:
    down = f"127.0.0.1:{free_port()}"
    client = clients.embedding([down, hop_1.address])
    hop_1.always = None
    for _ in range(10):
        assert len(client.embed(["a"], timeout_s=5)) == 1
    assert len(hop_1.asked("Embed")) == 10


def test_the_address_with_the_shorter_wait_is_preferred(clients: Clients, hop_1: EmbeddingRules) -> None:
    other = EmbeddingRules()
    other.start()
    try:
        other.wait_us = 60_000_000
        client = clients.embedding(f"{hop_1.address},{other.address}")
        for _ in range(40):
            client.embed(["a"])
        assert len(other.asked("Embed")) <= 1
        assert client.estimated_wait_ms in (0.0, 60_000.0)
    finally:
        other.stop()


# --- who calls


def test_the_token_goes_with_every_call_to_both_services(clients: Clients, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    clients.both(hop_1.address, hop_2.address, token="alpha").classify(["a"], "sentiment")
    assert {metadata["authorization"] for _, _, metadata, _ in hop_1.calls + hop_2.calls} == {"Bearer alpha"}


def test_a_closed_client_says_so(clients: Clients, hop_1: EmbeddingRules) -> None:
    client = clients.embedding(hop_1.address)
    client.embed(["a"])
    client.close()
    with pytest.raises(Cancelled, match="closed"):
        client.embed(["a"])
