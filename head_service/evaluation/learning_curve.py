"""How much more data would bring: the same kind of model on growing shares of the training rows, and what follows for twice
as many. A logistic regression stands in for the head, because it fits in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from head_service.evaluation import baselines
from head_service.progress import progress

SHARES = ((1 / 16, 4), (1 / 8, 4), (1 / 4, 3), (1 / 2, 2), (1.0, 1))  # of the rows, and how many draws of so many
FEWEST_ROWS = 32
DRAWS = 500
DECLINE = (0.0, 1.0)  # errors fall at most in proportion to the rows
LIKELY = 0.9


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
    shares = [(round(share * len(labels)), draws) for share, draws in SHARES if share * len(labels) >= FEWEST_ROWS]
    if len(shares) < 3:
        return None
    truth, wanted = np.array(labels), np.array(test_labels)
    generator = np.random.default_rng(0)
    wrong = []  # [T] by number of rows: how often each test row was answered wrongly
    with progress("learning curve", sum(draws for _, draws in shares), unit="fits") as advance:
        for count, draws in shares:
            misses = np.zeros(len(wanted))
            for _ in range(draws):
                chosen = _drawn(truth, count, generator)
                model = baselines.fitted(vectors[chosen], truth[chosen], strength)
                misses += model.predict(test_vectors) != wanted
                advance(1)
            wrong.append(misses / draws)
    return _extrapolated([count for count, _ in shares], np.array(wrong), generator)


def _drawn(truth: npt.NDArray[np.str_], count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` rows at random, among them at least one of each of two labels, without which there is nothing to fit."""
    order = generator.permutation(len(truth))
    other = int(np.argmax(truth[order] != truth[order[0]]))
    if other >= count:
        order[[count - 1, other]] = order[[other, count - 1]]
    return order[:count]


def _extrapolated(counts: list[int], wrong: npt.NDArray[np.float64], generator: np.random.Generator) -> Curve:
    """The error falls as a power of the rows (Hestness et al. 2017): a straight line through the logarithms, the larger
    shares weighing more. Its uncertainty: the same for test rows drawn anew, many times, and for the line through the last
    two shares alone, since curves flatten."""
    rows = wrong.shape[1]
    expected = _error_at(2 * counts[-1], counts, wrong.mean(1), rows)
    drawn = []
    for _ in range(DRAWS):
        errors = wrong[:, generator.integers(0, rows, rows)].mean(1)
        used = counts if generator.random() < 0.5 else counts[-2:]
        now = errors[-1]
        drawn.append(_error_at(2 * counts[-1], used, errors[-len(used) :], rows) - now)
    low, high = np.quantile(drawn, [(1 - LIKELY) / 2, (1 + LIKELY) / 2]) + wrong[-1].mean()
    points = [CurvePoint(count, float(1 - each.mean())) for count, each in zip(counts, wrong, strict=True)]
    return Curve(points, 2 * counts[-1], 1 - expected, (float(1 - high), float(1 - low)))


def _error_at(count: int, counts: Sequence[int], errors: npt.NDArray[np.float64], rows: int) -> float:
    """The line is laid through the last error, which is known best; its slope is fitted."""
    logs = np.log(np.maximum(errors, 0.5 / rows))
    steps = np.log(counts) - np.log(counts[-1])
    weights = np.sqrt(counts)
    slope = -float(np.sum(weights * steps * (logs - logs[-1])) / np.sum(weights * steps**2))
    return float(errors[-1] * (counts[-1] / count) ** np.clip(slope, *DECLINE))
