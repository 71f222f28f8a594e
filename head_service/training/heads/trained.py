"""What every kind of head hands over after training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Model:
    """A head as a value: its numbers, and the plain TensorFlow code that uses them.

    `logits(weights, inputs)`: tensors by name -> float32 [B, C]. `inputs`, those that it reads: "embedding" [B, D]; or
    "tokens" [B, T, D] with "mask" [B, T]; and "text" string [B].
    """

    inputs: tuple[str, ...]
    weights: Mapping[str, npt.NDArray[Any]]
    logits: Callable[[Mapping[str, Any], Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and how they did on the validation rows."""

    settings: Mapping[str, float]
    accuracy: float
    cross_entropy: float


@dataclass(frozen=True, eq=False)
class Trained:
    """`model` is trained on all rows with the `settings` chosen among `trials`. `validation` float32 [V, C]: the logits
    that these settings gave for validation rows while they were not trained on."""

    model: Model
    validation: npt.NDArray[np.float32]
    settings: Mapping[str, float]
    trials: list[Trial]
