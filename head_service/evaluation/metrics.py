"""Figures about predictions. y [N] int: the true class of each row; probabilities [N, C]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CALIBRATION_BINS = 15

Classes = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


def accuracy(truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """[N] and [N]: numbers of classes, or labels."""
    return float(np.mean(truth == predicted))


def confusion(truth: Classes, predicted: Classes, count: int) -> npt.NDArray[np.int64]:
    """[count, count]; rows are the true classes, columns the predicted ones. Rows with a class outside are left out."""
    inside = (truth >= 0) & (truth < count) & (predicted >= 0) & (predicted < count)
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (truth[inside], predicted[inside]), 1)
    return table


def macro_f1(truth: Classes, predicted: Classes) -> float:
    """Mean F1 over the classes that occur, true or predicted; a negative class (abstained) has no F1 of its own."""
    scores = []
    for kind in np.union1d(truth, predicted):
        if kind >= 0:
            hits = int(np.sum((truth == kind) & (predicted == kind)))
            scores.append(2 * hits / (int(np.sum(truth == kind)) + int(np.sum(predicted == kind))))
    return float(np.mean(scores))


def calibration_error(scores: Floats, hit: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error: |confidence - accuracy| in 15 bins of equal width, weighted by rows.
    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3."""
    bins = np.clip(np.ceil(scores * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    gaps = [abs(float(scores[bins == at].mean()) - float(hit[bins == at].mean())) * np.mean(bins == at) for at in np.unique(bins)]
    return float(sum(gaps))


def cross_entropy(truth: Classes, probabilities: Floats) -> float:
    """Mean negative log-likelihood of the true class, in nats."""
    likelihood = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(likelihood, 1e-30)).mean())
