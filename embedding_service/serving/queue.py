"""The waiting texts of one set of weights, in two classes, and how many tokens they have: a container around the pure choice.

In a class, the text whose `turn` is earliest goes first: the time at which it would have been reached had its request been
alone. Single texts go by arrival; one that comes while a request of thousands is being worked through does not wait for all
of that, and yet no request is overtaken by more than what arrives while it would itself be computed.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from operator import attrgetter

from embedding_service.serving.batching import choose
from embedding_service.serving.item import Item
from twohop.errors import DeadlineExceeded

# Withdrawn items stay until a batch passes them, unless they are so many more than the living.
SWEEP_ABOVE = 1024

_turn = attrgetter("turn")


def late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed while the text was waiting")


class Queue:
    """`bulk_share`: of the tokens, while both classes wait."""

    def __init__(self, bulk_share: float) -> None:
        self.bulk_share = bulk_share
        self._classes: dict[bool, list[Item]] = {False: [], True: []}
        self._tokens = {False: 0, True: 0}
        self._owed = 0.0
        self._withdrawn = 0

    @property
    def online_tokens(self) -> int:
        return self._tokens[False]

    @property
    def bulk_tokens(self) -> int:
        return self._tokens[True]

    @property
    def tokens(self) -> int:
        return self._tokens[False] + self._tokens[True]

    @property
    def first(self) -> Item | None:
        """Of those that wait, online before bulk."""
        return next((item for waiting in self._classes.values() for item in waiting if not item.is_over), None)

    def put(self, items: Sequence[Item], now: float, token_s: float) -> None:
        """The texts of one request and class. `token_s`: seconds that a token takes while the machine does nothing else."""
        turn = now
        for item in items:
            item.enqueued_at, item.turn = now, turn
            turn += item.tokens * token_s
            self._tokens[item.bulk] += item.tokens
        waiting = self._classes[items[0].bulk]
        if len(items) == 1:
            insort(waiting, items[0], key=_turn)
        else:
            waiting += items
            waiting.sort(key=_turn)

    def withdraw(self, item: Item) -> None:
        """Ends it, if it is not over. One that runs already is merely not wanted any more."""
        if not item.is_over:
            item.withdraw()
            if item.started_at is None:
                self._tokens[item.bulk] -= item.tokens
                self._withdrawn += 1
        if self._withdrawn > max(SWEEP_ABOVE, sum(map(len, self._classes.values())) // 2):
            self._sweep()

    def take(self, budget: int, now: float, least_s: float = 0.0) -> list[Item]:
        """The next batch, of about `budget` tokens; empty if nobody waits. Ends those whose time is over, or would be before a
        batch can be: `least_s` from now."""
        online, bulk = self._classes[False], self._classes[True]
        choice = choose(online, bulk, budget=budget, share=self.bulk_share, owed=self._owed, now=now + least_s)
        self._owed = choice.owed
        for waiting, count in ((online, choice.online), (bulk, choice.bulk)):
            self._withdrawn -= sum(item.is_over for item in waiting[:count])
            del waiting[:count]
        for item in (*choice.batch, *choice.expired):
            self._tokens[item.bulk] -= item.tokens
            item.started_at = now
        for item in choice.expired:
            item.fail(late())
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
            self._classes[bulk] = [item for item in waiting if not item.is_over]
        self._withdrawn = 0


class Queues:
    """A queue for each set of weights, because a batch runs on one; they take turns by the seconds that each was given."""

    def __init__(self, bulk_share: float) -> None:
        self._bulk_share = bulk_share
        self._queues: dict[int, Queue] = {}
        self._given_s: dict[int, float] = {}

    def __getitem__(self, weights: int) -> Queue:
        if weights not in self._queues:
            self._queues[weights] = Queue(self._bulk_share)
            self._given_s[weights] = 0.0
        return self._queues[weights]

    def items(self) -> Iterable[tuple[int, Queue]]:
        return self._queues.items()

    def arrive(self, weights: int) -> None:
        """Before texts are put into an empty queue: it has no claim on the time in which it asked for nothing."""
        if not self[weights].tokens:
            others = [self._given_s[other] for other, queue in self._queues.items() if queue.tokens]
            self._given_s[weights] = max(self._given_s[weights], min(others, default=0.0))

    def next(self) -> int | None:
        """The set of weights whose turn it is; None if nobody waits."""
        waiting = [weights for weights, queue in self._queues.items() if queue.tokens]
        return min(waiting, key=self._given_s.__getitem__, default=None)

    def give(self, weights: int, seconds: float) -> None:
        self._given_s[weights] += seconds
