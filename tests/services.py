"""Services as real processes, for tests that stand where callers and operators stand. Ports are always free ones."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

PROGRAM = Path(sys.executable).with_name("embedding-service")
PATIENCE_S = 60.0


class EmbeddingProcess:
    """`embedding-service serve` with `flags`; has opened its ports once it is made. Its log goes to a file in `folder`."""

    def __init__(self, folder: Path, *flags: str, program: list[str] | None = None) -> None:
        self._log = folder / "embedding-service.log"
        command = [*(program or [str(PROGRAM)]), "serve", "--port", "0", "--http-port", "0", *flags]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        found = until(lambda: re.search(r"gRPC on (\S+), HTTP on (\S+);", self.log()) or self.process.poll() is not None)
        if not isinstance(found, re.Match):
            raise AssertionError(f"the embedding service ended with {self.process.returncode}: {self.log()}")
        self.address, self.http_address = found[1], found[2]        # HOST:PORT of gRPC, HOST:PORT of HTTP
        self.http = httpx.Client(base_url=f"http://{self.http_address}", timeout=PATIENCE_S, trust_env=False)

    def log(self) -> str:
        return self._log.read_text("utf-8")

    def is_ready(self) -> bool:
        return self.http.get("/readyz").status_code == 200

    def until_ready(self) -> EmbeddingProcess:
        def ready_or_ended() -> bool:
            assert self.process.poll() is None, self.log()
            return self.is_ready()

        until(ready_or_ended)
        return self

    def worker(self) -> psutil.Process:
        """The process that has the weights."""
        (worker,) = psutil.Process(self.process.pid).children()
        return worker

    def metric(self, line: str) -> float:
        """The sum of all series whose name and labels are `line`, or whose name is."""
        text = self.http.get("/metrics").text
        return sum(
            float(each.rpartition(" ")[2]) for each in text.splitlines()
            if each.rpartition(" ")[0] == line or each.startswith(line + "{")
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Its exit status, once it has ended by itself or by a signal that it was sent."""
        self.http.close()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def until(found: Callable[[], object], patience_s: float = PATIENCE_S) -> object:
    """What `found` returns, once that is true."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {patience_s:.0f} s")
