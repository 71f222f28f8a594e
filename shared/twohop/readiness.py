"""What `twohop status` tells: whether both services answer, what they offer, and whether heads and encoders fit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from twohop.embedding import EmbeddingClient
from twohop.errors import NotFound, Overloaded, TwoHopError
from twohop.heads import HeadClient
from twohop.types import Encoder

POLL_S = 0.5
PROBE = "status"


def look(embedding: EmbeddingClient | None, heads: HeadClient | None, names: Sequence[str]) -> dict[str, Any]:
    """One look at the services given; the contract's document, with an `error` at what failed."""
    hop_1, encoders = (None, None) if embedding is None else _look_at_encoders(embedding)
    hop_2 = None if heads is None else _look_at_heads(heads, names, encoders)
    return {"ready": all(part["ready"] for part in (hop_1, hop_2) if part), "embedding": hop_1, "heads": hop_2}


def look_until_ready(
    embedding: EmbeddingClient | None, heads: HeadClient | None, names: Sequence[str], wait_s: float
) -> dict[str, Any]:
    """The first look that finds all ready, else the last one within `wait_s` seconds."""
    end = time.monotonic() + wait_s
    while True:
        found = look(embedding, heads, names)
        if found["ready"] or time.monotonic() + POLL_S > end:
            return found
        time.sleep(POLL_S)


def _look_at_encoders(client: EmbeddingClient) -> tuple[dict[str, Any], list[Encoder] | None]:
    """The report, and what hop 1 offers; None where it did not say."""
    report: dict[str, Any] = {"address": client.address, "ready": False, "encoders": [], "estimated_wait_ms": None}
    encoders: list[Encoder] | None = None
    try:
        listed = client.encoders()
        encoders = [listed.named(client.encoder)] if client.encoder else list(listed)
        report["encoders"] = [
            {"name": each.name, "fingerprint": each.fingerprint, "numerics": each.numerics, "dimension": each.dimension,
             "ready": each.ready}
            for each in encoders
        ]
        report["ready"] = bool(encoders) and all(each.ready for each in encoders)
        if report["ready"]:
            report["estimated_wait_ms"] = _wait_ms(client)
    except TwoHopError as error:
        report |= {"ready": False} | error.as_json()
    return report, encoders


def _wait_ms(client: EmbeddingClient) -> float:
    """Asked by embedding one word: the list does not say. A service that is full says when to come again."""
    try:
        client.embed([PROBE])
    except Overloaded as error:
        return (error.retry_after_s or 0.0) * 1000
    return client.estimated_wait_ms


def _look_at_heads(client: HeadClient, names: Sequence[str], encoders: Sequence[Encoder] | None) -> dict[str, Any]:
    report: dict[str, Any] = {"address": client.address, "ready": False, "heads": []}
    try:
        if not names:
            _reach(client)
        report["heads"] = [_look_at_head(client, name, encoders) for name in names]
        report["ready"] = all(head["state"] == "AVAILABLE" and head["matches"] is not False for head in report["heads"])
    except TwoHopError as error:
        report |= error.as_json()
    return report


def _look_at_head(client: HeadClient, name: str, encoders: Sequence[Encoder] | None) -> dict[str, Any]:
    """`matches`: whether hop 1 has the head's encoder; None where it was not asked or did not answer, or the head does not
    serve."""
    report: dict[str, Any] = {"name": name, "version": None, "state": "NOT_FOUND", "fingerprint": None, "matches": None}
    try:
        versions = client.status(name)
    except NotFound as error:
        return report | error.as_json()
    serving = [each for each in versions if each.state == "AVAILABLE"] or versions
    report |= {"version": serving[0].version, "state": serving[0].state}
    if serving[0].state == "AVAILABLE":
        report["fingerprint"] = client.signature(name).fingerprint
        if encoders is not None:
            report["matches"] = report["fingerprint"] in {each.fingerprint for each in encoders}
    elif serving[0].message:
        report["error"] = {"type": "Unavailable", "message": serving[0].message, "detail": {}}
    return report


def _reach(client: HeadClient) -> None:
    """TF-Serving cannot list its models; that it does not know one shows that it answers."""
    try:
        client.status("twohop-status")
    except NotFound:
        return
