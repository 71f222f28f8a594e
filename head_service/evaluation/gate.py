"""Requirements that an evaluation must meet, such as accuracy=0.9: the exit code of a pipeline hangs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from head_service.evaluation.intervals import Paired
from twohop.errors import InvalidInput

AT_LEAST = ("accuracy", "macro_f1", "precision", "coverage")
AT_MOST = ("calibration_error",)
NO_WORSE = "no-worse-than stable"


@dataclass(frozen=True)
class Requirement:
    figure: str
    bound: float

    def is_met(self, figures: Mapping[str, float]) -> bool:
        value = figures[self.figure]
        return value <= self.bound if self.figure in AT_MOST else value >= self.bound

    def __str__(self) -> str:
        return f"{self.figure}={self.bound:g}"


def parse(text: str) -> Requirement:
    """`accuracy=0.9`: at least; `calibration_error=0.05`: at most. Raises InvalidInput."""
    figure, separator, value = text.partition("=")
    if separator and figure in (*AT_LEAST, *AT_MOST):
        try:
            bound = float(value)
        except ValueError:
            bound = -1.0
        if 0 <= bound <= 1:
            return Requirement(figure, bound)
    known = ", ".join((*AT_LEAST, *AT_MOST))
    raise InvalidInput(f"bad requirement {text!r}: give one of {known}, and a bound from 0 to 1, such as accuracy=0.9")


def failed(requirements: Sequence[Requirement], figures: Mapping[str, float]) -> list[str]:
    return [str(requirement) for requirement in requirements if not requirement.is_met(figures)]


def is_worse(comparison: Paired) -> bool:
    """`--no-worse-than stable`: the paired test (McNemar, exact, 5 %) finds that the stable version answers better."""
    return comparison.verdict == "worse"
