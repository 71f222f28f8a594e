"""Answers of served heads to labelled rows, through both hops, as any caller gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from head_service.progress import progress
from twohop.chain import TwoHop
from twohop.errors import Failed, TwoHopError
from twohop.types import Classifications

TEXTS_PER_CALL = 256
CALL_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Answers:
    """`labels` [C]: all that the head knows, sorted; `predicted` [N]: labels, None where the head abstained; `score` [N]:
    how sure of that label; `scores` float32 [N, C]: of every label."""

    version: int
    fingerprint: str
    labels: list[str]
    predicted: list[str | None]
    score: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]


def ask(client: TwoHop, heads: Sequence[str], texts: Sequence[str]) -> dict[str, Answers | TwoHopError]:
    """One encode for all heads that take the same encoder's vectors; a head that cannot answer gets its error. Raises what
    concerns all of them (hop 1 is away), and Failed where a head's version changes meanwhile."""
    first = client.classify_many(texts[:1], heads, all_scores=True)  # in the client's own time: is anybody there?
    asked = {head: _Collected(answer, len(texts)) for head, answer in first.items() if isinstance(answer, Classifications)}
    found: dict[str, Answers | TwoHopError] = {head: answer for head, answer in first.items() if isinstance(answer, TwoHopError)}
    with progress("asking both hops", len(texts) if asked else 0) as advance:
        for start in range(0, len(texts) if asked else 0, TEXTS_PER_CALL):
            some = texts[start : start + TEXTS_PER_CALL]
            for head, answer in client.classify_many(some, list(asked), all_scores=True, timeout_s=CALL_TIMEOUT_S).items():
                if isinstance(answer, TwoHopError):
                    raise answer
                asked[head].add(answer)
            advance(len(some))
    return found | {head: collected.whole() for head, collected in asked.items()}


class _Collected:
    """The answers of one head as they come in."""

    def __init__(self, known: Classifications, rows: int) -> None:
        self._known = known
        self._labels = sorted(known[0].scores or ())
        self._predicted: list[str | None] = []
        self._score = np.empty(rows)
        self._scores = np.empty((rows, len(self._labels)), np.float32)

    def add(self, answers: Classifications) -> None:
        if answers.version != self._known.version:
            raise Failed(
                f"head {answers.head} changed from version {self._known.version} to {answers.version} during the evaluation: "
                "run it again",
                detail={"head": answers.head, "before": self._known.version, "now": answers.version},
            )
        for row, answer in enumerate(answers, start=len(self._predicted)):
            scores = answer.scores or {}
            self._score[row] = answer.score
            self._scores[row] = [scores[label] for label in self._labels]
        self._predicted += [answer.label for answer in answers]

    def whole(self) -> Answers:
        return Answers(
            self._known.version, self._known.fingerprint, self._labels, self._predicted, self._score, self._scores
        )
