"""What training minimises and what settings are chosen by. logits [N, C]; one class is true, or each may be (multi-label)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads.material import Material
from head_service.training.heads.trained import Trial

# What logits are multiplied by: calibration comes later, so an overconfident trial is not a worse one.
SHARPNESSES = tuple(1.15**step for step in range(-6, 7))

Floats = npt.NDArray[np.float32]


def loss_and_slope(logits: Floats, targets: npt.NDArray[Any], weights: Floats) -> tuple[float, Floats]:
    """Sum over the rows of weight * cross-entropy in nats (multi-label: summed over the classes), and its derivative by
    the logits [N, C]."""
    if targets.ndim == 2:
        likely = sigmoid(logits)
        losses = (np.logaddexp(0, logits) - targets * logits).sum(1)
        slope = likely - targets
    else:
        rows = np.arange(len(logits))
        shifted = logits - logits.max(1, keepdims=True)
        slope = np.exp(shifted)
        sums = slope.sum(1, keepdims=True)
        losses = np.log(sums[:, 0]) - shifted[rows, targets]
        slope /= sums
        slope[rows, targets] -= 1
    return float((losses.astype(np.float64) * weights).sum()), (slope * weights[:, None]).astype(np.float32)


def softmax(logits: Floats) -> Floats:
    shifted: Floats = np.exp(logits - logits.max(1, keepdims=True))
    shifted /= shifted.sum(1, keepdims=True)
    return shifted


def sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)


def likelihood(multi_label: bool) -> Callable[[Floats], Floats]:
    """What makes probabilities of logits."""
    return sigmoid if multi_label else softmax


def trial(settings: dict[str, float], logits: Floats, validation: Material) -> Trial:
    """How logits [V, C] do on the validation rows, each row by its weight. Cross-entropy is that at the best sharpness.
    Accuracy of several labels: the share of right yes and no."""
    weights = validation.weights / validation.weights.sum()
    losses = (loss_and_slope(logits * np.float32(by), validation.targets, weights)[0] for by in SHARPNESSES)
    if validation.multi_label:
        hits = ((logits > 0) == (validation.targets > 0)).mean(1)
    else:
        hits = logits.argmax(1) == validation.targets
    return Trial(settings, float((hits * weights).sum()), min(losses))


def is_better(new: Trial, old: Trial | None, multi_label: bool) -> bool:
    """By accuracy, then cross-entropy; for several labels by cross-entropy, as thresholds are still to be chosen."""
    if old is None:
        return True
    if multi_label:
        return new.cross_entropy < old.cross_entropy
    return (new.accuracy, -new.cross_entropy) > (old.accuracy, -old.cross_entropy)
