"""How much more data would bring: the same kind of model on growing shares of the training rows, and what follows for twice
as many. A logistic regression stands in for the head, because it fits in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from head_service.evaluation import baselines
from head_service.progress import progress

SHARES = ((1 / 16, 5), (1 / 8, 4), (1 / 4, 3), (1 / 2, 2), (1.0, 1))  # of the rows, and how many draws of so many
FEWEST_ROWS, FEWEST_OF_LABEL = 32, 2
LIKELY = 0.9
SAMPLES = 500
# Logarithms of errors fall in a straight line at first, and flatten: of the slope so far, this much goes on. With it, and with
# errors that vary less between draws the more rows are drawn, the range held 90 % of 159 curves from halves, quarters and
# eighths of three data sets, against the doubled rows.
FLATTENING = (1 / 3, 1.0)
SETTLING = 0.35


@dataclass(frozen=True)
class CurvePoint:
    rows: int
    accuracy: float


@dataclass(frozen=True)
class Curve:
    """`points`: mean accuracy on the test rows by number of training rows. `doubled` rows would give `expected` accuracy,
    in nine of ten cases within `likely`."""

    points: list[CurvePoint]
    doubled: int
    expected: float
    likely: tuple[float, float]

    @property
    def gain(self) -> float:
        return self.expected - self.points[-1].accuracy

    @property
    def likely_gain(self) -> tuple[float, float]:
        now = self.points[-1].accuracy
        return self.likely[0] - now, self.likely[1] - now


def curve(
    vectors: npt.NDArray[np.float32],
    labels: Sequence[str],
    strength: float,
    test_vectors: npt.NDArray[np.float32],
    test_labels: Sequence[str],
) -> Curve | None:
    """vectors [N, D]; `strength` is the C of the logistic regression on all N rows. None where rows are too few for a curve."""
    least = max(FEWEST_ROWS, FEWEST_OF_LABEL * len(set(labels)))
    shares = [(round(share * len(labels)), draws) for share, draws in SHARES if share * len(labels) >= least]
    if len(shares) < 3:
        return None
    truth, wanted = np.array(labels), np.array(test_labels)
    generator = np.random.default_rng(0)
    wrong = []
    with progress("learning curve", sum(draws for _, draws in shares), unit="fits") as advance:
        for count, draws in shares:
            misses = np.empty((draws, len(wanted)), bool)
            for draw in range(draws):
                chosen = _drawn(truth, count, generator)
                misses[draw] = baselines.fitted(vectors[chosen], truth[chosen], strength).predict(test_vectors) != wanted
                advance(1)
            wrong.append(misses)
    return _extrapolated(np.array([count for count, _ in shares]), wrong, generator)


def _drawn(truth: npt.NDArray[np.str_], count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` rows at random, among them at least one of each of two labels, without which there is nothing to fit."""
    order = generator.permutation(len(truth))
    other = int(np.argmax(truth[order] != truth[order[0]]))
    if other >= count:
        order[[count - 1, other]] = order[[other, count - 1]]
    return order[:count]


def _extrapolated(counts: npt.NDArray[np.int64], wrong: list[npt.NDArray[np.bool_]], generator: np.random.Generator) -> Curve:
    """`wrong`: for each count, which test rows each of its draws got wrong [draws, T]. The error falls as a power of the rows
    (Hestness et al. 2017). The range comes from doing the same many times over: with test rows drawn anew, with errors that
    vary as they did between draws, and with more or less flattening."""
    rows = wrong[0].shape[1]
    misses = np.array([draws.mean(0) for draws in wrong])
    draws = np.array([len(each) for each in wrong])
    spread = _spread(counts, wrong)
    now = misses[-1].mean()
    expected = now * 2.0 ** -(_slope(counts, misses.mean(1), rows) * np.mean(FLATTENING))
    changes = []
    for _ in range(SAMPLES):
        errors = misses[:, generator.integers(0, rows, rows)].mean(1)
        shaken = errors * np.exp(generator.normal(size=len(counts)) * spread / np.sqrt(draws) / counts**SETTLING)
        slope = _slope(counts, shaken, rows) * generator.uniform(*FLATTENING)
        doubled = shaken[-1] * 2.0**-slope * np.exp(generator.normal() * spread / (2 * counts[-1]) ** SETTLING)
        changes.append(doubled - errors[-1])
    low, high = np.clip(now + np.quantile(changes, [(1 - LIKELY) / 2, (1 + LIKELY) / 2]), 0, 1)
    points = [CurvePoint(int(count), float(1 - each.mean())) for count, each in zip(counts, misses, strict=True)]
    return Curve(points, int(2 * counts[-1]), float(1 - expected), (float(1 - high), float(1 - low)))


def _slope(counts: npt.NDArray[np.int64], errors: npt.NDArray[np.floating], rows: int) -> float:
    """Of a line through the logarithms that ends in the last error; 1: twice the rows halve the errors, at most."""
    logs = np.log(np.maximum(errors, 0.5 / rows))
    steps = np.log(counts / counts[-1])
    weights = np.sqrt(counts)
    return float(np.clip(-np.sum(weights * steps * (logs - logs[-1])) / np.sum(weights * steps**2), 0, 1))


def _spread(counts: npt.NDArray[np.int64], wrong: list[npt.NDArray[np.bool_]]) -> float:
    """How much the logarithm of the error varies between draws, as it would for a single row."""
    deviations, freedom = 0.0, 0
    for count, draws in zip(counts, wrong, strict=True):
        errors = np.maximum(draws.mean(1), 0.5 / draws.shape[1])
        deviations += float(np.sum(((np.log(errors) - np.log(errors.mean())) * count**SETTLING) ** 2))
        freedom += len(draws) - 1
    return math.sqrt(deviations / max(1, freedom))
