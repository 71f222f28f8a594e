"""The ways to get a label for one text, as a caller sees them: each a function of a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import httpx

from twohop import TwoHop

HEAD = "sentiment"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Reply:
    label: str
    parts_ms: dict[str, float] = field(default_factory=dict)    # of the hops, where the plan has them


class Plan(Protocol):
    """One way to call. `title` is for people."""

    name: str
    title: str

    def call(self, text: str) -> Reply: ...

    def close(self) -> None: ...


class WholeModel:
    """Plan 1 over HTTP, the connection kept."""

    name = "plan1"
    title = "plan 1: Flask around the whole model"

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S, trust_env=False)

    def call(self, text: str) -> Reply:
        answer = self._http.post("/classify", json={"text": text}).raise_for_status().json()
        return Reply(answer["label"])

    def close(self) -> None:
        self._http.close()


class TwoHops:
    """Plan 3: both hops called from here by the light client."""

    name = "plan3"
    title = "plan 3: two hops"

    def __init__(self, embedding: str, heads: str) -> None:
        self._client = TwoHop(embedding, heads, timeout_s=TIMEOUT_S)

    def call(self, text: str) -> Reply:
        answer = self._client.classify([text], HEAD)
        parts = {"hop 1": answer.timings_ms["embed"], "hop 2": answer.timings_ms["head"]}
        return Reply(answer[0].label or "", parts)

    def close(self) -> None:
        self._client.close()


class Gateway:
    """Plan 4: both hops behind one HTTP address, the connection kept."""

    name = "plan4"
    title = "plan 4: gateway"

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S, trust_env=False)

    def call(self, text: str) -> Reply:
        request = {"texts": [text], "heads": [HEAD], "policy": "all"}
        answer = self._http.post("/v1/classify", json=request).raise_for_status().json()
        timings = answer["timings_ms"]
        parts = {"hop 1": timings["embed"], "hop 2": timings["heads"][HEAD]}
        return Reply(answer["results"][0]["heads"][HEAD]["label"] or "", parts)

    def close(self) -> None:
        self._http.close()
