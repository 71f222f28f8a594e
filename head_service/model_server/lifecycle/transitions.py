"""The decision what to do next about one model's versions, availability first: a new version is loaded before the old
one goes. A function of values; who acts on it is `reconciler`'s affair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Phase(Enum):
    """Where a version stands. FAILED is not left while the version is wanted: it is not tried again."""

    NEW = "new"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class Standing:
    version: int
    phase: Phase
    is_wanted: bool


@dataclass(frozen=True)
class Action:
    do: Literal["load", "unload"]
    version: int


def decide(standings: Iterable[Standing]) -> Action | None:
    """One action, or none. Unloading first: the lowest ready version that is not wanted, once a wanted one is ready, or
    none is wanted at all, or several unwanted ones are ready. Else the highest wanted new version is loaded."""
    known = list(standings)
    unwanted_ready = [each.version for each in known if each.phase is Phase.READY and not each.is_wanted]
    wanted = [each for each in known if each.is_wanted]
    may_go = not wanted or any(each.phase is Phase.READY for each in wanted) or len(unwanted_ready) > 1
    if unwanted_ready and may_go:
        return Action("unload", min(unwanted_ready))
    new = [each.version for each in wanted if each.phase is Phase.NEW]
    return Action("load", max(new)) if new else None
