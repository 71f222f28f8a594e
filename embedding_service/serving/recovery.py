"""What becomes of a batch that failed. Pure: one text that breaks the model must not take its batch-mates with it.

A batch that *raised* is halved until the text that does it is alone. A batch whose worker *died* runs again once as it was
(most deaths are not its fault), then text by text; a text that is alone and kills its worker again is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedding_service.serving.item import Item
from twohop.errors import ModelError, TwoHopError

DEATHS_TOGETHER = 2


@dataclass(frozen=True)
class Batch:
    """Items that run together; `deaths`: workers that died of it so far."""

    items: Sequence[Item]
    deaths: int = 0

    @property
    def tokens(self) -> int:
        return sum(item.tokens for item in self.items)

    @property
    def longest(self) -> int:
        """Tokens of its longest text."""
        return max(item.tokens for item in self.items)

    @property
    def weights(self) -> int:
        return self.items[0].weights

    def wanted(self) -> Batch:
        """Without the items that are over."""
        return Batch([item for item in self.items if not item.is_over], self.deaths)


@dataclass(frozen=True)
class Verdict:
    """`again`: batches to run, before anything new. `failed`: the one item found guilty, with its error."""

    again: Sequence[Batch] = ()
    failed: tuple[Item, TwoHopError] | None = None


def after_error(batch: Batch, error: TwoHopError) -> Verdict:
    if len(batch.items) == 1:
        return Verdict(failed=(batch.items[0], error))
    middle = len(batch.items) // 2
    return Verdict([Batch(batch.items[:middle], batch.deaths), Batch(batch.items[middle:], batch.deaths)])


def after_death(batch: Batch) -> Verdict:
    deaths = batch.deaths + 1
    if deaths < DEATHS_TOGETHER:
        return Verdict([Batch(batch.items, deaths)])
    if len(batch.items) > 1 or deaths == DEATHS_TOGETHER:
        return Verdict([Batch((item,), deaths) for item in batch.items])
    return Verdict(failed=(batch.items[0], ModelError("this input breaks the model: the worker died of it each time it ran")))
