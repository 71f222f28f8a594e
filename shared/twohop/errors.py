"""One tree of errors for both services and their callers. Servers raise it, one place per front translates it, the
client raises the same class again.

    TwoHopError
    ├── InvalidInput        INVALID_ARGUMENT     400   empty or bad input, too many texts
    ├── NotFound            NOT_FOUND            404   unknown encoder, head, method
    ├── EncoderMismatch     FAILED_PRECONDITION  412   the fingerprints differ
    ├── TooLarge            RESOURCE_EXHAUSTED   413   message too large; asking again cannot help
    ├── Overloaded          RESOURCE_EXHAUSTED   429   queue full by predicted wait; says when to come again
    ├── Unavailable         UNAVAILABLE          503   starting, draining, worker cannot be replaced
    ├── DeadlineExceeded    DEADLINE_EXCEEDED    504   the caller's time is over
    ├── Cancelled           CANCELLED            499   the caller gave up
    ├── ModelError          INTERNAL             500   this input breaks the model
    ├── Unauthenticated     UNAUTHENTICATED      401   not allowed
    └── Failed              (never on a wire)          a command could not do its work: files, extras, ports
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class TwoHopError(Exception):
    """What went wrong, for a person (`message`) and for a program (`detail`, JSON-able, at most 1 KiB).

    `retry_after_s` is set where asking again later makes sense and the server knows when.
    """

    grpc_code: ClassVar[str] = "UNKNOWN"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, detail: Mapping[str, Any] | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail: dict[str, Any] = dict(detail or {})
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross the pipe from worker to service: keyword arguments must survive pickling."""
        return _rebuild, (type(self), self.message, self.detail, self.retry_after_s)

    def as_json(self) -> dict[str, Any]:
        """The error object of every HTTP route and `--json` command of ours."""
        return {"error": {"type": type(self).__name__, "message": self.message, "detail": self.detail}}


def _rebuild(kind: type[TwoHopError], message: str, detail: dict[str, Any], retry_after_s: float | None) -> TwoHopError:
    return kind(message, detail=detail, retry_after_s=retry_after_s)


class InvalidInput(TwoHopError):
    grpc_code, http_status = "INVALID_ARGUMENT", 400


class NotFound(TwoHopError):
    grpc_code, http_status = "NOT_FOUND", 404


class EncoderMismatch(TwoHopError):
    grpc_code, http_status = "FAILED_PRECONDITION", 412


class TooLarge(TwoHopError):
    grpc_code, http_status = "RESOURCE_EXHAUSTED", 413


class Overloaded(TwoHopError):
    grpc_code, http_status = "RESOURCE_EXHAUSTED", 429


class Unavailable(TwoHopError):
    grpc_code, http_status = "UNAVAILABLE", 503


class DeadlineExceeded(TwoHopError):
    grpc_code, http_status = "DEADLINE_EXCEEDED", 504


class Cancelled(TwoHopError):
    grpc_code, http_status = "CANCELLED", 499


class ModelError(TwoHopError):
    grpc_code, http_status = "INTERNAL", 500


class Unauthenticated(TwoHopError):
    grpc_code, http_status = "UNAUTHENTICATED", 401


class Failed(TwoHopError):
    """A command could not do its work on this machine: a file, a folder, a port, a missing extra or missing weights."""


ON_THE_WIRE: tuple[type[TwoHopError], ...] = (
    InvalidInput, NotFound, EncoderMismatch, TooLarge, Overloaded,
    Unavailable, DeadlineExceeded, Cancelled, ModelError, Unauthenticated,
)
BY_NAME: Mapping[str, type[TwoHopError]] = {kind.__name__: kind for kind in ON_THE_WIRE}
