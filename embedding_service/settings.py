"""What the embedding service is told at start, as frozen values, each slice handed to the part that needs it."""

from __future__ import annotations

from dataclasses import dataclass, field

from embedding_service.serving.admission import WaitLimits
from embedding_service.serving.limits import Limits
from embedding_service.serving.worker import Plan
from twohop_service.settings import Security


@dataclass(frozen=True)
class Settings:
    """`plan` is the worker's part. `bulk_share`: of the tokens, while online texts wait too. Ports: 0 takes a free one."""

    plan: Plan = field(default_factory=Plan)
    host: str = "127.0.0.1"
    port: int = 50051
    http_port: int = 8125
    security: Security = field(default_factory=Security)
    limits: Limits = field(default_factory=Limits)
    waits: WaitLimits = field(default_factory=WaitLimits)
    bulk_share: float = 0.2
    cache_bytes: int = 0        # of vectors kept in memory; 0: none
    max_requests: int = 1024
    tokenizer_threads: int = 2
    drain_s: float = 30.0
    hang_s: float = 30.0
