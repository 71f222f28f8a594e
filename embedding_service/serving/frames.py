"""What service and worker say to each other over their socket: framed raw bytes, made and read here and nowhere else.

A frame is a header (kind, batch number, payload bytes) and its payload. Vectors travel as they lie in memory, so that a
single text's way there and back costs tens of microseconds. Both ends are one version of this program on one machine.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from embedding_service.model.encoder import Item as Triple
from embedding_service.serving.cost_model import Measured
from embedding_service.serving.item import Item, Vectors
from twohop.errors import TwoHopError

HEADER = struct.Struct("=BxxxIQ")
_RUN = struct.Struct("=I")
_DONE = struct.Struct("=ddII")


class Kind(IntEnum):
    READY = 1       # worker: loaded, checked and warm
    FAILED = 2      # worker: cannot start
    RUN = 3         # service: a batch, for the stream whose socket it comes through
    RUN_ALONE = 4   # service: a batch, for the whole machine
    DONE = 5        # worker: its vectors
    RAISED = 6      # worker: the model raised


@dataclass(frozen=True)
class Ready:
    """`measured`: what batches cost, for each set of weights."""

    numerics: str
    streams: int
    measured: Sequence[Measured]


@dataclass(frozen=True)
class Done:
    """`vectors` float32 [rows, D] per item; computed from `began` to `ended`, of time.monotonic(), which all processes of a
    machine share; tokens of `filler` that were computed beside the texts."""

    vectors: Sequence[Vectors]
    began: float
    ended: float
    filler: int

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def frame(kind: Kind, batch: int, payload: bytes) -> bytes:
    return HEADER.pack(kind, batch, len(payload)) + payload


def pack_object(value: Ready | TwoHopError) -> bytes:
    return pickle.dumps(value)


def unpack_object(payload: bytes) -> Any:
    """Only for what our own worker process sent."""
    return pickle.loads(payload)


def pack_run(items: Sequence[Item]) -> bytes:
    about = np.array([(item.encoder, item.tokens, item.types is not None) for item in items], np.int32)
    arrays = [array for item in items for array in (item.ids, item.types) if array is not None]
    return b"".join((_RUN.pack(len(items)), about.tobytes(), *(array.astype(np.int32, copy=False).tobytes() for array in arrays)))


def unpack_run(payload: bytes) -> list[Triple]:
    (count,) = _RUN.unpack_from(payload)
    flat = np.frombuffer(payload, np.int32, offset=_RUN.size)
    items: list[Triple] = []
    at = 3 * count
    for encoder, length, has_types in flat[:at].reshape(count, 3).tolist():
        middle = at + length
        end = middle + (length if has_types else 0)
        items.append((encoder, flat[at:middle], flat[middle:end] if has_types else None))
        at = end
    return items


def pack_done(done: Done) -> bytes:
    shapes = np.array([array.shape for array in done.vectors], np.int32)
    head = _DONE.pack(done.began, done.ended, done.filler, len(done.vectors))
    return b"".join((head, shapes.tobytes(), *(array.tobytes() for array in done.vectors)))


def unpack_done(payload: bytes) -> Done:
    """The vectors are views of `payload`."""
    began, ended, filler, count = _DONE.unpack_from(payload)
    shapes = np.frombuffer(payload, np.int32, 2 * count, _DONE.size).reshape(count, 2).tolist()
    numbers = np.frombuffer(payload, np.float32, offset=_DONE.size + 8 * count)
    vectors, at = [], 0
    for rows, dimension in shapes:
        vectors.append(numbers[at : at + rows * dimension].reshape(rows, dimension))
        at += rows * dimension
    return Done(vectors, began, ended, filler)


class Reader:
    """Frames out of a stream of bytes that arrives in pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, int, bytes]]:
        """The frames (kind, batch number, payload) that are complete with `data`."""
        self._buffer += data
        frames, at = [], 0
        while len(self._buffer) - at >= HEADER.size:
            kind, batch, size = HEADER.unpack_from(self._buffer, at)
            end = at + HEADER.size + size
            if len(self._buffer) < end:
                break
            frames.append((Kind(kind), batch, bytes(memoryview(self._buffer)[at + HEADER.size : end])))
            at = end
        if at:
            del self._buffer[:at]
        return frames
