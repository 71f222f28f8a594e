"""The processes that make a text into a label, and how to ask each whether it is ready. Pure values: whoever runs
them (the demo, the supervisor, the load test) decides how."""

from __future__ import annotations

import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.ports import LOOPBACK, free_ports

BINARIES = Path(sys.executable).parent
PROBE_TIMEOUT_S = 2.0
_without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Ports:
    """Where each process listens; the defaults are the contract's."""

    embedding: int = 50051
    embedding_http: int = 8125
    heads: int = 8500
    heads_rest: int = 8501
    gateway: int = 8000

    @classmethod
    def free(cls) -> Ports:
        return cls(*free_ports(5))

    def as_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class Service:
    """One long-running process: its command, what listens where, and the addresses that answer 200 once it is ready."""

    name: str
    argv: tuple[str, ...]
    ports: tuple[tuple[str, int], ...]
    probes: tuple[str, ...]


def embedding(ports: Ports) -> Service:
    argv = ["serve", "--port", ports.embedding, "--http-port", ports.embedding_http]
    return Service(
        "embedding",
        command("embedding-service", argv),
        (("gRPC", ports.embedding), ("HTTP", ports.embedding_http)),
        (f"http://{LOOPBACK}:{ports.embedding_http}/readyz",),
    )


def heads(ports: Ports, repository: Path, names: Iterable[str]) -> Service:
    """`names`: the heads that must be served before it counts as ready."""
    argv = [f"--port={ports.heads}", f"--rest_api_port={ports.heads_rest}", f"--repository={repository}"]
    return Service(
        "heads",
        command("head-service", ["serve", *argv]),
        (("gRPC", ports.heads), ("REST", ports.heads_rest)),
        tuple(f"http://{LOOPBACK}:{ports.heads_rest}/v1/models/{name}" for name in names),
    )


def gateway(ports: Ports, repository: Path) -> Service:
    addresses = ["--embedding", f"{LOOPBACK}:{ports.embedding}", "--heads", f"{LOOPBACK}:{ports.heads}"]
    argv = ["gateway", *addresses, "--repository", repository, "--port", ports.gateway]
    return Service(
        "gateway",
        command("head-service", argv),
        (("HTTP", ports.gateway),),
        (f"http://{LOOPBACK}:{ports.gateway}/readyz",),
    )


def command(program: str, arguments: Iterable[object]) -> tuple[str, ...]:
    """A program of this environment with its arguments."""
    return (str(BINARIES / program), *map(str, arguments))


def is_ready(service: Service) -> bool:
    return all(answers(url) for url in service.probes)


def answers(url: str) -> bool:
    """Whether a GET is answered 200; a proxy of the environment is not asked."""
    try:
        with _without_proxy.open(url, timeout=PROBE_TIMEOUT_S) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False
