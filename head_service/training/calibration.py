"""Temperature scaling: one number divides all logits, so that scores mean what they say.
Guo et al. 2017, "On Calibration of Modern Neural Networks"."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PARTS = 5
COLDEST, HOTTEST = 0.1, 10.0
Logits = npt.NDArray[np.floating]
Targets = npt.NDArray[Any]


@dataclass(frozen=True)
class Calibration:
    """`temperature` is 1 unless one helped. `gain`: the cross-entropy (nats a row) that the fitted one saves on rows that
    it was not fitted on, and `gain_error`, the standard error of that."""

    temperature: float
    fitted: float
    gain: float
    gain_error: float

    def document(self) -> dict[str, float]:
        """Plain values for head.json."""
        return asdict(self)


def calibrated(logits: Logits, targets: Targets, seed: int) -> Calibration:
    """logits [V, C] of rows not trained on; targets int [V], or 0 and 1 [V, C] for several labels. The temperature is kept
    where it helps on parts of these rows that it was not fitted on. (To ask for more than chance explains left sst2's
    regression at a calibration error of 0.057 instead of 0.028.)"""
    if len(logits) < 2 * PARTS:
        return Calibration(1.0, 1.0, 0.0, 0.0)
    part = np.random.default_rng(seed).permutation(len(logits)) % PARTS
    gains = np.empty(len(logits))
    for held in (part == number for number in range(PARTS)):
        value = _fitted(logits[~held], targets[~held])
        gains[held] = _losses(logits[held], targets[held], 1.0) - _losses(logits[held], targets[held], value)
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    fitted = _fitted(logits, targets)
    return Calibration(fitted if gain > 0 else 1.0, fitted, gain, error)


def _fitted(logits: Logits, targets: Targets) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(_losses(logits, targets, float(np.exp(log_temperature))).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _losses(logits: Logits, targets: Targets, temperature: float) -> npt.NDArray[np.float64]:
    """Cross-entropy of each row, in nats; of several labels the sum."""
    scaled = logits.astype(np.float64) / temperature
    if targets.ndim == 2:
        return np.asarray((np.logaddexp(0, scaled) - targets * scaled).sum(1))
    largest = scaled.max(1)
    return np.asarray(np.log(np.exp(scaled - largest[:, None]).sum(1)) + largest - scaled[np.arange(len(scaled)), targets])
