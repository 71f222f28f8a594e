"""The light client against both services by rule, over the wire: blocking and asyncio go through the same suite."""

from __future__ import annotations

import numpy as np
import pytest
from rule_services import POOLED, RICH, TOKENS, EmbeddingRules, HeadRules
from two_ways import Clients

from twohop.errors import (
    Cancelled,
    InvalidInput,
    NotFound,
    TooLarge,
)

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


@pytest.mark.parametrize("as_array", [False, True])
def test_long_texts_beside_small_vectors_go_to_the_head_in_several_requests_too(
    clients: Clients, hop_2: HeadRules, as_array: bool
) -> None:
    texts = ["ß" * 20_000] * 150
    inputs = {"tokens": np.ones((150, 1, 4), np.float32), "mask": np.ones((150, 1), np.float32),
              "text": np.array(texts, object) if as_array else texts}
    assert len(clients.heads(hop_2.address).predict("hybrid", inputs, fingerprint=TOKENS)) == 150
    asked = hop_2.asked("Predict")
    assert len(asked) == 2
    assert all(request.ByteSize() < 4 << 20 for request in asked)


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
