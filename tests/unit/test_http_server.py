"""The sockets that our HTTP servers listen on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from twohop.errors import Failed
from twohop_service.http_server import bind


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
