"""Whether work of one kind is quick enough to be done on the spot, judged by how long it took lately."""

from __future__ import annotations

QUICK_S = 0.002
FADING = 0.9                # of the slowest run seen lately, per run


class Quickness:
    """Unknown work is not quick. Threads may share it: a lost update costs nothing."""

    def __init__(self) -> None:
        self._slowest_s = QUICK_S

    @property
    def is_quick(self) -> bool:
        return self._slowest_s < QUICK_S

    def took(self, seconds: float) -> None:
        self._slowest_s = max(seconds, self._slowest_s * FADING)
