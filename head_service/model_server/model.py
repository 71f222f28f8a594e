"""What a loaded version can do. `session.py` makes one of a SavedModel; tests make honest small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from twohop.wire import tfserving_pb2 as wire

Array = npt.NDArray[Any]

NO_TIMEOUT_MS = 0


class Model(Protocol):
    @property
    def signatures(self) -> Mapping[str, wire.SignatureDef]: ...

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        """Values of the tensors named in `fetches`, in order. Strings are object arrays of bytes. Raises ServingError with
        the runtime's own code and text; DEADLINE_EXCEEDED after `timeout_ms` (NO_TIMEOUT_MS: none)."""
        ...

    def close(self) -> None: ...


DEFAULT_SIGNATURE = "serving_default"
INT64 = np.iinfo(np.int64)
