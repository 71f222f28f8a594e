"""`--kind auto`: what the encoders on offer allow is tried, cheapest first, within a time; validation rows decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from typing import Any

from head_service.progress import Advance, Progress
from head_service.training.attempts import Attempt, Candidate
from head_service.training.heads.kinds import KINDS
from twohop.errors import NotFound
from twohop.types import Encoder, Encoders

# Cheapest first: a kind, whether it is tried on token encoders or on pooled ones, and the kind that says on which of them
# (where it did best); "": on all. The kinds left out do worse than one of these.
ROUNDS = (
    ("linear", False, ""),
    ("attention", True, ""),
    ("hybrid", False, "linear"),
    ("hybrid", True, "attention"),
)
# How long a step will take is foreseen from its pace, once this share of it is done (the start is slow: what computes is
# made first); it is given up where that is so much more than the time left (fitting often stops early).
FORESEEN_AFTER = 0.15
PATIENCE = 2.0


@dataclass(frozen=True)
class Tried:
    """A candidate and how it went: its figures, or why it has none."""

    candidate: Candidate
    seconds: float
    attempt: Attempt | None = None
    left_out: str = ""

    def document(self) -> dict[str, Any]:
        figures = self.attempt.validated.metrics if self.attempt else {}
        return {
            "kind": self.candidate.kind.name,
            "encoder": self.candidate.encoder.name,
            "seconds": round(self.seconds, 1),
            **{name: figures.get(name) for name in ("accuracy", "cross_entropy")},
            "left_out": self.left_out or None,
        }


@dataclass(frozen=True)
class Choice:
    """`tried` in order; `why` in words, naming the `runner_up` where there is one."""

    best: Attempt
    runner_up: Attempt | None
    tried: list[Tried]
    why: str

    def document(self) -> dict[str, Any]:
        named = self.runner_up and {
            "kind": self.runner_up.candidate.kind.name, "encoder": self.runner_up.candidate.encoder.name
        }  # fmt: skip
        return {"why": self.why, "runner_up": named, "tried": [each.document() for each in self.tried]}


class OutOfTime(Exception):
    """A step will not end in the time left."""


def choose(
    listed: Encoders, name: str, attempt: Callable[[Candidate, Progress], Attempt], progress: Progress, minutes: float,
) -> Choice:  # fmt: skip
    """Tries pairs of kinds and encoders (of the one named, or of all) until `minutes` are over; the first is always tried to
    its end. Raises NotFound (the encoder), and what `attempt` raises but OutOfTime."""
    offered = sorted([listed.named(name)] if name else listed, key=lambda encoder: encoder.dimension)
    if not offered:
        raise NotFound("hop 1 lists no encoder; start it with a --model")
    end = time.monotonic() + minutes * 60
    tried: list[Tried] = []
    for candidate in _candidates(offered, tried):
        begun = time.monotonic()
        try:
            if any(each.attempt for each in tried):
                done = attempt(candidate, _within(end, progress))
            else:
                done = attempt(candidate, progress)
            tried.append(Tried(candidate, time.monotonic() - begun, done))
        except OutOfTime as late:
            tried.append(Tried(candidate, time.monotonic() - begun, left_out=str(late)))
    return _choice(tried)


def _candidates(offered: Sequence[Encoder], tried: Sequence[Tried]) -> Iterator[Candidate]:
    """In order; later ones depend on how those `tried` went."""
    for kind, per_token, led_by in ROUNDS:
        encoders = [encoder for encoder in offered if encoder.per_token == per_token]
        if led_by:
            ahead = [each.attempt for each in tried if each.attempt and each.candidate.kind.name == led_by]
            encoders = [best(ahead).candidate.encoder] if ahead else encoders[:1]
        for encoder in encoders:
            yield Candidate(KINDS[kind], encoder)


def best(attempts: Sequence[Attempt]) -> Attempt:
    """By accuracy on validation rows; of those within its standard error the lowest cross-entropy, which chance moves less
    (on four sets of texts it told the best on test rows each time, accuracy and simplicity did not). Of equals the first."""
    figures = [attempt.validated.metrics for attempt in attempts]
    highest = max(each["accuracy"] for each in figures)
    error = sqrt(highest * (1 - highest) / len(attempts[0].validated.scores))
    close = [attempt for attempt, each in zip(attempts, figures, strict=True) if each["accuracy"] >= highest - error]
    return min(close, key=lambda attempt: attempt.validated.metrics["cross_entropy"])


def _choice(tried: list[Tried]) -> Choice:
    done = [each.attempt for each in tried if each.attempt]
    winner = best(done)
    others = [attempt for attempt in done if attempt is not winner]
    second = best(others) if others else None
    why = f"{winner.candidate.name}: {_figures(winner)} on {len(winner.validated.scores)} validation rows"
    if second:
        why += f"; runner-up {second.candidate.name}: {_figures(second)}"
        gap = winner.validated.metrics["accuracy"] - second.validated.metrics["accuracy"]
        if _figures(second) == _figures(winner):
            why += " (as good, and dearer)"
        elif gap <= 0:
            why += " (no better than chance allows, and its cross-entropy is higher)"
    if missed := [f"{each.candidate.name} ({each.left_out})" for each in tried if not each.attempt]:
        why += f"; left out: {', '.join(missed)}"
    return Choice(winner, second, tried, why)


def _figures(attempt: Attempt) -> str:
    figures = attempt.validated.metrics
    return f"accuracy {figures['accuracy']:.4f}, cross-entropy {figures['cross_entropy']:.4f}"


def _within(end: float, progress: Progress) -> Progress:
    """`progress` that raises OutOfTime in a step that will not be done by `end`, a time of `time.monotonic`."""

    @contextmanager
    def watched(what: str, total: int, *, unit: str) -> Iterator[Advance]:
        begun = time.monotonic()
        if begun >= end:
            raise OutOfTime("the time was over before it began")
        done = 0
        first: tuple[float, int] | None = None  # when something was done first, and how much

        def check() -> None:
            nonlocal first
            now = time.monotonic()
            if now >= end:
                raise OutOfTime(f"{what}: {done / total:.0%} done when the time was over")
            first = first or (now, done)
            measured = done - first[1]
            if measured >= FORESEEN_AFTER * total:
                left_s = (now - first[0]) / measured * (total - done)
                if left_s > PATIENCE * (end - now):
                    raise OutOfTime(f"{what}: it needs {left_s:.0f} s more, {end - now:.0f} are left")

        with progress(what, total, unit=unit) as advance:

            def checked(count: int) -> None:
                nonlocal done
                done += count
                advance(count)
                if 0 < done < total:
                    check()

            yield checked

    return watched
