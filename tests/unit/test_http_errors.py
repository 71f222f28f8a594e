"""Every error of our HTTP routes is the contract's error object."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from twohop.errors import ON_THE_WIRE, Overloaded, TwoHopError
from twohop_service import http_errors, probes
from twohop_service.drain import Lifecycle, Phase


class Body(BaseModel):
    texts: list[str]


@pytest.fixture
def app() -> Iterator[FastAPI]:
    app = FastAPI()
    http_errors.install(app)

    @app.post("/echo")
    async def echo(body: Body) -> list[str]:
        return body.texts

    return app


def call(app: FastAPI, method: str, path: str, **kwargs: object) -> Response:
    async def go() -> Response:
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **kwargs)  # type: ignore[arg-type]

    return asyncio.run(go())


@pytest.mark.parametrize("kind", ON_THE_WIRE)
def test_each_class_of_the_tree_keeps_its_status_and_name(app: FastAPI, kind: type[TwoHopError]) -> None:
    @app.get("/fail")
    async def fail() -> None:
        raise kind("because", detail={"why": 1})

    reply = call(app, "GET", "/fail")
    assert reply.status_code == kind.http_status
    assert reply.json() == {"error": {"type": kind.__name__, "message": "because", "detail": {"why": 1}}}


def test_overload_says_when_to_come_again(app: FastAPI) -> None:
    @app.get("/full")
    async def full() -> None:
        raise Overloaded("full", retry_after_s=1.2)

    assert call(app, "GET", "/full").headers["retry-after"] == "2"


def test_a_body_of_the_wrong_form_is_a_400_that_names_the_field(app: FastAPI) -> None:
    for content in (b"{", b"{}", b'{"texts": "no list"}'):
        reply = call(app, "POST", "/echo", content=content, headers={"content-type": "application/json"})
        assert reply.status_code == 400
        assert reply.json()["error"]["type"] == "InvalidInput"
    assert "texts" in reply.json()["error"]["message"]


def test_an_unknown_path_or_method_is_an_error_object_too(app: FastAPI) -> None:
    assert call(app, "GET", "/nowhere").json()["error"]["type"] == "NotFound"
    wrong = call(app, "GET", "/echo")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "NotFound")


def test_a_fault_of_ours_is_an_error_object_without_its_inner_words(app: FastAPI) -> None:
    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("a secret of the house")

    reply = call(app, "GET", "/fault")
    assert (reply.status_code, reply.json()["error"]["type"]) == (500, "ModelError")
    assert "secret" not in reply.text


def test_probes_follow_the_phases_of_a_process() -> None:
    async def go() -> list[int]:
        lifecycle, app, amiss = Lifecycle(), FastAPI(), ["the worker is away"]

        async def why() -> str | None:
            return amiss[0] if amiss else None

        probes.add(app, lifecycle, CollectorRegistry(), why)
        seen = []
        async with AsyncClient(transport=ASGITransport(app=app), base_url="http://test") as client:
            async def ready() -> None:
                seen.append((await client.get("/readyz")).status_code)
                assert (await client.get("/livez")).status_code == 200
                assert (await client.get("/metrics")).status_code == 200

            await ready()
            lifecycle.become(Phase.READY)
            await ready()
            amiss.clear()
            await ready()
            lifecycle.stop()
            await ready()
            lifecycle.become(Phase.READY)          # a late warm-up must not undo the drain
            await ready()
            await lifecycle.stopped()
        return seen

    assert asyncio.run(go()) == [503, 503, 200, 503, 503]
