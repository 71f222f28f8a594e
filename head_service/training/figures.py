"""What a head's answers on validation rows are worth, and what was decided by them: temperature and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training import metrics
from head_service.training.answering import MULTI_LABEL_THRESHOLD, Answering
from head_service.training.calibration import Calibration, calibrated
from head_service.training.thresholds import Thresholds, for_precision


@dataclass(frozen=True, eq=False)
class Validated:
    """`scores` [V, C] are those that the served head gives. `metrics` by name, before any abstaining but for `coverage`
    and `precision`, which are there with thresholds."""

    answering: Answering
    scores: npt.NDArray[np.float32]
    calibration: Calibration
    thresholds: Thresholds | None
    metrics: dict[str, float]


def validated(
    logits: npt.NDArray[np.floating], targets: npt.NDArray[Any], labels: Sequence[str], precision: float | None
) -> Validated:
    """logits [V, C] of rows not trained on; targets int [V], or 0 and 1 [V, C] for several labels. `precision`: what the
    answers must reach, by abstaining from others."""
    multi_label = targets.ndim == 2
    calibration = calibrated(logits, targets)
    answering = Answering(calibration.temperature, None, multi_label, calibration.sharpness)
    scores = answering.scores(logits)
    found = _several(scores, targets) if multi_label else _single(scores, targets)
    thresholds = None
    if precision is not None:
        thresholds = for_precision(scores, targets, precision, labels)
        found |= {"coverage": thresholds.coverage, "precision": thresholds.precision}
        answering = replace(answering, thresholds=thresholds.values)
    return Validated(answering, scores, calibration, thresholds, found)


def _single(scores: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> dict[str, float]:
    predicted = scores.argmax(1)
    return {
        "accuracy": metrics.accuracy(truth, predicted),
        "macro_f1": metrics.macro_f1(truth, predicted),
        "cross_entropy": metrics.cross_entropy(truth, scores),
        "calibration_error": metrics.calibration_error(scores.max(1), truth == predicted),
    }


def _several(scores: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> dict[str, float]:
    """Accuracy is the share of rows with every label right; cross-entropy and calibration are those of each yes and no."""
    yes, true = scores >= MULTI_LABEL_THRESHOLD, truth > 0
    counted = (yes | true).any(0)  # labels that occur
    hits, total = (yes & true).sum(0)[counted], (yes.sum(0) + true.sum(0))[counted]
    pairs = np.stack([1 - scores.ravel(), scores.ravel()], 1)
    return {
        "accuracy": float((yes == true).all(1).mean()),
        "macro_f1": float((2 * hits / total).mean()) if counted.any() else 0.0,
        "cross_entropy": metrics.cross_entropy(true.ravel().astype(np.int64), pairs),
        "calibration_error": metrics.calibration_error(scores.ravel(), true.ravel()),
    }
