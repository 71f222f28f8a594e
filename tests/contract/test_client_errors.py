"""How the light client ends calls that cannot be answered, and which it asks again: fingerprints, deadlines, addresses."""

from __future__ import annotations

import threading
import time

import grpc
import numpy as np
import pytest
from rule_services import POOLED, RICH, EmbeddingRules, Foreign, HeadRules
from two_ways import Clients

from deploy.ports import free_ports
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
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(Unavailable, match=f"hop 1.*{address}.*refused") as caught:
        clients.both(address, hop_2.address).classify(["a"], "sentiment", timeout_s=0.6)
    assert caught.value.detail["address"] == address


def test_a_service_that_comes_back_is_found_within_the_call(clients: Clients) -> None:
    service = EmbeddingRules(port=free_ports(1)[0])
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
        clients.embedding(f"127.0.0.1:{free_ports(1)[0]}").wait_until_ready(0.5)


# --- several addresses


def test_a_refusal_of_one_address_is_carried_to_the_other_without_a_wait(clients: Clients, hop_1: EmbeddingRules) -> None:
    down = f"127.0.0.1:{free_ports(1)[0]}"
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
