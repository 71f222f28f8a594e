"""`head-service gateway` as a process of its own, for tests that stand where its callers and operators stand."""

from __future__ import annotations

import re
import signal
import ssl
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import services

PROGRAM = Path(sys.executable).with_name("head-service")
PATIENCE_S = 20.0
until = partial(services.until, patience_s=PATIENCE_S)


class GatewayProcess:
    """Starts at once; `url` once its port is open. Its log, on stderr, goes to a file in `folder`. `ca`: speaks TLS."""

    def __init__(self, folder: Path, *flags: str, ca: Path | None = None) -> None:
        self._log = folder / "gateway.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "gateway", "--port", "0", "--poll-seconds", "0.1", *flags], stdout=subprocess.DEVNULL, stderr=log
            )
        found = until(lambda: re.search(r"listening on (\S+)", self.log()) or self.process.poll())
        if not isinstance(found, re.Match):
            raise AssertionError(f"the gateway ended with {found}: {self.log()}")
        self.url = f"{'https' if ca else 'http'}://{found[1]}"
        trusted = ssl.create_default_context(cafile=ca) if ca else True
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False, verify=trusted)

    def log(self) -> str:
        return self._log.read_text("utf-8")

    def until_ready(self) -> None:
        until(lambda: self.http.get("/readyz").status_code == 200)

    def classify(self, texts: list[str], heads: list[str], *, timeout_ms: int = 10_000, **more: object) -> httpx.Response:
        body = {"texts": texts, "heads": heads, **more}
        return self.http.post("/v1/classify", json=body, headers={"X-Request-Timeout-Ms": str(timeout_ms)})

    def metric(self, line: str) -> float:
        text = self.http.get("/metrics").text
        return sum(float(each.split(" ")[-1]) for each in text.splitlines() if each.startswith(line + " "))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
