"""Stretches of an input that are encoded, kept and, after a kill, found again as one. Pure.

Where a window ends and which texts of it share a pack depend on the texts alone, so that a run that was interrupted gives
the bits of one that was not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from embedding_service.model.packing import Packer
from embedding_service.tools.texts_in import Row

WINDOW_CHARACTERS = 32 * 1024 * 1024
WINDOW_VECTOR_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sizes:
    """What bounds a window, and with it memory. `row_bytes`: of one vector; `most_rows`: vectors a text can have (1, or of
    a token encoder its longest text's tokens)."""

    texts: int
    row_bytes: int
    most_rows: int

    def vector_bytes(self, text: str) -> int:
        """About the most: a token has a character at least, as a rule, and [CLS] and [SEP] come with each text."""
        return self.row_bytes * min(self.most_rows, len(text) + 2)


@dataclass(frozen=True, slots=True)
class Window:
    """Rows first … first + len(texts) - 1 of the input. `digest`: 32 hex digits of its ids and texts."""

    number: int
    first: int
    ids: Sequence[int | str]
    texts: Sequence[str]
    reached: int                # Row.reached of its last row
    digest: str

    def __str__(self) -> str:
        return f"rows {self.first} to {self.first + len(self.texts) - 1}"


def windows(rows: Iterable[Row], sizes: Sizes) -> Iterator[Window]:
    """Each row in one window, in order."""
    number = first = characters = vector_bytes = 0
    some: list[Row] = []
    for row in rows:
        size = sizes.vector_bytes(row.text)
        if some and (
            len(some) == sizes.texts
            or characters + len(row.text) > WINDOW_CHARACTERS
            or vector_bytes + size > WINDOW_VECTOR_BYTES
        ):
            yield _window(number, first, some)
            number, first = number + 1, first + len(some)
            some, characters, vector_bytes = [], 0, 0
        some.append(row)
        characters += len(row.text)
        vector_bytes += size
    if some:
        yield _window(number, first, some)


def packs(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Which texts of these `lengths` (in tokens) run together, in packs of about `tokens`, each text in one.

    Longest first, each into the block with the least room that still holds it: over a whole window the blocks come out full
    (1 % filler; packs of texts of one length have 28 %).
    """
    return [list(placement.sequences) for placement in Packer(feed_tokens=tokens).place(lengths)]


def _window(number: int, first: int, rows: Sequence[Row]) -> Window:
    ids, texts = [row.id for row in rows], [row.text for row in rows]
    content = json.dumps([ids, texts], ensure_ascii=False).encode()
    return Window(number, first, ids, texts, rows[-1].reached, hashlib.sha256(content).hexdigest()[:32])
