"""Which waiting texts make the next batch. Pure: values in, a choice out; the clock's time is one of the values.

Called when a worker is free and not before (late binding): no timer, whatever is there goes, up to a budget of tokens.
In each class the oldest go first. While both classes wait, bulk has a share of the tokens, carried over from batch to batch
(`owed`) because a share may be smaller than a text; the rest is online's alone, so that no online text sits out a batch
that was filled up with bulk. Work nobody wants any more is dropped on the way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    @property
    def tokens(self) -> int: ...

    @property
    def deadline(self) -> float | None: ...

    @property
    def is_over(self) -> bool: ...


Text = TypeVar("Text", bound=Waiting)


@dataclass(frozen=True)
class Choice(Generic[Text]):
    """`online` and `bulk`: how many to take off the head of each class. Those are `batch`, `expired`, and those over before."""

    batch: list[Text]
    expired: list[Text]
    online: int
    bulk: int
    owed: float


def choose(
    online: Iterable[Text], bulk: Iterable[Text], *, budget: int, share: float, owed: float, now: float
) -> Choice[Text]:
    """`budget` in tokens, at least one text goes however long it is; `share` of it is bulk's, in [0, 1)."""
    urgent, patient = _Class(online, now), _Class(bulk, now)
    if urgent.head is None or patient.head is None:
        owed = 0.0
        urgent.take(budget)
        patient.take(budget)
    else:
        most = max(budget, patient.head.tokens) + budget * share        # always enough for its next text
        owed = min(owed + budget * share, most)
        owed -= patient.take(int(owed), at_least_one=False)
        urgent.take(budget - patient.taken)
        if patient.head is None:
            owed = 0.0
    batch = [*urgent.batch, *patient.batch]
    return Choice(batch, [*urgent.expired, *patient.expired], urgent.popped, patient.popped, owed)


class _Class(Generic[Text]):
    """One class while a choice is being made: `head` is the oldest text that is still wanted and not yet taken."""

    def __init__(self, texts: Iterable[Text], now: float) -> None:
        self._texts = iter(texts)
        self._now = now
        self.batch: list[Text] = []
        self.expired: list[Text] = []
        self.popped = self.taken = 0
        self.head = self._next()

    def take(self, room: int, *, at_least_one: bool = True) -> int:
        """Takes texts up to `room` tokens, and returns how many tokens they have."""
        while self.head is not None and (self.taken + self.head.tokens <= room or (at_least_one and not self.batch)):
            self.batch.append(self.head)
            self.taken += self.head.tokens
            self.popped += 1
            self.head = self._next()
        return self.taken

    def _next(self) -> Text | None:
        for text in self._texts:
            if text.is_over:
                self.popped += 1
            elif text.deadline is not None and text.deadline <= self._now:
                self.popped += 1
                self.expired.append(text)
            else:
                return text
        return None
