"""Whether a request may wait, or is refused now, by the wait that it would have. Pure.

Refusing at the door costs a caller milliseconds; a queue without a limit costs every caller its deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

from twohop.errors import Overloaded

LEAST_RETRY_S, MOST_RETRY_S = 0.05, 10.0
# Of the time that a caller gives: so much may go as predicted. The rest is for predictions that miss, since an answer that
# comes too late has cost the others what it took.
TRUSTED = 0.5


@dataclass(frozen=True)
class Load:
    """In seconds, as predicted: what waits in each class, until a stream is free, and until a worker that is being replaced is
    ready. For the last nobody is refused: a request waits for it up to its deadline."""

    online_s: float
    bulk_s: float
    running_s: float
    starting_s: float = 0.0


@dataclass(frozen=True)
class WaitLimits:
    """The longest predicted wait, in seconds, at which a text of each class is still taken."""

    online_s: float = 5.0
    bulk_s: float = 30.0


def predicted_wait_s(load: Load, *, bulk: bool, bulk_share: float) -> float:
    """Until a text that arrived now would start: those before it, at the measured speed. Online texts yield to waiting bulk
    only its share of the tokens; bulk ones wait for all."""
    everything = load.online_s + load.bulk_s
    return load.running_s + (everything if bulk else min(load.online_s / max(1 - bulk_share, 0.01), everything))


def longest_wait_s(limit_s: float, left_s: float, own_s: float) -> float:
    """With which a request is still done in the `left_s` that its caller gives, if its own texts take `own_s`."""
    return min(limit_s, max(TRUSTED * left_s - own_s, 0.0))


def admit(wait_s: float, limit_s: float) -> None:
    """Raises Overloaded, saying when to come again, for a wait above the limit."""
    if wait_s <= limit_s:
        return
    retry_s = min(max(wait_s - limit_s / 2, LEAST_RETRY_S), MOST_RETRY_S)
    raise Overloaded(
        f"the queue is full: a text would wait {wait_s:.1f} s, at most {limit_s:g} s are allowed; come again in {retry_s:.1f} s",
        detail={"wait_ms": round(wait_s * 1000), "limit_ms": round(limit_s * 1000)},
        retry_after_s=retry_s,
    )
