"""Figures about predictions. y [N] int: the true class of each row; probabilities [N, C]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CALIBRATION_BINS = 15

Classes = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


def accuracy(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """[N] and [N]: numbers of classes, or labels."""
    return float(np.mean(truth == predicted))


def macro_f1(truth: Classes, predicted: Classes) -> float:
    """Mean F1 over the classes that occur, true or predicted; a negative class (abstained) has no F1 of its own."""
    scores = []
    for kind in np.union1d(truth, predicted):
        if kind >= 0:
            hits = int(np.sum((truth == kind) & (predicted == kind)))
            scores.append(2 * hits / (int(np.sum(truth == kind)) + int(np.sum(predicted == kind))))
    return float(np.mean(scores))


@dataclass(frozen=True)
class Bin:
    """Answers whose scores lie in one interval (low, high]: how many, their mean score, and how many of them are right."""

    low: float
    high: float
    rows: int
    mean_score: float
    right: int

    @property
    def accuracy(self) -> float:
        return self.right / self.rows


def reliability(scores: Floats, hit: npt.NDArray[np.bool_]) -> Iterator[Bin]:
    """15 bins of equal width; those without rows are left out."""
    places = np.clip(np.ceil(scores * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    rows = np.bincount(places, minlength=CALIBRATION_BINS)
    sums = np.bincount(places, weights=scores, minlength=CALIBRATION_BINS)
    right = np.bincount(places, weights=hit, minlength=CALIBRATION_BINS)
    for at in np.flatnonzero(rows):
        low, high = at / CALIBRATION_BINS, (at + 1) / CALIBRATION_BINS
        yield Bin(low, high, int(rows[at]), float(sums[at] / rows[at]), int(right[at]))


def calibration_error(scores: Floats, hit: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error: |confidence - accuracy| in 15 bins of equal width, weighted by rows.
    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3."""
    return float(sum(abs(each.mean_score - each.accuracy) * each.rows for each in reliability(scores, hit)) / max(1, len(scores)))


def cross_entropy(truth: Classes, probabilities: Floats) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    likelihood = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(likelihood, 1e-30)).mean())


def auroc(high: Floats, low: Floats) -> float:
    """How often a number of `high` is above one of `low` (ties count half): 0.5 is chance. Mann & Whitney 1947."""
    ordered = np.sort(low)
    below = np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")
    return float(below.mean() / (2 * len(low)))
