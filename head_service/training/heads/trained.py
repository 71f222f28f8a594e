"""What every kind of head hands over after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Trial:
    """One choice that was tried: what it is called, and how it did on the validation rows."""

    name: str
    accuracy: float
    cross_entropy: float


@dataclass(frozen=True)
class Trained:
    """`model` is a Keras model, embedding float32 [B, D] -> probabilities [B, C], trained on all rows.
    `validation` [V, C]: what the chosen settings gave on rows that they were not trained on. `settings` is JSON-able."""

    model: Any
    validation: npt.NDArray[np.float32]
    settings: Mapping[str, Any]
    trials: list[Trial]
