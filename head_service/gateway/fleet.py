"""What can be asked for right now, as values: the heads on offer, their versions' states, the encoders of hop 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twohop.errors import NotFound
from twohop.types import Encoder, HeadStatus

AVAILABLE, ENDED, UNKNOWN = "AVAILABLE", "END", "UNKNOWN"


@dataclass(frozen=True)
class Offer:
    """A head as the catalogue knows it, before hop 2 is asked. `models`: the names it is served under, the head's own
    first; `roles`: version -> roles; `encoder`, `labels`, `metrics` are the stable version's, None where not known."""

    name: str
    models: tuple[str, ...]
    roles: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    encoder: str | None = None
    labels: tuple[str, ...] | None = None
    metrics: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Version:
    number: int
    state: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Head:
    offer: Offer
    versions: tuple[Version, ...]

    @property
    def newest_available(self) -> int | None:
        return max((version.number for version in self.versions if version.state == AVAILABLE), default=None)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.offer.name,
            "versions": [{"version": each.number, "state": each.state, "roles": list(each.roles)} for each in self.versions],
            "encoder": self.offer.encoder,
            "labels": None if self.offer.labels is None else list(self.offer.labels),
            "metrics": None if self.offer.metrics is None else dict(self.offer.metrics),
        }


@dataclass(frozen=True)
class Fleet:
    """One look at everything. `trouble`: what could not be asked, by part, in words for a person."""

    heads: tuple[Head, ...] = ()
    encoders: tuple[Encoder, ...] = ()
    trouble: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> frozenset[str]:
        """The names that a request may ask for: heads, and canaries as `NAME-canary`."""
        return frozenset(model for head in self.heads for model in head.offer.models)

    @property
    def encoders_ready(self) -> int:
        return sum(encoder.ready for encoder in self.encoders)

    @property
    def heads_available(self) -> int:
        return sum(head.newest_available is not None for head in self.heads)

    def why_not_ready(self) -> str | None:
        """Ready: hop 1 has an encoder ready, and one head at least is available. A broken head must not take the
        gateway away from the callers of all the others, so one is enough."""
        if not self.encoders_ready:
            return self.trouble.get("embedding", "the embedding service has no encoder ready")
        if not self.heads_available:
            named = ", ".join(sorted(head.offer.name for head in self.heads)) or "none is on offer yet"
            reason = self.trouble.get("repository") or self.trouble.get("heads")
            return f"no head is available ({named})" + (f": {reason}" if reason else "")
        return None

    def unknown(self, model: str) -> NotFound:
        names = sorted(head.offer.name for head in self.heads)
        known = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
        return NotFound(f"head {model[:80]!r} is not on offer; known heads: {known or 'none yet'}", detail={"head": model[:80]})


def head_of(offer: Offer, statuses: Mapping[str, list[HeadStatus]]) -> Head:
    """The head with the states that hop 2 told per model name; a version that it did not mention is UNKNOWN. Versions
    without a role are listed while hop 2 still holds them."""
    states: dict[int, str] = dict.fromkeys(offer.roles, UNKNOWN)
    for model in offer.models:
        for status in statuses.get(model, ()):
            if states.get(status.version) != AVAILABLE:
                states[status.version] = status.state
    shown = sorted((number for number, state in states.items() if number in offer.roles or state != ENDED), reverse=True)
    return Head(offer, tuple(Version(number, states[number], offer.roles.get(number, ())) for number in shown))
