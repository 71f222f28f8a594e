"""How the client's connections behave: TLS, threads, interruption, loops that come and go."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from rule_services import EmbeddingRules
from two_ways import WAYS, Clients

from twohop import TLS, AsyncEmbeddingClient, EmbeddingClient
from twohop.errors import Cancelled, Failed, InvalidInput, Unavailable


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_ctrl_c_ends_a_blocking_call_and_the_service_learns_of_it(hop_1: EmbeddingRules) -> None:
    with EmbeddingClient(hop_1.address) as client:
        client.embed(["a"])
        hop_1.delay_s = 30
        pressing = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        pressing.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.embed(["a"], timeout_s=30)
        assert time.monotonic() - begun < 10
        until(lambda: hop_1.cancelled == 1)
        hop_1.delay_s = 0
        assert len(client.embed(["a"])) == 1


def test_a_cancelled_task_cancels_what_the_service_does(hop_1: EmbeddingRules) -> None:
    async def go() -> None:
        async with AsyncEmbeddingClient(hop_1.address) as client:
            await client.embed(["a"])
            hop_1.delay_s = 30
            hop_1.max_texts = 1
            task = asyncio.create_task(client.embed(["a", "b", "c"], timeout_s=30))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: hop_1.cancelled >= 1)

    asyncio.run(go())


def test_closing_a_client_ends_its_calls_as_cancelled(hop_1: EmbeddingRules) -> None:
    client = EmbeddingClient(hop_1.address)
    client.embed(["a"])
    hop_1.delay_s = 30
    closing = threading.Timer(0.2, client.close)
    closing.start()
    with pytest.raises(Cancelled):
        client.embed(["a"], timeout_s=30)
    closing.join()

    async def go() -> None:
        client = AsyncEmbeddingClient(hop_1.address)
        task = asyncio.create_task(client.embed(["a"], timeout_s=30))
        await asyncio.sleep(0.2)
        await client.aclose()
        with pytest.raises(Cancelled):
            await task

    asyncio.run(go())


def test_threads_share_a_client(hop_1: EmbeddingRules) -> None:
    with EmbeddingClient(hop_1.address) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda size: client.embed(["x" * size]).vectors[0, 1], range(1, 200)))
    assert found == list(range(1, 200))


def test_a_client_outlives_its_event_loop(hop_1: EmbeddingRules) -> None:
    client = AsyncEmbeddingClient(hop_1.address)
    for _ in range(2):
        assert len(asyncio.run(client.embed(["a"]))) == 1
    asyncio.run(client.aclose())


def test_many_calls_share_one_loop(hop_1: EmbeddingRules) -> None:
    async def go() -> list[Any]:
        async with AsyncEmbeddingClient(hop_1.address) as client:
            return list(await asyncio.gather(*(client.embed(["x" * size]) for size in range(1, 100))))

    assert [int(found.vectors[0, 1]) for found in asyncio.run(go())] == list(range(1, 100))


def test_the_loopback_address_of_ipv6_is_spoken_to() -> None:
    service = EmbeddingRules()
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    service.start(host="[::1]")
    try:
        with EmbeddingClient(f"[::1]:{service.port}/rich") as client:
            assert client.embed(["a"]).encoder == "rich"
    finally:
        service.stop()


# --- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates by it for the server `hop1.example` and for a client."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes", "-keyout")
    openssl("req", "-x509", *key, "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name in ("hop1.example", "client"):
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        openssl("req", *key, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return folder


@pytest.fixture(scope="module")
def over_tls(certificates: Path) -> Iterator[EmbeddingRules]:
    service = EmbeddingRules()
    pair = [((certificates / "hop1.example.key").read_bytes(), (certificates / "hop1.example.pem").read_bytes())]
    service.start(credentials=grpc.ssl_server_credentials(pair, (certificates / "ca.pem").read_bytes(), require_client_auth=True))
    yield service
    service.stop()


@pytest.mark.parametrize("way", WAYS)
def test_both_sides_show_their_certificates(way: str, certificates: Path, over_tls: EmbeddingRules) -> None:
    clients = Clients(way)
    tls = TLS(certificates / "ca.pem", certificates / "client.pem", certificates / "client.key", "hop1.example")
    assert len(clients.embedding(over_tls.address, tls=tls, token="alpha").embed(["a"])) == 1
    clients.close()


def test_a_server_of_another_authority_or_name_is_not_spoken_to(certificates: Path, over_tls: EmbeddingRules) -> None:
    ca, cert, key = certificates / "ca.pem", certificates / "client.pem", certificates / "client.key"
    for tls in (TLS(ca, cert, key), TLS(None, cert, key, "hop1.example"), TLS(ca, None, None, "hop1.example")):
        with EmbeddingClient(over_tls.address, tls=tls) as client, pytest.raises(Unavailable, match=over_tls.address):
            client.embed(["a"], timeout_s=0.5)


def test_certificates_that_cannot_be_used_say_why(tmp_path: Path, certificates: Path) -> None:
    with EmbeddingClient("127.0.0.1:1", tls=TLS(tmp_path / "none.pem")) as client, pytest.raises(Failed, match=r"none\.pem"):
        client.embed(["a"])
    half = TLS(cert=certificates / "client.pem")
    with EmbeddingClient("127.0.0.1:1", tls=half) as client, pytest.raises(InvalidInput, match="go together"):
        client.embed(["a"])
