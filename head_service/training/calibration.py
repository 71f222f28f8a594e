"""Temperature scaling: one number divides all logits, so that scores mean what they say.
Guo et al. 2017, "On Calibration of Modern Neural Networks"; Clarté et al. 2023, "Expectation consistency for calibration of
neural networks"."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training import metrics
from head_service.training.answering import WARM, Answering

COLDEST, HOTTEST = 0.1, 10.0
SHARPEST = 50.0
# Of calibration error that a sharpness may cost.
BEARABLE = 0.01
# What a temperature must save in all, in nats, to be kept: as much as fitting a number that means nothing saves (Akaike
# 1974). To ask for certainty (1.92 nats) left hybrid heads on sst2 at a calibration error of 0.051 instead of 0.034.
NEEDED_NATS = 1.0

Logits = npt.NDArray[np.floating]
Targets = npt.NDArray[Any]


@dataclass(frozen=True)
class Calibration:
    """`temperature` is 1 unless one helps. `fitted`: the one with the lowest cross-entropy; `gain`: what that saves (nats a
    row), and `gain_needed`: what it must save to show that a temperature helps. `sharpness`: see `Answering`."""

    temperature: float
    fitted: float
    gain: float
    gain_needed: float
    sharpness: float | None

    def document(self) -> dict[str, float]:
        """Plain values for head.json."""
        return asdict(self)


def calibrated(logits: Logits, targets: Targets) -> Calibration:
    """logits [V, C] of rows not trained on; targets int [V], or 0 and 1 [V, C] for several labels. A temperature is kept
    where the best one saves more cross-entropy on these rows than a number that means nothing would. It is then that with
    which the best scores are on average what the accuracy is, as long as it saves anything: a few rows that are surely wrong
    move the lowest cross-entropy much, and left networks on sst2 2 points too unsure of most texts."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(_losses(logits, targets, float(np.exp(log_temperature))).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-4})
    fitted, gain, needed = float(np.exp(found.x)), loss(0.0) - float(found.fun), NEEDED_NATS / len(logits)
    temperature = fitted if gain > needed else 1.0
    if temperature != 1 and targets.ndim == 1:
        consistent = _consistent(logits, targets)
        temperature = consistent if loss(np.log(consistent)) < loss(0.0) else fitted
    sharpness = None
    if targets.ndim == 1 and logits.shape[1] > 2 and temperature < WARM:
        sharpness = _sharpness(logits, targets, temperature)
    return Calibration(temperature, fitted, gain, needed, sharpness)


def _consistent(logits: Logits, targets: Targets) -> float:
    """With which the best scores are on average what the accuracy is; no rows show that a head is never wrong."""
    from scipy.optimize import brentq

    accuracy = ((logits.argmax(1) == targets).sum() + 0.5) / (len(logits) + 1)

    def gap(log_temperature: float) -> float:
        best = Answering(float(np.exp(log_temperature))).scores(logits).max(1)
        return float(best.mean()) - float(accuracy)

    coldest, hottest = np.log(COLDEST), np.log(HOTTEST)
    if gap(coldest) < 0 or gap(hottest) > 0:
        return COLDEST if gap(coldest) < 0 else HOTTEST
    return float(np.exp(brentq(gap, coldest, hottest, xtol=1e-4)))


def _sharpness(logits: Logits, targets: Targets, temperature: float) -> float | None:
    """With which the best scores are on average what they are at `temperature`; None where they then mean less."""
    from scipy.optimize import brentq

    def best(sharpness: float | None) -> npt.NDArray[np.float32]:
        return np.asarray(Answering(temperature, sharpness=sharpness).scores(logits).max(1))

    def gap(sharpness: float) -> float:
        return float(best(sharpness).mean() - plain.mean())

    plain, hits = best(None), logits.argmax(1) == targets
    if not gap(1.0) < 0 < gap(SHARPEST):
        return None
    found = float(brentq(gap, 1.0, SHARPEST, xtol=1e-4))
    worse = metrics.calibration_error(best(found), hits) - metrics.calibration_error(plain, hits)
    return found if worse <= BEARABLE else None


def _losses(logits: Logits, targets: Targets, temperature: float) -> npt.NDArray[np.float64]:
    """Cross-entropy of each row, in nats; of several labels the sum."""
    scaled = logits.astype(np.float64) / temperature
    if targets.ndim == 2:
        return np.asarray((np.logaddexp(0, scaled) - targets * scaled).sum(1))
    largest = scaled.max(1)
    return np.asarray(np.log(np.exp(scaled - largest[:, None]).sum(1)) + largest - scaled[np.arange(len(scaled)), targets])
