"""What the gateway is told at start, as frozen values, each slice handed to the part that needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from twohop.errors import Failed, InvalidInput
from twohop.types import TLS
from twohop_service.settings import Security


@dataclass(frozen=True)
class Hops:
    """Where both services are and how to call them. `embedding` as `HOST:PORT[/NAME]`, `heads` as `HOST:PORT`."""

    embedding: tuple[str, ...]
    heads: tuple[str, ...]
    token_file: Path | None = None
    tls: TLS | None = None

    def token(self) -> str | None:
        """The bearer key that both services are sent. Raises Failed for a file that cannot be read or is empty."""
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(f"{self.token_file}: cannot be read ({error})") from error
        if not token:
            raise Failed(f"{self.token_file}: no key in it")
        return token


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many requests may wait for one head at a time."""

    max_texts: int = 2048
    max_heads: int = 64
    max_body_bytes: int = 8 * 1024 * 1024
    max_in_flight_per_head: int = 512


@dataclass(frozen=True)
class Deadlines:
    """How long a request may take over both hops, where it does not say and where it says too much."""

    default_ms: int = 10_000
    max_ms: int = 60_000

    def seconds(self, header: str | None) -> float:
        """The time for one request by its `X-Request-Timeout-Ms`. Raises InvalidInput for what is no positive number."""
        if header is None:
            return min(self.default_ms, self.max_ms) / 1000
        asked = header.strip()
        if not (asked.isascii() and asked.isdigit()) or int(asked[:18]) == 0:
            raise InvalidInput(
                f"X-Request-Timeout-Ms: {asked[:40]!r} is no whole number of milliseconds above 0",
                detail={"header": "X-Request-Timeout-Ms"},
            )
        return min(int(asked[:18]), self.max_ms) / 1000


@dataclass(frozen=True)
class Settings:
    """One of `repository` and `heads` is given: a folder of head versions to follow, or the names of fixed heads."""

    hops: Hops
    repository: Path | None = None
    heads: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    security: Security = field(default_factory=Security)
    limits: Limits = field(default_factory=Limits)
    deadlines: Deadlines = field(default_factory=Deadlines)
    poll_s: float = 2.0
    drain_s: float = 10.0
