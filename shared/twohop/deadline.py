"""The time a call may take, spent over all that it does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from twohop.errors import InvalidInput

Clock = Callable[[], float]

# gRPC cannot count further than some centuries.
LONGEST_S = 1e9


@dataclass(frozen=True)
class Deadline:
    """A point in time, `timeout_s` seconds after it was made."""

    at: float
    timeout_s: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, timeout_s: float, clock: Clock = time.monotonic) -> Deadline:
        """Raises InvalidInput for what is no positive, finite number of seconds."""
        if not (isinstance(timeout_s, (int, float)) and math.isfinite(timeout_s) and timeout_s > 0):
            raise InvalidInput(f"timeout_s is {timeout_s!r}: give a positive number of seconds")
        return cls(clock() + min(timeout_s, LONGEST_S), float(timeout_s), clock)

    def left_s(self) -> float:
        """Seconds left; negative when it is over."""
        return self.at - self.clock()

    def keeping(self, reserve_s: float) -> Deadline:
        """The same deadline, `reserve_s` earlier: what is kept is for the steps that follow."""
        return Deadline(self.at - reserve_s, self.timeout_s, self.clock)


def deadlines(timeout_s: float | None, default_s: float, clock: Clock = time.monotonic) -> Callable[[], Deadline]:
    """Gives each request of a call its deadline. A time named in the call bounds all of it; the client's default bounds
    each request that a large call is split into, so that 100,000 texts need no larger default than one."""
    if timeout_s is None:
        return lambda: Deadline.after(default_s, clock)
    whole = Deadline.after(timeout_s, clock)
    return lambda: whole
