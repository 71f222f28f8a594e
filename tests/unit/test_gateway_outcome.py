"""What the gateway tells its caller, given what the heads answered."""

from __future__ import annotations

import json

import pytest

from head_service.gateway import outcome
from head_service.gateway.settings import Deadlines
from twohop.errors import EncoderMismatch, InvalidInput, NotFound, Overloaded, Unavailable
from twohop.types import Classification, Classifications, Encoder


def answer(head: str, *labels: str | None, fingerprint: str = "enc-aaaaaaaaaaaa", embed: float = 3.9) -> Classifications:
    items = tuple(Classification(label, 0.9800000190734863, tokens=7, truncated=False) for label in labels)
    return Classifications(items, head, 3, fingerprint, {"embed": embed, "head": 0.8, "total": embed + 0.8})


def encoder(name: str, fingerprint: str) -> Encoder:
    return Encoder(name, (), fingerprint, {}, "openvino-bf16", 384, False, 256, True, True)


ENCODERS = [encoder("minilm", "enc-aaaaaaaaaaaa"), encoder("rich", "enc-bbbbbbbbbbbb"), encoder("tokens", "enc-cccccccccccc")]
GOOD, GONE, AWAY = answer("a", "x"), NotFound("no such head"), Unavailable("down", retry_after_s=2.0)


@pytest.mark.parametrize("policy", ["any", "all"])
def test_every_head_answered_is_no_failure(policy: outcome.Policy) -> None:
    assert outcome.failure({"a": GOOD, "b": GOOD}, policy) is None


@pytest.mark.parametrize("answers", [{"a": GOOD, "b": GONE}, {"b": GONE, "a": GOOD}])
def test_policy_any_is_content_with_one_answer_and_all_is_not(answers: outcome.Outcome) -> None:
    assert outcome.failure(answers, "any") is None
    failed = outcome.failure(answers, "all")
    assert isinstance(failed, NotFound)
    assert failed.detail == {"head": "b"}


@pytest.mark.parametrize("policy", ["any", "all"])
def test_without_an_answer_the_first_asked_heads_error_stands_for_the_request(policy: outcome.Policy) -> None:
    failed = outcome.failure({"a": AWAY, "b": GONE}, policy)
    assert isinstance(failed, Unavailable)
    assert (failed.message, failed.retry_after_s, failed.detail) == ("down", 2.0, {"head": "a"})
    assert isinstance(outcome.failure({"b": GONE, "a": AWAY}, policy), NotFound)


def test_the_detail_of_an_error_survives() -> None:
    failed = outcome.failure({"a": EncoderMismatch("differ", detail={"head_encoder": "enc-1"})}, "any")
    assert failed is not None
    assert failed.detail == {"head": "a", "head_encoder": "enc-1"}


def test_the_body_is_the_contracts() -> None:
    answers = {"sentiment": answer("sentiment", "positive"), "topic": Unavailable("down")}
    assert outcome.body(answers, ENCODERS, total_ms=5.1) == {
        "results": [
            {
                "tokens": 7,
                "truncated": False,
                "heads": {
                    "sentiment": {"label": "positive", "score": 0.98, "scores": None},
                    "topic": {"error": {"type": "Unavailable", "message": "down", "detail": {}}},
                },
            }
        ],
        "heads": {"sentiment": {"version": 3, "encoder": "enc-aaaaaaaaaaaa"}},
        "encoders": {"enc-aaaaaaaaaaaa": {"name": "minilm", "numerics": "openvino-bf16"}},
        "timings_ms": {"embed": 3.9, "heads": {"sentiment": 0.8}, "total": 5.1},
    }


def test_results_follow_the_texts_and_heads_the_order_asked() -> None:
    answers = {"b": answer("b", "1", "2"), "bad": Overloaded("full"), "a": answer("a", "3", None)}
    body = outcome.body(answers, ENCODERS, total_ms=1)
    assert [list(each["heads"]) for each in body["results"]] == [["b", "bad", "a"]] * 2
    assert [each["heads"]["a"]["label"] for each in body["results"]] == ["3", None]


def test_each_encoder_that_was_used_is_listed_and_the_slowest_is_the_time_of_hop_1() -> None:
    answers = {"a": answer("a", "x"), "b": answer("b", "y", fingerprint="enc-bbbbbbbbbbbb", embed=7.25)}
    body = outcome.body(answers, ENCODERS, total_ms=9)
    assert {fingerprint: each["name"] for fingerprint, each in body["encoders"].items()} == {
        "enc-aaaaaaaaaaaa": "minilm",
        "enc-bbbbbbbbbbbb": "rich",
    }
    assert body["timings_ms"]["embed"] == 7.25


def test_scores_are_as_short_in_json_as_they_are_exact() -> None:
    scores = {"x": 0.9800000190734863, "y": 1.2345678e-09}
    items = (Classification("x", scores["x"], scores, 7, True),)
    body = outcome.body({"a": Classifications(items, "a", 1, "enc-aaaaaaaaaaaa", {"embed": 1, "head": 1})}, ENCODERS, total_ms=2)
    assert json.dumps(body["results"][0]["heads"]["a"]["scores"]) == '{"x": 0.98, "y": 1.234568e-09}'
    assert body["results"][0]["truncated"] is True


def test_a_request_without_a_timeout_gets_the_default() -> None:
    assert Deadlines(default_ms=1500).seconds(None) == 1.5


@pytest.mark.parametrize(("header", "seconds"), [("1", 0.001), (" 250 ", 0.25), ("60000", 60), ("9" * 40, 60), ("00120", 0.12)])
def test_a_requests_timeout_holds_up_to_the_most_allowed(header: str, seconds: float) -> None:
    assert Deadlines(max_ms=60_000).seconds(header) == seconds


@pytest.mark.parametrize("header", ["", "0", "000", "-5", "1.5", "1e3", "soon", "٣", "1 000"])
def test_a_timeout_that_is_no_positive_number_is_refused_by_name(header: str) -> None:
    with pytest.raises(InvalidInput, match="X-Request-Timeout-Ms"):
        Deadlines().seconds(header)
