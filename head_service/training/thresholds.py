"""Thresholds for a stated precision: how sure a head must be before it answers.

A curve is fitted to validation rows, of how often an answer with a given score is right: a logistic regression on the
score's log-odds. It borrows strength from all rows, where the few most certain ones alone prove little. The threshold is
the lowest with which the precision of what is answered reaches what was stated even at the curve's lower bound, so that it
should hold on new texts of the same kind. A label with many validation rows has a threshold of its own, which holds for its
answers alone; the others share one, which holds for them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.answering import MULTI_LABEL_THRESHOLD

# Standard errors from the curve to its lower bound: one-sided 95 %.
MARGIN = 1.645
# Answers on validation rows from which a label has a threshold of its own.
OWN_ROWS = 200
# Log-odds beyond these all mean "sure".
FURTHEST = 8.0
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
        rows, classes = (places.ravel() for places in np.indices(scores.shape))  # each score may become an answer
        hits, sizes = targets.ravel() > 0, (scores >= MULTI_LABEL_THRESHOLD).sum(0)
    else:
        rows, classes = np.arange(len(scores)), scores.argmax(1)
        hits, sizes = classes == targets, np.bincount(classes, minlength=count)
    given = scores[rows, classes]
    values = np.full(count, NEVER, np.float32)
    for group in _groups(sizes):
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
    if not len(scores):
        return NEVER
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    odds = np.clip(np.log(np.maximum(ranked, 1e-12)) - np.log(np.maximum(1 - ranked, 1e-12)), -FURTHEST, FURTHEST)
    bounds = _lower_bounds(np.stack([np.ones_like(odds), odds], 1), hits[order].astype(np.float64))
    ends = np.append(ranked[1:] < ranked[:-1], True)  # rows of one score are answered together
    good = np.flatnonzero((bounds >= wanted) & ends)
    if not len(good):
        return NEVER
    last = int(good[-1])
    return 0.0 if last == len(ranked) - 1 else float((ranked[last] + ranked[last + 1]) / 2)


def _lower_bounds(inputs: Floats, hits: Floats) -> Floats:
    """[N, 2] ordered by certainty, and [N] 0 or 1 -> [N]: the lower bound of the precision of all answers up to each."""
    curve, covariance = _fitted(inputs, hits)
    likely = 1 / (1 + np.exp(-inputs @ curve))
    answered = np.arange(1, len(inputs) + 1)
    slope = np.cumsum(inputs * (likely * (1 - likely))[:, None], 0) / answered[:, None]  # of the mean, by the curve's numbers
    error = np.sqrt(np.einsum("ni,ij,nj->n", slope, covariance, slope))
    return np.asarray(np.cumsum(likely) / answered - MARGIN * error)


def _fitted(inputs: Floats, hits: Floats) -> tuple[Floats, Floats]:
    """The logistic curve [2] and its covariance [2, 2], by Newton's method. MARGIN^2 / 2 rows that are right and as many that
    are wrong are added in the middle (Agresti and Coull 1998), so that a few rows, all right, do not prove too much; and the
    slope is drawn to 1, what it is for scores that mean what they say, as much as one standard deviation of 1 does."""
    middle = np.repeat(inputs.mean(0)[None], 2, 0)
    inputs, hits = np.concatenate([inputs, middle]), np.append(hits, [0.0, 1.0])
    weights = np.append(np.ones(len(inputs) - 2), [MARGIN**2 / 2] * 2)
    expected, drawn = np.array([0.0, 1.0]), np.diag([0.0, 1.0])
    curve = expected.copy()
    for _ in range(100):
        likely = 1 / (1 + np.exp(-inputs @ curve))
        gradient = inputs.T @ (weights * (hits - likely)) - drawn @ (curve - expected)
        curvature = (inputs * (weights * np.maximum(likely * (1 - likely), 1e-9))[:, None]).T @ inputs + drawn
        step = np.linalg.solve(curvature, gradient)
        curve = curve + step / max(1.0, float(np.abs(step).max()))  # never more than 1 at a time: Newton may overshoot
        if np.abs(step).max() < 1e-8:
            break
    return curve, np.linalg.inv(curvature)


def _groups(rows: npt.NDArray[np.int64]) -> list[list[int]]:
    """Classes that have a threshold together, given how many answers each has: the small ones in one group, which takes
    in the next larger classes until it is large enough itself."""
    order = np.argsort(rows, kind="stable").tolist()
    small = [place for place in order if rows[place] < OWN_ROWS]
    own = order[len(small) :]
    while small and own and rows[small].sum() < OWN_ROWS:
        small.append(own.pop(0))
    return [*([sorted(small)] if small else []), *([place] for place in own)]
