"""Vectors of texts that were asked before, in memory bounded in bytes; who was asked for longest ago goes first.

An entry is one `bytes`, its counts in front of its numbers: nothing in it can be changed, nothing in it keeps a batch's
buffer alive, and the collector has nothing to walk through however many entries there are.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np

from embedding_service.serving.item import Vectors

# 24 bytes of digest take as much memory as 16, and no two texts will ever share one.
DIGEST_BYTES = 24
# What an entry takes beside its numbers. Measured while entries come and go: key, header, the dictionary's slots and links come
# to at most 348 bytes (a test holds that), the allocator's rounding to at most 31 more.
ENTRY_BYTES = 384

_HEADER = struct.Struct("=IIII")        # rows, dimension, tokens, tokens before the cut


class Entry(NamedTuple):
    """`vectors` float32 [rows, D], read-only; `tokens` of the text after and `total` before it was cut."""

    vectors: Vectors
    tokens: int
    total: int


def keys(identity: str, numerics: str, texts: Sequence[str], pairs: Sequence[str] = ()) -> list[bytes]:
    """One per text. `identity`: the encoder's, in full; `pairs`: none, or one per text, "" for no second."""
    start = hashlib.blake2b(f"{identity}\0{numerics}\0".encode(), digest_size=DIGEST_BYTES)
    found = []
    for text, pair in zip(texts, pairs or repeat(""), strict=False):
        raw = text.encode("utf-8", "surrogatepass")
        digest = start.copy()
        digest.update(b"%d\0" % len(raw))       # where the text ends and its pair begins
        digest.update(raw)
        digest.update(pair.encode("utf-8", "surrogatepass"))
        found.append(digest.digest())
    return found


class Cache:
    """At most `capacity` bytes, all that an entry takes counted. What is larger than that is not kept."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0           # bytes
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, wanted: Iterable[bytes]) -> dict[bytes, Entry]:
        """Those of the keys that are there; being found makes them the last to go."""
        found = {}
        for key in wanted:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
                if key not in found:
                    found[key] = _unpack(value)
        return found

    def put(self, key: bytes, vectors: Vectors, tokens: int, total: int) -> None:
        """Keeps a copy of `vectors` float32 [rows, D]."""
        if ENTRY_BYTES + vectors.nbytes > self.capacity:
            return
        self._drop(self._entries.pop(key, None))
        self._entries[key] = _HEADER.pack(*vectors.shape, tokens, total) + vectors.tobytes()
        self.size += ENTRY_BYTES + vectors.nbytes
        while self.size > self.capacity:
            self._drop(self._entries.popitem(last=False)[1])

    def _drop(self, value: bytes | None) -> None:
        if value is not None:
            self.size -= ENTRY_BYTES + len(value) - _HEADER.size


def _unpack(value: bytes) -> Entry:
    rows, dimension, tokens, total = _HEADER.unpack_from(value)
    numbers = np.frombuffer(value, np.float32, offset=_HEADER.size)
    return Entry(numbers.reshape(rows, dimension), tokens, total)
