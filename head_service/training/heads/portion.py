"""Progress of a part of the work, told in steps of the whole."""

from __future__ import annotations

from collections.abc import Callable

# Of one head's training: hundredths of its work.
STEPS = 100


class Portion:
    """Tells `advance` of `steps` in all while `parts` of its own get done."""

    def __init__(self, advance: Callable[[int], None], steps: int, parts: int) -> None:
        self._advance, self._steps, self._parts = advance, steps, parts
        self._done = self._told = 0

    def __call__(self) -> None:
        self.reach(self._done + 1)

    def more(self, parts: int) -> None:
        self.reach(self._done + parts)

    def reach(self, parts: int) -> None:
        """As many of its own parts are done, or were not needed."""
        self._done = max(self._done, min(self._parts, parts))
        due = self._steps * self._done // self._parts
        self._advance(due - self._told)
        self._told = due

    def finish(self) -> None:
        self.reach(self._parts)
