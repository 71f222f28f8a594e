"""Four ways in which live texts can differ from those of training, each as a size that a person can read and the chance to see
as much without any difference. A change counts where it is both: large enough to matter, and no chance.

On thousands of texts a difference too small to matter is still no chance, and on thirty a large one may be; so each has bounds
for its size (`some`, `much`) beside the level of significance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from head_service.training.gaussian import MOST_ROWS, Floats
from head_service.training.profile import QUANTILES, Profile, count_labels

Level = Literal["none", "some", "much"]

SIGNIFICANCE = 0.001
DEALS = 4000                # p-values down to 1 in 4001
SEED = 0                    # the same texts, the same verdict
TAIL = 0.99                 # of training: further out is far


@dataclass(frozen=True)
class Signal:
    """`size` is measured in `measure`; from `some` on it is a change, from `much` on one to act on."""

    name: str
    measure: str
    size: float
    some: float
    much: float
    p_value: float
    words: str

    @property
    def level(self) -> Level:
        if self.p_value >= SIGNIFICANCE or self.size < self.some:
            return "none"
        return "some" if self.size < self.much else "much"


def signals(kept: Profile, vectors: Floats, scores: Floats) -> list[Signal]:
    """`vectors` [N, D] and `scores` [N, C] of the live texts, as `profile` takes them."""
    confidences = scores.max(1)
    distances = kept.vectors.distances(vectors)
    return [
        label_shares(kept.labels, kept.label_counts, count_labels(scores, kept.multi_label)),
        confidence(kept.confidences, kept.validation_rows, confidences),
        domain(kept.vectors.coordinates(vectors), min(kept.rows, MOST_ROWS)),
        distance(kept.distances, min(kept.validation_rows, MOST_ROWS), distances),
    ]


def label_shares(labels: Sequence[str], before: npt.NDArray[np.int64], now: npt.NDArray[np.int64]) -> Signal:
    """Counts [C] of predicted labels. The size is the population stability index, less its mean where all texts are dealt
    anew to before and now, which also gives the p-value: exact, however rare the labels are."""
    size, p_value = 0.0, 1.0
    if before.any() and now.any():
        generator = np.random.default_rng(SEED)
        dealt = generator.multivariate_hypergeometric(before + now, int(now.sum()), DEALS, method="marginals")  # [DEALS, C]
        by_chance = _stability(before + now - dealt, dealt)
        found = float(_stability(before[None], now[None])[0])
        size = max(0.0, found - float(by_chance.mean()))
        p_value = float((1 + (by_chance >= found - 1e-12).sum()) / (1 + DEALS))
    shares_before, shares_now = before / max(1, before.sum()), now / max(1, now.sum())
    moved = np.argsort(-np.abs(shares_now - shares_before), kind="stable")[:3]
    told = ", ".join(f"{labels[place]} {shares_now[place]:.1%} (was {shares_before[place]:.1%})" for place in moved)
    return Signal("labels", "PSI", size, 0.05, 0.25, p_value, f"of the labels given: {told}")


def confidence(before: Floats, rows: int, now: Floats) -> Signal:
    """The best label's score; `before`: sorted, of `rows` rows."""
    size, p_value = _kolmogorov_smirnov(before, rows, now)
    words = f"median score of the label {np.median(now):.2f} (was {np.median(before):.2f})"
    return Signal("confidence", "KS", size, 0.1, 0.25, p_value, words)


def domain(coordinates: Floats, rows: int) -> Signal:
    """Whether the mean vector has moved: Hotelling's test on the coordinates [N, K], which over the `rows` training rows
    have mean 0 and variance 1. The size says how well one could tell a live text from one of training by its vector alone
    (area under the ROC curve, of the linear rule, less what chance brings): 0.5 is not at all."""
    from scipy.stats import chi2, norm

    count, axes = coordinates.shape
    squared = float((coordinates.mean(0, dtype=np.float64) ** 2).sum())
    noise = 1 / count + 1 / rows
    p_value = float(chi2.sf(squared / noise, axes))
    size = float(norm.cdf(np.sqrt(max(0.0, squared - axes * noise) / 2)))
    words = f"of a live text and one of training, the vectors tell which is which in {size:.1%} of all pairs (50%: not at all)"
    return Signal("vectors", "AUC", size, 0.6, 0.85, p_value, words)


def distance(before: Floats, rows: int, now: Floats) -> Signal:
    """How far from the middle of the training vectors; `before`: sorted, of `rows` rows."""
    size, p_value = _kolmogorov_smirnov(before, rows, now)
    far = float((now > np.quantile(before, TAIL)).mean())
    words = f"{far:.1%} of the texts lie further out than {TAIL:.0%} of those before"
    return Signal("distance", "KS", size, 0.1, 0.3, p_value, words)


def _stability(before: npt.NDArray[np.int64], now: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Population stability index of counts [N, C], [N]: sum of (q - p) log(q / p), with half a text more in every label."""
    first, second = ((counts + 0.5) / (counts + 0.5).sum(1, keepdims=True) for counts in (before, now))
    index: npt.NDArray[np.float64] = ((second - first) * np.log(second / first)).sum(1)
    return index


def _kolmogorov_smirnov(before: Floats, rows: int, now: Floats) -> tuple[float, float]:
    """The largest gap between the two cumulated shares, and its asymptotic p-value (two-sided)."""
    from scipy.special import kolmogorov

    first, second = np.sort(before), np.sort(now)
    at = np.concatenate([first, second])
    gaps = np.searchsorted(first, at, side="right") / len(first) - np.searchsorted(second, at, side="right") / len(second)
    # Quantiles that stand for more rows are off by up to half a step.
    size = max(0.0, float(np.abs(gaps).max()) - (0.5 / QUANTILES if rows > len(first) else 0.0))
    return size, float(kolmogorov(size * np.sqrt(rows * len(now) / (rows + len(now)))))
