"""What became of every version since the start: what GetModelStatus tells. Ended versions are never forgotten."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import IntEnum

from head_service.model_server.status import ServingError


class State(IntEnum):
    """TF-Serving's, by number."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class Record:
    """`error`: why the version ended, where it did not end well."""

    version: int
    state: State
    error: ServingError | None = None


class History:
    """Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, dict[int, Record]] = {}

    def note(self, name: str, record: Record) -> None:
        with self._lock:
            self._models.setdefault(name, {})[record.version] = record

    def of(self, name: str) -> list[Record]:
        """Newest version first; empty for a model that was never seen."""
        with self._lock:
            records = list(self._models.get(name, {}).values())
        return sorted(records, key=lambda record: -record.version)
