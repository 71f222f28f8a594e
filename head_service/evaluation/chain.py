"""Answers of a served head to labelled rows, through both hops, as any caller gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from head_service.progress import progress
from twohop.chain import TwoHop
from twohop.errors import Failed
from twohop.types import Classifications

TEXTS_PER_CALL = 256
CALL_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Answers:
    """`predicted` [N]: labels, None where the head abstained; `scores` [N]; `labels`: all that the head knows, sorted."""

    version: int
    fingerprint: str
    labels: list[str]
    predicted: list[str | None]
    scores: npt.NDArray[np.float64]


def ask(client: TwoHop, head: str, texts: Sequence[str]) -> Answers:
    """Raises what `TwoHop.classify` raises, Failed where the head's version changes meanwhile."""
    known = client.classify(texts[:1], head, all_scores=True)  # in the client's own time: is anybody there?
    predicted: list[str | None] = []
    scores: list[float] = []
    with progress("asking both hops", len(texts)) as advance:
        for start in range(0, len(texts), TEXTS_PER_CALL):
            answers = client.classify(texts[start : start + TEXTS_PER_CALL], head, timeout_s=CALL_TIMEOUT_S)
            _check_same(known, answers)
            predicted += [answer.label for answer in answers]
            scores += [answer.score for answer in answers]
            advance(len(answers))
    return Answers(known.version, known.fingerprint, sorted(known[0].scores or ()), predicted, np.array(scores))


def _check_same(known: Classifications, answers: Classifications) -> None:
    if answers.version != known.version:
        raise Failed(
            f"head {known.head} changed from version {known.version} to {answers.version} during the evaluation: run it again",
            detail={"head": known.head, "before": known.version, "now": answers.version},
        )
