"""What a count of successes tells, and what it leaves open: intervals and the paired test. No scipy: a few lines each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z_95 = 1.959964
SIGNIFICANT = 0.05


def wilson(successes: int, rows: int) -> tuple[float, float]:
    """95 % interval of a share, [low, high]. Wilson 1927: right also for few rows and for shares near 0 or 1."""
    if rows == 0:
        return 0.0, 1.0
    share, z2 = successes / rows, Z_95**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = Z_95 / (1 + z2 / rows) * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Paired:
    """Two answers to each of the same rows: `gained` rows are right only now, `lost` ones were right only with the other."""

    rows: int
    gained: int
    lost: int

    @property
    def difference(self) -> float:
        """Of the accuracies, 0.01 is a point; above 0: better than the other."""
        return (self.gained - self.lost) / self.rows

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of `difference`. Agresti & Min 2005: half a row is added to each of the four cells."""
        rows, gained, lost = self.rows + 2, self.gained + 0.5, self.lost + 0.5
        middle = (gained - lost) / rows
        half = Z_95 * math.sqrt(gained + lost - (gained - lost) ** 2 / rows) / rows
        return max(-1.0, middle - half), min(1.0, middle + half)

    @property
    def p_value(self) -> float:
        return mcnemar(self.gained, self.lost)

    @property
    def verdict(self) -> str:
        """"better", "worse", or "no difference seen" where chance alone gives as much in more than one of 20 cases."""
        if self.p_value >= SIGNIFICANT:
            return "no difference seen"
        return "better" if self.gained > self.lost else "worse"

    @property
    def smallest_loss_seen(self) -> float:
        """With as many rows on which the two disagree: the smallest drop of accuracy that the test calls worse; NaN where
        they disagree on too few for any."""
        disagreements = self.gained + self.lost
        for lost in range(disagreements // 2 + 1, disagreements + 1):
            if mcnemar(disagreements - lost, lost) < SIGNIFICANT:
                return (2 * lost - disagreements) / self.rows
        return math.nan


def paired(hits: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]) -> Paired:
    """[N] and [N]: which rows each answered rightly."""
    return Paired(len(hits), int((hits & ~others).sum()), int((others & ~hits).sum()))


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value: how often coins thrown for the rows on which two disagree come out as unevenly.
    McNemar 1947."""
    count, fewer = gained + lost, min(gained, lost)
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(math.exp(each - count * math.log(2)) for each in logs))
