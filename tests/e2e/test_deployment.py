"""`make deploy`, `status`, `promote`, `rollback`, `undeploy` from first start to last stop, on free ports."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.ports import is_free
from deploy.services import Ports

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Local:
    """The target `local` in a folder of its own."""

    folder: Path
    ports: Ports

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        ports = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.as_json().items()}
        environment = {**os.environ, **ports, "REPOSITORY": str(self.folder / "repository"), **variables}
        argv = [sys.executable, "-m", "deploy", *arguments]
        return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)

    def up(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("up", "--folder", str(self.folder), **variables)

    def status(self) -> subprocess.CompletedProcess[str]:
        return self.run("status", "--folder", str(self.folder))

    def down(self) -> subprocess.CompletedProcess[str]:
        return self.run("down", "--folder", str(self.folder))

    def pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    local = Local(tmp_path_factory.mktemp("local"), Ports.free())
    try:
        done = local.up()
        assert done.returncode == 0, done.stdout + done.stderr
        assert "sample head 'sentiment'" in done.stdout
        yield local
    finally:
        local.down()


def test_status_shows_every_process_and_head(deployed: Local) -> None:
    done = deployed.status()
    assert done.returncode == 0, done.stdout + done.stderr
    ports = deployed.ports
    for name, port in (("embedding", ports.embedding), ("heads", ports.heads), ("gateway", ports.gateway)):
        assert re.search(rf"{name} .*(RUNNING|STARTING).*{deployed.pid(name)}.*{port}.*yes", done.stdout), done.stdout
    for head in ("sentiment", "topic"):
        assert re.search(rf"{head} .*1 .*AVAILABLE.*enc-70fe41bf296e.*yes", done.stdout), done.stdout


def test_deploying_again_changes_nothing(deployed: Local) -> None:
    before = [deployed.pid(name) for name in ("embedding", "heads", "gateway")]
    done = deployed.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to change" in done.stdout
    assert [deployed.pid(name) for name in ("embedding", "heads", "gateway")] == before


def test_a_killed_process_comes_back_ready(deployed: Local) -> None:
    pid = deployed.pid("gateway")
    psutil.Process(pid).kill()
    deadline = time.monotonic() + 60
    while deployed.pid("gateway") == pid or deployed.status().returncode:
        assert time.monotonic() < deadline, deployed.status().stdout
        time.sleep(0.5)


def test_a_version_that_is_not_there_cannot_be_promoted(deployed: Local) -> None:
    done = deployed.run("promote", HEAD_NAME="sentiment", HEAD_VERSION="99")
    assert done.returncode == 1
    assert "99" in done.stderr
    again = deployed.run("promote", HEAD_NAME="sentiment", HEAD_VERSION="1")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(("command", "remedy"), [("promote", "make promote HEAD="), ("rollback", "make rollback HEAD=")])
def test_without_a_head_the_remedy_is_said(deployed: Local, command: str, remedy: str) -> None:
    done = deployed.run(command)
    assert done.returncode == 1
    assert remedy in done.stderr


def test_undeploy_stops_everything_keeps_the_heads_and_may_be_repeated(deployed: Local) -> None:
    pids = [deployed.pid(name) for name in ("embedding", "heads", "gateway")]
    assert "stopped: " in deployed.down().stdout
    assert not any(map(psutil.pid_exists, pids))
    assert all(map(is_free, deployed.ports.as_json().values()))
    assert (deployed.folder / "repository" / "models.config").exists()
    again = deployed.down()
    assert (again.returncode, again.stdout) == (0, "nothing was running\n")
    assert deployed.status().returncode == 1


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        done = Local(tmp_path, Ports.free()).up(HEADS_PORT=str(port))
    assert done.returncode == 1
    assert f"port {port}, wanted by heads (gRPC), is taken by process {os.getpid()}" in done.stderr
    assert not (tmp_path / "supervisord.conf").exists()


def test_an_unknown_target_is_answered_with_what_there_is(tmp_path: Path) -> None:
    done = Local(tmp_path, Ports.free()).run("up", DEPLOY_TARGET="moon")
    assert done.returncode == 2
    assert "no target 'moon'" in done.stderr
    assert "local" in done.stderr


def test_status_and_undeploy_of_nothing_say_so(tmp_path: Path) -> None:
    nothing = Local(tmp_path / "never", Ports.free())
    assert (nothing.down().returncode, nothing.down().stdout) == (0, "nothing was deployed here\n")
    status = nothing.status()
    assert status.returncode == 1
    assert "make deploy" in status.stderr


def test_the_record_holds_what_was_asked_for(deployed: Local) -> None:
    assert json.loads((deployed.folder / "deployment.json").read_text())["ports"] == deployed.ports.as_json()
