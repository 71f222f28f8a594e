"""How far a bulk run is, on stderr: one line that changes on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_EVERY_S, LINE_EVERY_S = 0.2, 10.0


class Progress:
    """Counts texts, and the share of the whole (0 to 1) that they are. What an earlier run did is done, and tells nothing
    about speed."""

    def __init__(self, what: str, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._stream, self._clock = what, stream, clock
        self._terminal = stream.isatty()
        self._begun = self._told = clock()
        self._texts = self._earlier_texts = 0
        self._share = self._earlier_share = 0.0

    def advance(self, texts: int, share: float) -> None:
        self._texts += texts
        self._share += share
        now = self._clock()
        if now - self._told >= (TERMINAL_EVERY_S if self._terminal else LINE_EVERY_S):
            self._told = now
            self._say(self._line(now - self._begun))

    def skip(self, texts: int, share: float) -> None:
        """Done by an earlier run."""
        self._earlier_texts += texts
        self._earlier_share += share

    def close(self) -> None:
        """Leaves the terminal's line empty."""
        if self._terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)

    def _line(self, elapsed_s: float) -> str:
        done = self._earlier_share + self._share
        left_s = elapsed_s * max(0.0, 1.0 - done) / max(self._share, 1e-9)
        return (f"{self._what}: {self._earlier_texts + self._texts:,} texts, {min(done, 1.0):.0%}, "
                f"{self._texts / elapsed_s:.3g} texts/s, {_duration(left_s)} left")

    def _say(self, line: str) -> None:
        print(f"\r\x1b[K{line}" if self._terminal else line, end="" if self._terminal else "\n", file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
