"""Whether scores can be taken at their word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from head_service.evaluation.judgement import Judgement
from head_service.training import metrics

DRAWS = 200


@dataclass(frozen=True)
class Calibration:
    """`error`: expected calibration error, 15 bins. `by_chance`: what a perfectly calibrated head would show on rows with
    these scores, since bins have few rows: the mean, and what it exceeds in one of 20 cases."""

    error: float
    bins: list[metrics.Bin]
    by_chance: tuple[float, float]


def calibration(judgement: Judgement) -> Calibration:
    scores, held = judgement.decisions()
    bins = list(metrics.reliability(scores, held))
    return Calibration(metrics.calibration_error(scores, held), bins, _by_chance(bins))


def _by_chance(bins: list[metrics.Bin]) -> tuple[float, float]:
    if not bins:
        return 0.0, 0.0
    rows = np.array([each.rows for each in bins])
    means = np.clip([each.mean_score for each in bins], 0, 1)
    right = np.random.default_rng(0).binomial(rows, means, (DRAWS, len(bins)))
    errors = np.abs(right / rows - means) @ (rows / rows.sum())
    return float(errors.mean()), float(np.quantile(errors, 0.95))
