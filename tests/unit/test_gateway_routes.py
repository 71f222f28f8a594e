"""The gateway's HTTP interface, through its front door, on two hops that answer by rule."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from rule_hops import Gateway, Hops, run, until

from head_service.gateway.settings import Limits
from twohop.errors import Unavailable
from twohop_service.auth import Keys


def error_of(reply: Response) -> tuple[int, str, str]:
    error = reply.json()["error"]
    return reply.status_code, error["type"], error["message"]


def test_many_heads_are_one_request_to_both_hops() -> None:
    async def check(gateway: Gateway) -> None:
        reply = await gateway.classify("topic", "sentiment", texts=["good film", "bad film indeed"], all_scores=True)
        assert reply.status_code == 200
        assert gateway.hops.asked == [(["good film", "bad film indeed"], ["topic", "sentiment"], True, 2.0)]
        good, bad = reply.json()["results"]
        assert good == {
            "tokens": 4, "truncated": False,
            "heads": {head: {"label": "good", "score": 0.75, "scores": {"good": 0.75}} for head in ("topic", "sentiment")},
        }
        assert (bad["tokens"], bad["heads"]["topic"]["label"]) == (5, "bad")
        assert reply.json()["encoders"] == {"enc-70fe41bf296e": {"name": "minilm", "numerics": "openvino-bf16"}}

    run(check)


def test_a_head_that_fails_spoils_only_itself_unless_all_are_wanted() -> None:
    async def check(gateway: Gateway) -> None:
        reply = await gateway.classify("sentiment", "topic")
        assert reply.status_code == 200
        heads = reply.json()["results"][0]["heads"]
        assert heads["sentiment"]["label"] == "good"
        assert heads["topic"]["error"]["type"] == "Unavailable"
        assert list(reply.json()["heads"]) == ["sentiment"]
        refused = await gateway.classify("sentiment", "topic", policy="all")
        assert error_of(refused) == (503, "Unavailable", "away")
        assert refused.headers["retry-after"] == "3"
        assert (await gateway.classify("topic")).status_code == 503

    run(check, Hops(broken={"topic": Unavailable("away", retry_after_s=3)}))


def test_a_hop_1_that_is_away_is_an_error_of_every_head() -> None:
    async def check(gateway: Gateway) -> None:
        gateway.hops.hop_1 = Unavailable("no embedding service at h:1")
        assert error_of(await gateway.classify("sentiment", "topic"))[:2] == (503, "Unavailable")

    run(check)


def test_a_score_that_json_cannot_say_is_the_heads_error() -> None:
    async def check(gateway: Gateway) -> None:
        status, kind, message = error_of(await gateway.classify("topic"))
        assert (status, kind) == (500, "ModelError")
        assert "'topic' (version 3)" in message

    run(check, Hops(score=float("nan")))


def test_an_unknown_head_is_not_found_and_never_asked_for() -> None:
    async def check(gateway: Gateway) -> None:
        status, kind, message = error_of(await gateway.classify("sentimnet"))
        assert (status, kind) == (404, "NotFound")
        assert "sentimnet" in message
        assert "sentiment, topic" in message
        assert gateway.hops.asked == []
        mixed = await gateway.classify("sentimnet", "topic")
        assert mixed.json()["results"][0]["heads"]["sentimnet"]["error"]["type"] == "NotFound"
        assert gateway.hops.asked[0][1] == ["topic"]
        assert await gateway.metric('twohop_gateway_head_calls_total{head="(unknown)",result="NotFound"}') == 2

    run(check)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"texts":["a"]}', "heads"),
        (b'{"heads":["topic"]}', "texts"),
        (b'{"texts":[],"heads":["topic"]}', "texts"),
        (b'{"texts":["a"],"heads":[]}', "heads"),
        (b'{"texts":"a","heads":["topic"]}', "texts"),
        (b'{"texts":["a",7],"heads":["topic"]}', "texts.1"),
        (b'{"texts":["a",null],"heads":["topic"]}', "texts.1"),
        (b'{"texts":["a"," \\t\\n"],"heads":["topic"]}', "texts[1]"),
        (b'{"texts":["a",""],"heads":["topic"]}', "texts[1]"),
        (b'{"texts":["a"],"heads":["topic","sentiment","topic"]}', "heads[2]"),
        (b'{"texts":["a"],"heads":["topic"],"policy":"most"}', "policy"),
        (b'{"texts":["a"],"heads":["topic"],"all_scores":"yes"}', "all_scores"),
        (b'{"texts":["a"],"heads":["topic"],"polcy":"all"}', "polcy"),
        (b'{"texts":["\xff\xfe"],"heads":["topic"]}', "body"),
        (b'{"texts":["\\ud800"],"heads":["topic"]}', "body"),
        (b'{"texts":["a","b","c","d"],"heads":["topic"]}', "texts"),
        (b'{"texts":["a"],"heads":["1","2","3","4"]}', "heads"),
    ],
)
def test_a_body_that_cannot_be_served_is_a_400_that_names_the_place(body: bytes, said: str) -> None:
    async def check(gateway: Gateway) -> None:
        reply = await gateway.http.post("/v1/classify", content=body)
        assert error_of(reply)[:2] == (400, "InvalidInput"), reply.text
        assert said in error_of(reply)[2]
        assert gateway.hops.asked == []
        assert (await gateway.classify("topic")).status_code == 200

    run(check, limits=Limits(max_texts=3, max_heads=3))


def test_a_body_above_the_limit_is_a_413_whether_it_says_its_length_or_not() -> None:
    body = json.dumps({"texts": ["long " * 100], "heads": ["topic"]}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50):
            yield body[start : start + 50]

    async def check(gateway: Gateway) -> None:
        for content in (body, chunks()):
            reply = await gateway.http.post("/v1/classify", content=content)
            assert error_of(reply)[:2] == (413, "TooLarge")
        assert (await gateway.classify("topic")).status_code == 200

    run(check, limits=Limits(max_body_bytes=200))


def test_a_requests_own_timeout_is_what_both_hops_get() -> None:
    async def check(gateway: Gateway) -> None:
        for header in ("250", "999999"):
            assert (await gateway.classify("topic", headers={"X-Request-Timeout-Ms": header})).status_code == 200
        assert [timeout_s for *_, timeout_s in gateway.hops.asked] == [0.25, 5.0]
        assert error_of(await gateway.classify("topic", headers={"X-Request-Timeout-Ms": "soon"}))[:2] == (400, "InvalidInput")

    run(check)


def test_a_caller_who_leaves_takes_the_work_along_and_counts_as_499() -> None:
    async def check(gateway: Gateway) -> None:
        body = json.dumps({"texts": ["a"], "heads": ["topic", "sentiment"]}).encode()
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "http.request", "body": body, "more_body": False})
        sent: list[Any] = []
        scope = {
            "type": "http", "method": "POST", "path": "/v1/classify", "raw_path": b"/v1/classify", "query_string": b"",
            "headers": [], "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 1),
            "root_path": "", "asgi": {"version": "3.0"},
        }

        async def send(message: Any) -> None:
            sent.append(message)

        call = asyncio.create_task(gateway.transport.app(scope, incoming.get, send))  # type: ignore[arg-type]
        await until(lambda: bool(gateway.hops.asked))
        assert await gateway.metric("twohop_gateway_requests_in_flight") == 2          # this one and the one that asks
        incoming.put_nowait({"type": "http.disconnect"})
        await call
        assert gateway.hops.cancelled == 1
        assert sent[0]["status"] == 499
        assert await gateway.metric('twohop_gateway_requests_total{route="/v1/classify",status="499"}') == 1
        assert await gateway.metric('twohop_gateway_head_calls_total{head="topic",result="Cancelled"}') == 1
        gateway.hops.hanging.clear()
        assert (await gateway.classify("topic")).status_code == 200          # its place is free again

    run(check, Hops(hanging={"topic"}), limits=Limits(max_in_flight_per_head=1))


def test_a_head_that_hangs_fills_its_own_places_and_nobody_elses() -> None:
    async def check(gateway: Gateway) -> None:
        waiting = [asyncio.create_task(gateway.classify("topic")) for _ in range(2)]
        await until(lambda: len(gateway.hops.asked) == 2)
        full = await gateway.classify("topic")
        assert error_of(full)[:2] == (429, "Overloaded")
        assert full.headers["retry-after"] == "1"
        both = (await gateway.classify("topic", "sentiment")).json()["results"][0]["heads"]
        assert (both["sentiment"]["label"], both["topic"]["error"]["type"]) == ("good", "Overloaded")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(check, Hops(hanging={"topic"}), limits=Limits(max_in_flight_per_head=2))


def test_before_the_first_look_everything_but_life_is_unavailable() -> None:
    async def check(gateway: Gateway) -> None:
        for reply in (await gateway.classify("topic"), await gateway.http.get("/v1/heads")):
            assert error_of(reply)[:2] == (503, "Unavailable")
            assert reply.headers["retry-after"] == "1"
        assert (await gateway.http.get("/readyz")).json() == {"status": "not ready", "reason": "starting"}
        assert (await gateway.http.get("/livez")).status_code == 200
        await gateway.watch.look()
        assert (await gateway.http.get("/readyz")).status_code == 200
        gateway.lifecycle.stop()
        assert (await gateway.http.get("/readyz")).json()["reason"] == "draining"

    run(check, looked=False)


def test_with_keys_only_the_interface_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("alpha\n")

    async def check(gateway: Gateway) -> None:
        assert error_of(await gateway.classify("topic"))[:2] == (401, "Unauthenticated")
        assert (await gateway.http.get("/v1/heads")).status_code == 401
        assert (await gateway.classify("topic", headers={"Authorization": "Bearer alpha"})).status_code == 200
        for path in ("/livez", "/readyz", "/metrics", "/docs", "/"):
            assert (await gateway.http.get(path)).status_code == 200

    run(check, keys=Keys.read(tmp_path / "keys"))


def test_a_request_keeps_its_id_and_gets_one_where_it_has_none() -> None:
    async def check(gateway: Gateway) -> None:
        assert (await gateway.classify("topic", headers={"X-Request-Id": "order-66"})).headers["x-request-id"] == "order-66"
        ids = {(await gateway.classify("none", headers={"X-Request-Id": bad})).headers["x-request-id"] for bad in ("", "a b")}
        assert len(ids) == 2
        assert all(len(each) == 32 for each in ids)

    run(check)


def test_docs_tell_the_body_and_unknown_paths_make_no_time_series() -> None:
    async def check(gateway: Gateway) -> None:
        schema = (await gateway.http.get("/openapi.json")).json()
        body = schema["paths"]["/v1/classify"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert sorted(body["required"]) == ["heads", "texts"]
        assert error_of(await gateway.http.get("/v1/classify/nothing"))[:2] == (404, "NotFound")
        assert await gateway.metric('twohop_gateway_requests_total{route="(unknown)",status="404"}') == 1

    run(check)
