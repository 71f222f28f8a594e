"""What heads that are fitted to the same rows with the same seed, one after the other, need not do twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from head_service.training.heads.ngram_regression import Regression
from head_service.training.heads.trained import Trained


@dataclass(frozen=True, eq=False)
class Shared:
    """`ngrams` of the texts, whatever their vectors; `heads` on the same vectors, by kind."""

    ngrams: Regression = field(default_factory=Regression)
    heads: dict[str, Trained] = field(default_factory=dict)
