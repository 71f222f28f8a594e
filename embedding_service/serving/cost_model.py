"""What a batch costs: seconds as a function of its tokens and its longest text, measured by the worker at warm-up and kept up
to date while serving."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

# A batch moves the estimate by a tenth: it follows a machine that gets busy within a second, and no single outlier.
WEIGHT = 0.1
LEAST_RATIO, MOST_RATIO = 0.1, 10.0
# Of the best tokens per second: what a larger batch brings beyond is not worth the longer wait for it. A batch of so few seconds
# is worth no cut: small batches look fast by chance where the machine was busy while they were measured.
ENOUGH = 0.99
SHORT_S = 0.1

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Measured:
    """Of one set of weights, on an idle machine: `alone` and `beside` are (tokens, seconds) of batches of short texts, run on
    the whole machine and on one stream while the others are busy too; `per_long_token`: by which share a batch gets dearer
    for every token that its longest text has beyond `short`."""

    alone: Points
    beside: Points
    per_long_token: float = 0.0
    short: int = 64


def budget(points: Points) -> int:
    """The fewest tokens of those measured with which a batch runs at (nearly) full speed, or the most that are short."""
    speeds = {tokens: tokens / max(seconds, 1e-9) for tokens, seconds in points}
    enough = min(tokens for tokens, speed in speeds.items() if speed >= ENOUGH * max(speeds.values()))
    return max([enough, *(tokens for tokens, seconds in points if seconds <= SHORT_S)])


class CostModel:
    """`points`: at least one; between them linear, beyond proportional."""

    def __init__(self, points: Points, per_long_token: float = 0.0, short: int = 64) -> None:
        self._points = sorted((tokens, max(seconds, 1e-6)) for tokens, seconds in points)
        self._per_long_token = per_long_token
        self._short_text = short
        self._ratio = 1.0

    def seconds(self, tokens: int, longest: int = 0) -> float:
        return self._ratio * self._measured(tokens, longest)

    @property
    def tokens_per_s(self) -> float:
        """In batches of the largest measured size."""
        tokens, _ = self._points[-1]
        return tokens / self.seconds(tokens)

    def observe(self, tokens: int, longest: int, seconds: float) -> None:
        """A batch was run: so the machine is now."""
        ratio = min(max(seconds / self._measured(tokens, longest), LEAST_RATIO), MOST_RATIO)
        self._ratio += WEIGHT * (ratio - self._ratio)

    def _measured(self, tokens: int, longest: int) -> float:
        return self._short(tokens) * (1 + self._per_long_token * max(longest - self._short_text, 0))

    def _short(self, tokens: int) -> float:
        at = bisect_left(self._points, (tokens, 0.0))
        if at == 0:
            return self._points[0][1]
        if at == len(self._points):
            most, seconds = self._points[-1]
            return seconds * tokens / most
        (less, cheap), (more, dear) = self._points[at - 1], self._points[at]
        return cheap + (dear - cheap) * (tokens - less) / (more - less)


class Costs:
    """Of one set of weights on one worker: alone on the whole machine, and on one of `streams` that are all busy."""

    def __init__(self, measured: Measured, streams: int) -> None:
        self.alone = CostModel(measured.alone, measured.per_long_token, measured.short)
        self.beside = CostModel(measured.beside, measured.per_long_token, measured.short)
        self.streams = streams
        self.tokens_per_batch = budget(measured.beside)

    def model(self, stream: int | None) -> CostModel:
        """Of batches on a stream; None: alone."""
        return self.alone if stream is None else self.beside

    @property
    def tokens_per_s(self) -> float:
        """Of the whole worker, while there is enough to do."""
        return self.streams * self.beside.tokens_per_s
