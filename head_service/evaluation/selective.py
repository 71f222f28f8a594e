"""What is gained by answering only the sure rows: how many are answered, and how many of those rightly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from head_service.evaluation.judgement import Judgement
from head_service.training import metrics

MOST_POINTS = 200
PRECISIONS = (0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True)
class Point:
    """Rows whose best label scores at least `score`: their share of all, and how many of them are right."""

    score: float
    coverage: float
    precision: float


@dataclass(frozen=True)
class OutOfScope:
    """Rows with a label that the head does not know: how many of them it abstained on, and how often such a row scores
    lower than one that is in scope (0.5: chance)."""

    rows: int
    abstained: int
    auroc: float


def curve(judgement: Judgement) -> list[Point]:
    """From the surest rows to all of them, by the score of the best label, whether or not the head gave it."""
    best = judgement.scores.max(1)
    places = judgement.scores.argmax(1)
    right = judgement.wanted[np.arange(len(best)), places]
    order = np.argsort(-best, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(best[order])), len(best) - 1)  # equal scores are answered together
    if len(ends) > MOST_POINTS:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(int))]
    answered, hits = ends + 1, right[order].cumsum()[ends]
    return [
        Point(float(best[order[end]]), float(count / len(best)), float(hit / count))
        for end, count, hit in zip(ends, answered, hits, strict=True)
    ]


def widest(points: list[Point], precision: float) -> Point | None:
    """The most rows that can be answered at this precision; None where not even the surest are right so often."""
    return max((point for point in points if point.precision >= precision), key=lambda point: point.coverage, default=None)


def out_of_scope(judgement: Judgement) -> OutOfScope | None:
    """None where the head knows all labels of the data, or none."""
    outside = ~judgement.in_scope
    if not outside.any() or outside.all():
        return None
    best = judgement.scores.max(1)
    return OutOfScope(
        rows=int(outside.sum()),
        abstained=int((outside & ~judgement.given.any(1)).sum()),
        auroc=metrics.auroc(best[~outside], best[outside]),
    )
