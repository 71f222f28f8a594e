"""Where vectors lie, in little: their mean, their strongest principal axes, and one variance for all other directions
(probabilistic PCA, Tipping and Bishop 1999)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads.material import Matrix

MOST_ROWS = 8192            # more vectors would not move the axes
MOST_AXES = 64
AXES_BYTES = 64 * 1024      # a profile stays below 100 kB, however long the vectors are
ROWS_PER_AXIS = 10          # axes through fewer rows fit those rows, and no others
FLAT = 1e-6                 # of the largest variance: less is rounding noise
SMALLEST = 1e-12            # a variance, where the rows do not differ at all

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Gaussian:
    """`mean` [D]; `axes` [K, D] of length 1, the strongest first, with the `deviations` [K] along them; `rest` is the
    deviation along each of the other D - K directions, 0 where there is none."""

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float16]
    deviations: npt.NDArray[np.float32]
    rest: float

    def coordinates(self, vectors: Floats) -> npt.NDArray[np.float32]:
        """vectors [N, D] -> [N, K] along the axes; over the rows that it was fitted to each has mean 0 and deviation 1."""
        found: npt.NDArray[np.float32] = ((vectors - self.mean) @ self.axes.T.astype(np.float32)) / self.deviations
        return found

    def distances(self, vectors: Floats) -> npt.NDArray[np.float32]:
        """vectors [N, D] -> Mahalanobis distances [N] from the mean."""
        centred = vectors - self.mean
        along = centred @ self.axes.T.astype(np.float32)
        squared: Floats = ((along / self.deviations) ** 2).sum(1)
        if self.rest > 0:
            squared += np.maximum((centred**2).sum(1) - (along**2).sum(1), 0) / self.rest**2
        return np.asarray(np.sqrt(squared), np.float32)


def fit(vectors: Matrix) -> Gaussian:
    """vectors [N, D], N at least 1; a map on disk is fine: MOST_ROWS rows, evenly spread, are read."""
    from scipy.linalg import eigh

    some = spread(vectors)
    mean = some.mean(0, dtype=np.float64)
    centred = (some - mean).astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / len(some)       # [D, D]
    dimension = len(mean)
    most = max(1, min(MOST_AXES, AXES_BYTES // (2 * dimension), len(some) // ROWS_PER_AXIS, dimension))
    variances, axes = eigh(covariance, subset_by_index=[dimension - most, dimension - 1])   # from small to large
    variances, axes = variances[::-1], axes.T[::-1]
    left = float(np.trace(covariance) - variances.sum())
    smallest = max(SMALLEST, FLAT * float(variances[0]))
    deviations = np.sqrt(np.maximum(variances, smallest)).astype(np.float32)
    rest = max(smallest, left / (dimension - most)) ** 0.5 if dimension > most else 0.0
    return Gaussian(mean.astype(np.float32), axes.astype(np.float16), deviations, rest)


def spread(rows: Matrix) -> npt.NDArray[np.float32]:
    """At most MOST_ROWS of the rows [N, D], evenly spaced, in memory."""
    return np.asarray(rows[evenly(len(rows))], np.float32)


def evenly(rows: int) -> npt.NDArray[np.int64]:
    """The indices of at most MOST_ROWS of so many rows, evenly spaced."""
    count = min(rows, MOST_ROWS)
    return np.arange(count, dtype=np.int64) * rows // count
