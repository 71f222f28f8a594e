"""Each container's exact command, run here as a process: paths and ports are mapped as Docker would map them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy import services
from deploy.ports import LOOPBACK
from deploy.processes import Processes
from deploy.services import Ports, Service

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from container_files import Container, container  # noqa: E402

pytestmark = pytest.mark.timeout(300)
BINARIES = Path(sys.executable).parent


@dataclass(frozen=True)
class Host:
    """This machine in Docker's place: where what the containers see really is."""

    models: Path
    ports: Ports

    def argv(self, argv: list[str]) -> tuple[str, ...]:
        places = {
            "/opt/twohop/sample_heads.py": str(ROOT / "deploy" / "sample_heads.py"),
            "/opt/twohop/healthcheck.py": str(ROOT / "deploy" / "docker" / "healthcheck.py"),
            "/models": str(self.models),
            "--port=8500": f"--port={self.ports.heads}",
            "--rest_api_port=8501": f"--rest_api_port={self.ports.heads_rest}",
            "/dev/tcp/127.0.0.1/8501": f"/dev/tcp/127.0.0.1/{self.ports.heads_rest}",
        }
        inside = re.compile("|".join(rf"(?<![\w.-]){re.escape(place)}(?!\w)" for place in places))
        mapped = [inside.sub(lambda found: places[found[0]], argument) for argument in argv]
        if mapped[0] == "/usr/bin/tensorflow_model_server":         # the stock image's binary; here ours, with its flags
            mapped[:1] = [str(BINARIES / "head-service"), "serve", "--binary=embedded"]
        elif (BINARIES / mapped[0]).exists():
            mapped[0] = str(BINARIES / mapped[0])
        return tuple(mapped)

    def environment(self, found: Container) -> dict[str, str]:
        """The container's own, with our ports; and not reachable from other machines."""
        mine = {
            "TWOHOP_EMBEDDING_HOST": LOOPBACK,
            "TWOHOP_EMBEDDING_PORT": str(self.ports.embedding),
            "TWOHOP_EMBEDDING_HTTP_PORT": str(self.ports.embedding_http),
            "TWOHOP_GATEWAY_HOST": LOOPBACK,
            "TWOHOP_GATEWAY_PORT": str(self.ports.gateway),
            "TWOHOP_GATEWAY_HEADS": f"{LOOPBACK}:{self.ports.heads}",
            "TWOHOP_GATEWAY_REPOSITORY": str(self.models),
        }
        theirs = {name: value for name, value in found.environment.items() if name.startswith("TWOHOP_")}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWOHOP_")}
        return {**inherited, **theirs, **{name: value for name, value in mine.items() if name in theirs or "_PORT" in name}}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("models"), Ports.free())


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("logs")) as found:
        yield found


def start(host: Host, processes: Processes, name: str, like: Service) -> Container:
    """Runs a compose service's command until the probes of our own service of that kind answer."""
    found = container(name, {"ENCODER": f"{LOOPBACK}:{host.ports.embedding}"})
    service = Service(name, host.argv(found.argv), like.ports, like.probes)
    processes.start(service, host.environment(found))
    processes.wait_ready(service)
    return found


def healthy(host: Host, found: Container) -> bool:
    assert found.health is not None
    return subprocess.run(host.argv(found.health), env=host.environment(found), capture_output=True).returncode == 0


def test_the_containers_commands_start_train_serve_and_are_healthy(host: Host, processes: Processes) -> None:
    encoder = container("embedding")
    assert not healthy(host, encoder)
    start(host, processes, "embedding", services.embedding(host.ports))
    assert healthy(host, encoder)

    trainer = container("trainer", {"ENCODER": f"{LOOPBACK}:{host.ports.embedding}"})
    said = processes.run("trainer", host.argv(trainer.argv))
    assert (host.models / "models.config").exists(), said
    assert "nothing to train" in processes.run("trainer", host.argv(trainer.argv))

    heads = start(host, processes, "heads", services.heads(host.ports, host.models, ["sentiment", "topic"]))
    assert healthy(host, heads)
    gateway = start(host, processes, "gateway", services.gateway(host.ports, host.models))
    assert healthy(host, gateway)


def test_the_cuda_image_starts_the_same_program_on_the_other_engine() -> None:
    cpu, cuda = container("embedding"), container("embedding-cuda")
    assert cuda.argv == cpu.argv == ["embedding-service", "serve"]
    assert cuda.environment["TWOHOP_EMBEDDING_ENGINE"] == "torch"
