"""What every kind of head hands over after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and how they did on the validation rows."""

    settings: Mapping[str, float]
    accuracy: float
    cross_entropy: float


@dataclass(frozen=True)
class Trained:
    """`model` is a Keras model, embedding float32 [B, D] -> probabilities [B, C], trained on all rows.
    `validation` [V, C]: what the chosen settings gave on rows that they were not trained on. `settings` are the chosen ones of
    `trials`."""

    model: Any
    validation: npt.NDArray[np.float32]
    settings: Mapping[str, float]
    trials: list[Trial]
