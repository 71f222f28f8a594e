"""The boundary between the error tree and gRPC statuses, both ways. Nothing else knows the trailers' names.

Trailers on every status of ours that is not OK: `twohop-error` the class, `twohop-detail` JSON of at most 1 KiB,
`grpc-retry-pushback-ms` where the server knows when to come again (gRFC A6).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from twohop.errors import (
    BY_NAME,
    Cancelled,
    DeadlineExceeded,
    EncoderMismatch,
    InvalidInput,
    ModelError,
    NotFound,
    Overloaded,
    TooLarge,
    TwoHopError,
    Unauthenticated,
    Unavailable,
)

ERROR_KEY = "twohop-error"
DETAIL_KEY = "twohop-detail"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
MAX_DETAIL_BYTES = 1024

_BY_CODE: dict[str, type[TwoHopError]] = {
    "INVALID_ARGUMENT": InvalidInput,
    "OUT_OF_RANGE": InvalidInput,
    "NOT_FOUND": NotFound,
    "UNIMPLEMENTED": NotFound,
    "FAILED_PRECONDITION": EncoderMismatch,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Unauthenticated,
}


def to_trailers(error: TwoHopError) -> tuple[tuple[str, str], ...]:
    """The trailing metadata that carries an error over gRPC beside its status code and message."""
    trailers = [(ERROR_KEY, type(error).__name__), (DETAIL_KEY, _short(error.detail))]
    if error.retry_after_s is not None:
        trailers.append((PUSHBACK_KEY, str(max(1, round(error.retry_after_s * 1000)))))
    return tuple(trailers)


def _short(detail: Mapping[str, object]) -> str:
    """As JSON of at most MAX_DETAIL_BYTES: what is largest is left out first."""
    kept = {key: json.dumps(value, separators=(",", ":")) for key, value in detail.items()}
    while True:
        text = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in kept.items()) + "}"
        if len(text) <= MAX_DETAIL_BYTES:
            return text
        del kept[max(kept, key=lambda key: len(kept[key]))]


def from_status(code: str, message: str, trailers: Iterable[tuple[str, str | bytes]]) -> TwoHopError:
    """The error that a failed call stands for. `code` is the status name, such as "NOT_FOUND"; a status without
    `twohop-error` was made by gRPC or TF-Serving and is read by its code and text."""
    found = {key: value if isinstance(value, str) else value.decode("utf-8", "replace") for key, value in trailers}
    kind = BY_NAME.get(found.get(ERROR_KEY, "")) or _foreign(code, message)
    return kind(message, detail=_detail(found.get(DETAIL_KEY)), retry_after_s=_pushback_s(found.get(PUSHBACK_KEY)))


def _foreign(code: str, message: str) -> type[TwoHopError]:
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in message:
        return TooLarge
    if "Serving signature key" in message:
        return EncoderMismatch
    return _BY_CODE.get(code, ModelError)


def _detail(text: str | None) -> dict[str, object]:
    try:
        detail = json.loads(text) if text else {}
    except ValueError:
        return {}
    return detail if isinstance(detail, dict) else {}


def _pushback_s(text: str | None) -> float | None:
    try:
        return int(text) / 1000 if text is not None and int(text) >= 0 else None
    except ValueError:
        return None
