"""How a head's logits become an answer; the exported graph does just this, so that no caller has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MULTI_LABEL_THRESHOLD = 0.5
# The temperature at which scores are compared where `sharpness` is used.
WARM = 2.0


@dataclass(frozen=True, eq=False)
class Answering:
    """Scores are softmax(logits / temperature); with `multi_label` a sigmoid of each, so that several labels may be true.

    `thresholds` float32 [C]: the score that a label needs to be the answer; below it the head abstains (label "").
    None: one label always answers, or, with `multi_label`, each needs one half.

    `sharpness`, for three labels or more: the best label's score is then ranked by the softmax at temperature WARM, and its
    odds are raised to that power, (odds * (C - 1))^sharpness / (C - 1), so that it is as sure as before; the others share
    the rest as before. A low temperature leaves of a text only how much likelier the best label is than the second; a warm
    one also whether any label likes it, which tells texts out of scope (Liang et al. 2018, ODIN, section 3).
    """

    temperature: float = 1.0
    thresholds: npt.NDArray[np.float32] | None = None
    multi_label: bool = False
    sharpness: float | None = None

    def document(self) -> dict[str, Any]:
        """Plain values for head.json."""
        thresholds = None if self.thresholds is None else [float(value) for value in self.thresholds]
        return {
            "temperature": self.temperature,
            "thresholds": thresholds,
            "multi_label": self.multi_label,
            "sharpness": self.sharpness,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Answering:
        """What `document` wrote."""
        thresholds = document.get("thresholds")
        return cls(
            temperature=float(document["temperature"]),
            thresholds=None if thresholds is None else np.array(thresholds, np.float32),
            multi_label=bool(document["multi_label"]),
            sharpness=document.get("sharpness"),
        )

    def scores(self, logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """[B, C] -> [B, C]"""
        scaled = logits.astype(np.float64) / self.temperature
        if self.multi_label:
            return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -500, 500))), np.float32)
        if self.sharpness is None:
            return _softmax(scaled).astype(np.float32)
        rows, best = np.arange(len(logits)), logits.argmax(1)
        warm = logits.astype(np.float64) / WARM
        likely = warm[rows, best]  # [B]
        for others in (scaled, warm):
            others[rows, best] = -np.inf
        odds = likely - np.log(np.exp(warm - warm.max(1, keepdims=True)).sum(1)) - warm.max(1)
        score = 1 / (1 + np.exp(-np.clip(self.sharpness * odds + (self.sharpness - 1) * np.log(logits.shape[1] - 1), -500, 500)))
        rest = _softmax(scaled)
        # Seldom the second would pass the best: there the rest is shared as the warm softmax does, which keeps the order.
        rest = np.where((score > (1 - score) * rest.max(1))[:, None], rest, _softmax(warm)) * (1 - score)[:, None]
        rest[rows, best] = score
        return np.asarray(rest, np.float32)

    def answers(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """[B, C] -> [B]: the place of the label that answers, -1 where the head abstains."""
        if self.thresholds is None and not self.multi_label:
            return np.asarray(scores.argmax(1), np.int64)
        needed = np.full(scores.shape[1], MULTI_LABEL_THRESHOLD, np.float32) if self.thresholds is None else self.thresholds
        best = (np.where(scores >= needed, scores, -1) if self.multi_label else scores).argmax(1)
        return np.asarray(np.where(scores[np.arange(len(scores)), best] >= needed[best], best, -1), np.int64)


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    likely = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(likely / likely.sum(1, keepdims=True))
