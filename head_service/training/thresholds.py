"""Thresholds for a stated precision: how sure a head must be before it answers.

They are chosen on validation rows so that not what was seen there, but its lower bound reaches the precision: of answers
on new texts of the same kind, at least that share should be right. A label with many validation rows has a threshold of
its own, which holds for its answers alone; the others share one, which holds for them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Of the lower bound: one-sided, Clopper and Pearson 1934.
CONFIDENCE = 0.95
# Answers on validation rows from which a label's own threshold loses little against a shared one.
OWN_ROWS = 500
# Above any score: the label never answers.
NEVER = 2.0

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Thresholds:
    """`values` float32 [C]. On the validation rows, `coverage` is the share that is still answered (of several labels:
    that has an answer at all), `precision` the share of these answers that is right; `silent` are labels that never answer."""

    wanted: float
    values: npt.NDArray[np.float32]
    coverage: float
    precision: float
    silent: list[str]

    def document(self, labels: Sequence[str]) -> dict[str, float]:
        """Plain values for head.json, by label."""
        return {label: round(float(value), 6) for label, value in zip(labels, self.values, strict=True)}


def for_precision(scores: Floats, targets: npt.NDArray[Any], wanted: float, labels: Sequence[str]) -> Thresholds:
    """scores [V, C] of rows not trained on; targets int [V], or 0 and 1 [V, C] for several labels."""
    count = len(labels)
    if targets.ndim == 2:
        rows, classes = np.nonzero(scores > 0)  # each label's score is an answer that may be given
        hits = targets[rows, classes] > 0
    else:
        rows, classes = np.arange(len(scores)), scores.argmax(1)
        hits = classes == targets
    given = scores[rows, classes]
    values = np.full(count, NEVER, np.float32)
    for group in _groups(np.bincount(classes, minlength=count)):
        inside = np.isin(classes, group)
        values[group] = lowest(given[inside], hits[inside], wanted)
    answered = given >= values[classes]
    return Thresholds(
        wanted=wanted,
        values=values,
        coverage=len(np.unique(rows[answered])) / len(scores),
        precision=float(hits[answered].mean()) if answered.any() else 0.0,
        silent=[label for label, value in zip(labels, values.tolist(), strict=True) if value == NEVER],
    )


def lowest(scores: Floats, hits: npt.NDArray[np.bool_], wanted: float) -> float:
    """The lowest threshold with which the lower bound of the precision reaches `wanted`; NEVER where none does; 0 where
    no score is too low. scores and hits [N]."""
    from scipy.special import betaincinv

    order = np.argsort(-scores, kind="stable")
    sorted_scores, right = scores[order], np.cumsum(hits[order])
    answered = np.arange(1, len(scores) + 1)
    bounds = np.where(right > 0, betaincinv(np.maximum(right, 1), answered - right + 1, 1 - CONFIDENCE), 0.0)
    ends = np.append(sorted_scores[1:] < sorted_scores[:-1], True)  # rows of one score are answered together
    good = np.flatnonzero((bounds >= wanted) & ends)
    if not len(good):
        return NEVER
    last = int(good[-1])
    if last == len(scores) - 1:
        return 0.0
    return float((sorted_scores[last] + sorted_scores[last + 1]) / 2)


def _groups(rows: npt.NDArray[np.int64]) -> list[list[int]]:
    """Classes that have a threshold together, given how many answers each has: the small ones in one group, which takes
    in the next larger classes until it is large enough itself."""
    order = np.argsort(rows, kind="stable").tolist()
    small = [place for place in order if rows[place] < OWN_ROWS]
    own = order[len(small) :]
    while small and own and rows[small].sum() < OWN_ROWS:
        small.append(own.pop(0))
    return [*([sorted(small)] if small else []), *([place] for place in own)]
