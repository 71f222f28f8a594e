"""TF-Serving's errors: a canonical code and its text, the same over gRPC and REST.

They stand beside twohop's own tree on purpose. What this server answers is TF-Serving's affair, to the letter and
without trailers of ours; the client's table in `twohop.status` reads it like any other TF-Serving's answer.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """absl's canonical codes; gRPC's and TensorFlow's are the same numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServingError(Exception):
    """A request, a load or the start failed. As a string it reads like absl's: `NOT_FOUND: Servable not found …`."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)
