"""The embedded head server, started to evaluate versions that nobody serves, and ended afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from head_service.repository import serving_config
from head_service.repository.layout import CONFIG
from head_service.repository.serving_config import Roles
from twohop.errors import Failed, TwoHopError
from twohop.heads import HeadClient
from twohop_service import durable

START_S = 120.0
STOP_S = 20.0
POLL_S = 0.1
# It must not outlive us, whatever ends us.
PROGRAM = """
import signal, sys
from twohop_service.parent import die_with
die_with(int(sys.argv[1]), signal.SIGTERM)
from head_service.model_server.cli import main
sys.exit(main(sys.argv[2:]))
"""


@contextmanager
def own_server(repository: Path, head: str, roles: Roles) -> Iterator[str]:
    """Serves the two versions under the names that the roles have at any head server (`NAME`, `NAME-canary`), on this
    machine only; gives HOST:PORT. Raises Failed where it does not start, with its last words."""
    with tempfile.TemporaryDirectory(prefix="twohop-evaluate-") as name:
        folder = Path(name)
        with durable.explained("write", folder):
            serving_config.write(folder, {head: roles}, serve_root=str(repository.absolute()))
        port = _free_port()
        flags = [f"--port={port}", "--rest_api_port=0", "--host=127.0.0.1", "--binary=embedded",
                 f"--model_config_file={folder / CONFIG}", "--max_num_load_retries=0"]  # fmt: skip
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-c", PROGRAM, str(os.getpid()), *flags]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, f"127.0.0.1:{port}", head, folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], address: str, head: str, log: Path) -> None:
    until = time.monotonic() + START_S
    with HeadClient(address, timeout_s=1.0) as client:
        while time.monotonic() < until:
            if process.poll() is not None:
                lines = log.read_text("utf-8", "replace").strip().splitlines()
                said = lines[-1] if lines else f"exit code {process.returncode}"
                raise Failed(f"the head server for the evaluation did not start: {said}", detail={"head": head})
            try:
                client.status(head)  # it listens only once every model is loaded
                return
            except TwoHopError:
                time.sleep(POLL_S)
    raise Failed(f"the head server for the evaluation was not ready after {START_S:.0f} s", detail={"head": head})


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
