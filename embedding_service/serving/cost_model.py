"""What a batch costs: seconds as a function of tokens, measured by the worker at warm-up and kept up to date while serving."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# A batch moves the estimate by a tenth: it follows a machine that gets busy within a second, and no single outlier.
WEIGHT = 0.1
LEAST_RATIO, MOST_RATIO = 0.1, 10.0


class CostModel:
    """`points`: (tokens, seconds), at least one, measured on an idle machine; between them linear, beyond proportional."""

    def __init__(self, points: Sequence[tuple[int, float]]) -> None:
        self._points = sorted((tokens, max(seconds, 1e-6)) for tokens, seconds in points)
        self._ratio = 1.0

    def seconds(self, tokens: int) -> float:
        return self._ratio * self._measured(tokens)

    @property
    def tokens_per_s(self) -> float:
        """In batches of the largest measured size."""
        tokens, _ = self._points[-1]
        return tokens / self.seconds(tokens)

    def observe(self, tokens: int, seconds: float) -> None:
        """A batch was run: so the machine is now."""
        ratio = min(max(seconds / self._measured(tokens), LEAST_RATIO), MOST_RATIO)
        self._ratio += WEIGHT * (ratio - self._ratio)

    def _measured(self, tokens: int) -> float:
        at = bisect_left(self._points, (tokens, 0.0))
        if at == 0:
            return self._points[0][1]
        if at == len(self._points):
            most, seconds = self._points[-1]
            return seconds * tokens / most
        (less, cheap), (more, dear) = self._points[at - 1], self._points[at]
        return cheap + (dear - cheap) * (tokens - less) / (more - less)
