"""The sockets that our HTTP servers listen on."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from fastapi import FastAPI

from twohop.errors import Failed
from twohop_service import http_errors
from twohop_service.http_server import bind, serving
from twohop_service.settings import Security


def test_replies_leave_at_once() -> None:
    """With Nagle's algorithm on, a reply of two writes waits 40 ms for the caller's delayed acknowledgement."""
    options: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        options.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask() -> None:
        listener = bind("127.0.0.1", 0)
        async with await asyncio.start_server(answer, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()

    asyncio.run(ask())
    assert options != [0]
    assert len(options) == 1


def test_a_taken_port_is_an_error_that_says_which() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failed, match=f"cannot listen on 127.0.0.1:{port}"):
            bind("127.0.0.1", port)


def test_who_is_not_answered_when_the_time_to_drain_is_over_is_told() -> None:
    app, has_come = FastAPI(), asyncio.Event()
    http_errors.install(app)

    @app.get("/for-ever")
    async def for_ever() -> None:
        has_come.set()
        await asyncio.sleep(3600)

    async def ask() -> httpx.Response:
        listener = bind("127.0.0.1", 0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/for-ever"
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            async with serving(app, listener, Security(), drain_s=1):
                answer = asyncio.create_task(client.get(address))
                await has_come.wait()
            return await answer

    told = asyncio.run(ask())
    assert told.status_code == 503
    assert told.json()["error"]["type"] == "Unavailable"
    assert told.headers["Retry-After"] == "1"
