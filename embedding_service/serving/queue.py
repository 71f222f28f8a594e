"""The waiting texts, in two classes, and how many tokens they have: a container around the pure choice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from embedding_service.serving.batching import choose
from embedding_service.serving.item import Item
from twohop.errors import DeadlineExceeded

# Withdrawn items stay until a batch passes them, unless they are so many more than the living.
SWEEP_ABOVE = 1024


class Queue:
    """`bulk_share`: of the tokens, while both classes wait."""

    def __init__(self, bulk_share: float) -> None:
        self.bulk_share = bulk_share
        self._classes: dict[bool, deque[Item]] = {False: deque(), True: deque()}
        self._tokens = {False: 0, True: 0}
        self._owed = 0.0
        self._withdrawn = 0

    @property
    def online_tokens(self) -> int:
        return self._tokens[False]

    @property
    def bulk_tokens(self) -> int:
        return self._tokens[True]

    def put(self, items: Sequence[Item], now: float) -> None:
        for item in items:
            item.enqueued_at = now
            self._classes[item.bulk].append(item)
            self._tokens[item.bulk] += item.tokens

    def withdraw(self, items: Iterable[Item]) -> None:
        """Ends those that are not over. One that runs already is merely not wanted any more."""
        for item in items:
            if not item.is_over:
                item.withdraw()
                if item.started_at is None:
                    self._tokens[item.bulk] -= item.tokens
                    self._withdrawn += 1
        if self._withdrawn > max(SWEEP_ABOVE, sum(map(len, self._classes.values())) // 2):
            self._sweep()

    def take(self, budget: int, now: float) -> list[Item]:
        """The next batch, of about `budget` tokens; empty if nobody waits. Ends those whose time is over."""
        online, bulk = self._classes[False], self._classes[True]
        choice = choose(online, bulk, budget=budget, share=self.bulk_share, owed=self._owed, now=now)
        self._owed = choice.owed
        for waiting, count in ((online, choice.online), (bulk, choice.bulk)):
            for _ in range(count):
                self._withdrawn -= waiting.popleft().is_over
        for item in (*choice.batch, *choice.expired):
            self._tokens[item.bulk] -= item.tokens
            item.started_at = now
        for item in choice.expired:
            item.fail(DeadlineExceeded("the deadline passed while the text was waiting"))
        return choice.batch

    def take_all(self, now: float) -> list[Item]:
        """Everybody who waits; leaves it empty."""
        items = [item for waiting in self._classes.values() for item in waiting if not item.is_over]
        for item in items:
            item.started_at = now
        for waiting in self._classes.values():
            waiting.clear()
        self._tokens, self._withdrawn, self._owed = {False: 0, True: 0}, 0, 0.0
        return items

    def _sweep(self) -> None:
        for bulk, waiting in self._classes.items():
            self._classes[bulk] = deque(item for item in waiting if not item.is_over)
        self._withdrawn = 0
