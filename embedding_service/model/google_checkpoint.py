"""Reads a TensorFlow checkpoint ("tensor bundle": PREFIX.index, PREFIX.data-00000-of-00001) without TensorFlow.

The index is a LevelDB table (tensorflow/core/lib/io/format.cc): blocks of keys that share prefixes, each followed by a byte
for its compression and a CRC; the last 48 bytes say where the block of blocks is. A key is a tensor's name, its value a
BundleEntryProto (tensorflow/core/protobuf/tensor_bundle.proto); the key "" holds the header. Every CRC is checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.crc32c import masked_crc32c
from twohop.errors import Failed

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER_BYTES, TRAILER_BYTES = 48, 5
# TensorFlow's DataType -> numpy's; bfloat16 is the upper half of a float32.
KINDS = {1: "<f4", 2: "<f8", 14: "<u2", 19: "<f2"}
BFLOAT16 = 14

Fields = dict[int, list[int | bytes]]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor's bytes are, and what their masked CRC-32C must be. `parts`: of a partitioned variable, not read."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    parts: int


class GoogleCheckpoint:
    """`prefix`: the path without `.index`. Raises Failed, naming the file, for what is missing, damaged or of another format."""

    def __init__(self, prefix: Path) -> None:
        self.index = prefix.with_name(f"{prefix.name}.index")
        self._prefix = prefix
        self._data: dict[int, NDArray[np.uint8]] = {}
        try:
            pairs = dict(_table(self.index.read_bytes()))
            header = _fields(pairs.pop(b""))
            self._shards = _number(header, 1)
            self.entries = {key.decode(): _entry(_fields(value)) for key, value in pairs.items()}
        except OSError as error:
            raise self._failed(self.index, f"cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, IndexError) as error:
            raise self._failed(self.index, f"is damaged or no TensorFlow checkpoint index ({error})") from error
        if _number(header, 2):
            raise self._failed(self.index, "was written by a big-endian machine, which is not supported")

    def float32(self, name: str) -> NDArray[np.float32]:
        """One tensor as TensorFlow stores it: matrices as [in, out]. Raises Failed naming the file if it is not intact."""
        entry = self.entries[name]
        path = self._shard_path(entry.shard)
        if entry.kind not in KINDS or entry.parts:
            what = "in parts" if entry.parts else f"as TensorFlow's type {entry.kind}, which is no floating-point number"
            raise self._failed(self.index, f"holds {name} {what}: not supported")
        data = self._shard(entry.shard)[entry.offset : entry.offset + entry.size]
        if len(data) < entry.size or entry.size != math.prod(entry.shape) * np.dtype(KINDS[entry.kind]).itemsize:
            raise self._failed(path, f"is cut off at tensor {name}: copy or download it again")
        if masked_crc32c(data) != entry.crc:
            raise self._failed(path, f"is damaged at tensor {name} (its checksum differs): copy or download it again")
        stored = data.view(KINDS[entry.kind])
        if entry.kind == BFLOAT16:
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=False).reshape(entry.shape)

    def _shard(self, number: int) -> NDArray[np.uint8]:
        if number not in self._data:
            path = self._shard_path(number)
            try:
                self._data[number] = np.memmap(path, np.uint8, "r")
            except (OSError, ValueError) as error:
                raise self._failed(path, f"cannot be read: {error}; it belongs beside {self.index.name}") from error
        return self._data[number]

    def _shard_path(self, number: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.data-{number:05d}-of-{self._shards:05d}")

    def _failed(self, path: Path, what: str) -> Failed:
        return Failed(f"{path} {what}", detail={"file": str(path)})


def _table(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a LevelDB table. Raises ValueError or IndexError where it is none."""
    if len(raw) < FOOTER_BYTES or not raw.endswith(MAGIC):
        raise ValueError("it does not end as a table does")
    footer = raw[-FOOTER_BYTES:]
    at = 0
    for _ in range(2):                                  # the block of metadata: not used
        _, at = _varint(footer, at)
    for _, handle in _block(raw, footer, at):
        yield from _block(raw, handle, 0)


def _block(raw: bytes, handle: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of the block that `handle` (offset, size) points to."""
    offset, at = _varint(handle, at)
    size, _ = _varint(handle, at)
    content, trailer = raw[offset : offset + size + 1], raw[offset + size : offset + size + TRAILER_BYTES]
    if len(trailer) < TRAILER_BYTES or masked_crc32c(content) != int.from_bytes(trailer[1:], "little"):
        raise ValueError("a checksum differs")
    if trailer[0]:
        raise ValueError("it is compressed")
    restarts = int.from_bytes(content[size - 4 : size], "little")
    end, at, key = size - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(content, at)
        own, at = _varint(content, at)
        length, at = _varint(content, at)
        key = key[:shared] + content[at : at + own]
        at += own
        yield key, content[at : at + length]
        at += length


def _entry(of: Fields) -> Entry:
    shape = _fields(_bytes(of, 2))
    sizes = tuple(_number(_fields(dimension), 1) for dimension in shape.get(2, []) if isinstance(dimension, bytes))
    return Entry(_number(of, 1), sizes, _number(of, 3), _number(of, 4), _number(of, 5), _number(of, 6), len(of.get(7, [])))


def _fields(message: bytes) -> Fields:
    """A protobuf message by field number: varints and fixed32 as int, the rest as bytes."""
    found: Fields = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(message, at)
        elif wire == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
            value, at = int.from_bytes(message[at : at + width], "little"), at + width
        else:
            raise ValueError(f"unknown wire type {wire}")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _number(of: Fields, field: int) -> int:
    value = of.get(field, [0])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {field} is no number")
    return value


def _bytes(of: Fields, field: int) -> bytes:
    value = of.get(field, [b""])[-1]
    if not isinstance(value, bytes):
        raise ValueError(f"field {field} is no message")
    return value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
