"""An ASGI application on a port of its own, inside a running event loop. Binds exclusively, leaves signals alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from twohop.errors import Failed
from twohop_service.auth import read_pair
from twohop_service.settings import Security


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Port 0 picks a free one. Raises Failed for a taken port or a host that is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: asyncio turns Nagle's delay (40 ms a reply) off only where it reads TCP there.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # Not SO_REUSEPORT: a second server on the port is an error, never a silent sharing of it.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise Failed(f"cannot listen on {host}:{port}: {reason}; choose another port, or stop what holds it") from error
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def serving(app: Any, listener: socket.socket, security: Security, *, drain_s: float = 10.0) -> AsyncIterator[None]:
    """Serves `app` on `listener` while the block runs; leaving it finishes running requests within `drain_s`. Raises Failed for
    certificate files that TLS cannot use."""
    if security.tls_cert is not None and security.tls_key is not None:
        read_pair(security.tls_cert, security.tls_key)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        ssl_certfile=security.tls_cert,
        ssl_keyfile=security.tls_key,
    )
    try:
        config.load()
    except OSError as error:        # ssl.SSLError is one
        what = f"{security.tls_cert} and {security.tls_key} are no certificate chain and its key, PEM"
        raise Failed(f"{what}: {error.strerror or error}") from error
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the process's Lifecycle, not to one of its servers."""
        yield
