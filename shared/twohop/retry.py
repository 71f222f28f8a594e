"""When to ask again: the whole policy, as a function of values. gRPC's own retries are off.

Only refusals are asked again: Unavailable, Overloaded, and Cancelled, which for a call that nobody here gave up means that its
server stopped when it arrived. Every call of ours is a pure function of its request, so a second one does no harm; anything
else (a deadline passed, an error of the model) would only cost more of the same.
"""

from __future__ import annotations

from twohop.errors import Cancelled, Overloaded, TwoHopError, Unavailable

REFUSALS = (Unavailable, Overloaded, Cancelled)

FIRST_S = 0.1
LARGEST_S = 1.0
SPREAD = 0.25
LEAST_S = 0.02


def delay_s(error: TwoHopError, *, failures: int, elsewhere: bool, left_s: float, chance: float) -> float | None:
    """Seconds to wait before the next attempt, None for none.

    `failures` so far, this one counted; `elsewhere`: an address is left that this call has not tried; `chance`: uniform
    in [0, 1). A server that says when to come again is not asked earlier, and a little later by chance; otherwise the
    wait is exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """
    if not isinstance(error, REFUSALS):
        return None
    if elsewhere:
        delay = 0.0
    elif error.retry_after_s is not None:
        delay = error.retry_after_s * (1 + SPREAD * chance)
    else:
        # Never more than half of what is left: the last attempt comes close to the deadline, not a second before it.
        delay = chance * min(LARGEST_S, FIRST_S * 2 ** min(failures - 1, 30), left_s / 2)
        return delay if left_s > LEAST_S else None
    return delay if delay < left_s else None
