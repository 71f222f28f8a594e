"""The versions that can answer, and who is using them. A version that is withdrawn lives on until its last request ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from head_service.model_server.model import Model
from head_service.model_server.status import Code, ServingError


@dataclass
class Servable:
    """One version of one model. `users`: requests under way; guarded by the owner's lock."""

    name: str
    version: int
    model: Model
    users: int = 0


class Available:
    """Threads may share it. "Latest" is the highest version that is here, so while N+1 loads, N answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, dict[int, Servable]] = {}

    def publish(self, servable: Servable) -> None:
        with self._lock:
            self._models.setdefault(servable.name, {})[servable.version] = servable

    def withdraw(self, servable: Servable) -> None:
        """No new request gets it; those under way keep it."""
        with self._lock:
            versions = self._models[servable.name]
            del versions[servable.version]
            if not versions:
                del self._models[servable.name]

    def is_idle(self, servable: Servable) -> bool:
        with self._lock:
            return servable.users == 0

    @contextmanager
    def use(self, name: str, version: int | None) -> Iterator[Servable]:
        """The version asked for, or the latest, for as long as the block runs. Raises ServingError: NOT_FOUND."""
        with self._lock:
            servable = self._find(name, version)
            servable.users += 1
        try:
            yield servable
        finally:
            with self._lock:
                servable.users -= 1

    def _find(self, name: str, version: int | None) -> Servable:
        versions = self._models.get(name, {})
        chosen = max(versions, default=None) if version is None else version
        if chosen is None or chosen not in versions:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
        return versions[chosen]
