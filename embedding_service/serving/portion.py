"""How much of what waits goes to a worker now, and whether on the whole machine or on one stream. Pure.

A batch on all cores is the fastest for a little work; a batch per core, side by side, is faster for much. Where the one turns
into the other is what the costs measured at warm-up say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedding_service.serving.cost_model import Costs

# A stream that is free within so much of the time that its share takes gets a share: the last batches of a long request end
# together then, where one stream took what was left and the other had nothing to do.
SOON = 0.1


@dataclass(frozen=True)
class Portion:
    """`alone`: on the whole machine; else on one stream. `tokens`: about so many."""

    alone: bool
    tokens: int


def portion(waiting: int, first: int, *, free: int, costs: Costs, busy_s: Sequence[float] = ()) -> Portion:
    """Of `waiting` tokens, `first` of them in the text whose turn it is, for a worker with `free` streams, at least one, and
    others that are busy for so many seconds yet."""
    share_s = costs.beside.seconds(min(-(-waiting // (free + len(busy_s))), costs.tokens_per_batch))
    share = -(-waiting // (free + sum(seconds <= SOON * share_s for seconds in busy_s)))
    if 1 < costs.streams == free:
        # Side by side it ends with the longest part. A single text has no parts: whatever was measured, all cores are faster.
        beside = costs.beside.seconds(max(share, first), first)
        is_faster = waiting == first or costs.alone.seconds(waiting, first) <= beside
        if waiting <= costs.tokens_per_batch and is_faster:
            return Portion(True, waiting)
    return Portion(False, min(share, costs.tokens_per_batch))
