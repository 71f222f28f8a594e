"""What heads that are fitted to the same rows with the same seed, one after the other, need not do twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from head_service.training.heads.trained import Trained

if TYPE_CHECKING:
    from head_service.training.heads.ngram_regression import Regression


def _regression() -> Regression:
    from head_service.training.heads.ngram_regression import Regression

    return Regression()


@dataclass(frozen=True, eq=False)
class Shared:
    """`heads` on the same vectors, by kind; `ngrams` of the texts, whatever their vectors."""

    ngrams: Regression = field(default_factory=_regression)
    heads: dict[str, Trained] = field(default_factory=dict)
