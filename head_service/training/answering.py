"""How a head's logits become an answer; the exported graph does just this, so that no caller has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MULTI_LABEL_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class Answering:
    """Scores are softmax(logits / temperature); with `multi_label` a sigmoid of each, so that several labels may be true.

    `thresholds` float32 [C]: the score that a label needs to be the answer; below it the head abstains (label "").
    None: one label always answers, or, with `multi_label`, each needs one half.
    """

    temperature: float = 1.0
    thresholds: npt.NDArray[np.float32] | None = None
    multi_label: bool = False

    def document(self) -> dict[str, Any]:
        """Plain values for head.json."""
        thresholds = None if self.thresholds is None else [float(value) for value in self.thresholds]
        return {"temperature": self.temperature, "thresholds": thresholds, "multi_label": self.multi_label}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Answering:
        """What `document` wrote."""
        thresholds = document.get("thresholds")
        return cls(
            temperature=float(document["temperature"]),
            thresholds=None if thresholds is None else np.array(thresholds, np.float32),
            multi_label=bool(document["multi_label"]),
        )

    def scores(self, logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """[B, C] -> [B, C]"""
        scaled = logits.astype(np.float64) / self.temperature
        if self.multi_label:
            return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -500, 500))), np.float32)
        likely = np.exp(scaled - scaled.max(1, keepdims=True))
        return np.asarray(likely / likely.sum(1, keepdims=True), np.float32)

    def answers(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """[B, C] -> [B]: the place of the label that answers, -1 where the head abstains."""
        if self.thresholds is None and not self.multi_label:
            return np.asarray(scores.argmax(1), np.int64)
        needed = np.full(scores.shape[1], MULTI_LABEL_THRESHOLD, np.float32) if self.thresholds is None else self.thresholds
        best = (np.where(scores >= needed, scores, -1) if self.multi_label else scores).argmax(1)
        return np.asarray(np.where(scores[np.arange(len(scores)), best] >= needed[best], best, -1), np.int64)
