"""Which heads the gateway offers: those of a repository, followed live, or those that its flags name."""

from __future__ import annotations

from collections.abc import Sequence

from head_service.gateway.fleet import Offer


class NamedHeads:
    """Fixed names; all else about them is what hop 2 says."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(dict.fromkeys(names))

    def offers(self) -> list[Offer]:
        return [Offer(name, models=(name,)) for name in self._names]
