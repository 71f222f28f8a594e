"""Texts into tokens: by the `tokenizers` library, assembled and cut by us, so that the count before the cut is known and exact.

Single: `[CLS] a [SEP]`, all types 0. Pair: `[CLS] a [SEP] b [SEP]`, types 0 to the first [SEP], then 1; a second text without
pieces makes it a single. RoBERTa's family says `<s> a </s></s> b </s>`, without types. Cut from the right: a single keeps its
first max_length - 2 pieces; a pair loses pieces one at a time from the longer text, from b where they are equal
(bert-as-service, reference 4.3). The truncation and the padding that a tokenizer.json may carry do not count.

A long text is tokenised in chunks cut where its tokenizer always parts words: linear in time (about 10 MB in 1.5 s) and in
memory bounded by the chunks, with the same pieces as in one go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.checkpoint import Architecture
from embedding_service.model.pieces import Pieces
from embedding_service.model.tokenizer_folder import load_pieces
from twohop.errors import Failed

CHUNK = 16_384              # characters
CHUNKS_AT_ONCE = 16


class Tokens(NamedTuple):
    """One text as the engine takes it. `total` counts tokens before the cut, special ones included."""

    ids: NDArray[np.int32]              # [T]
    types: NDArray[np.int32] | None     # [T] 0 or 1; None = all 0
    total: int


class Tokenizer:
    """The tokenizer of a model's folder, with one encoder's `max_length` (tokens, special ones counted).

    `marks_pairs`: a pair says where its second text begins by token type 1. Where the tokenizer has no types that is only
    right for a model that tells none apart, and then mask_special needs it to find the special tokens in the middle: those
    before the last token of type 0 have type 1.
    """

    def __init__(self, pieces: Pieces, max_length: int, *, marks_pairs: bool = True) -> None:
        self._pieces = pieces
        self._max_length = max_length
        self._marks_pairs = marks_pairs

    @classmethod
    def load(cls, folder: Path, max_length: int, architecture: Architecture | None = None) -> Tokenizer:
        """From tokenizer.json, else vocab.txt. Raises Failed where neither makes a tokenizer for a BERT, or where it has tokens
        that `architecture` has no vectors for."""
        pieces = load_pieces(folder)
        if architecture is not None and pieces.highest_id >= architecture.vocabulary:
            raise Failed(f"{folder}: the tokenizer has {pieces.highest_id + 1} tokens, config.json says "
                         f"{architecture.vocabulary}: they are not of one model", detail={"folder": str(folder)})
        marks = pieces.frame.typed or (architecture is not None and architecture.types < 2)
        return cls(pieces, max_length, marks_pairs=marks)

    def with_max_length(self, max_length: int) -> Tokenizer:
        """The same pieces, cut elsewhere; nothing is loaded again."""
        return Tokenizer(self._pieces, max_length, marks_pairs=self._marks_pairs)

    @property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint says about tokenisation."""
        return self._pieces.identity

    @property
    def vocabulary(self) -> list[str]:
        """All tokens in the order of their ids."""
        return self._pieces.vocabulary

    def encode_batch(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """`pairs`: None, or one per text, "" for no second text. For a thread: the work is Rust's and holds no lock.

        A text without word pieces becomes its special tokens alone. Raises ValueError if `pairs` are not one per text.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts with {len(pairs)} pairs")
        first = self._cut(texts)
        if pairs is None:
            return [self._single(*pieces) for pieces in first]
        return [self._pair(*a, *b) if b[1] else self._single(*a) for a, b in zip(first, self._cut(pairs), strict=True)]

    def _single(self, pieces: list[int], count: int) -> Tokens:
        frame = self._pieces.frame
        return Tokens(np.array([frame.cls, *pieces[: self._max_length - 2], frame.sep], np.int32), None, count + 2)

    def _pair(self, a: list[int], count_a: int, b: list[int], count_b: int) -> Tokens:
        frame = self._pieces.frame
        special = 2 + len(frame.between)
        keep_a, keep_b = _longest_first(count_a, count_b, max(0, self._max_length - special))
        ids = np.array([frame.cls, *a[:keep_a], *frame.between, *b[:keep_b], frame.sep], np.int32)[: self._max_length]
        types = None
        if self._marks_pairs:
            types = np.ones(len(ids), np.int32)
            types[: keep_a + 1] = 0
            types[keep_a + len(frame.between)] = 0
        return Tokens(ids, types, count_a + count_b + special)

    def _cut(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """(the first max_length ids at least, how many there are in all) of each text, without special tokens."""
        short = [text for text in texts if len(text) <= CHUNK]
        encoded = iter(self._pieces.encode(short))
        result = []
        for text in texts:
            if len(text) <= CHUNK:
                ids = next(encoded)
                result.append((ids, len(ids)))
            else:
                result.append(self._cut_long(text))
        return result

    def _cut_long(self, text: str) -> tuple[list[int], int]:
        chunks, count = chunked(text, self._pieces), 0
        kept: list[int] = []
        while some := list(islice(chunks, CHUNKS_AT_ONCE)):
            for encoding in self._pieces.encode_lazily(some):
                if len(kept) < self._max_length:
                    kept.extend(encoding.ids)
                count += len(encoding)
        return kept, count


def chunked(text: str, pieces: Pieces, size: int = CHUNK) -> Iterator[str]:
    """Pieces of `text` of about `size` characters that tokenise one by one as the whole does: cut before a character at
    which the tokenizer always parts words, and not inside a special token. What is left out is the rest of a word so long that it
    is [UNK] anyway; only other stretches without any parting make a longer chunk."""
    partings = "".join(char for char in set(text) if pieces.parts_before(char))
    parting = re.compile(f"[{re.escape(partings)}]" if partings else r"(?!)")

    def cuts(first: int, last: int) -> Iterator[int]:
        found = (match.start() for match in parting.finditer(text, first, last))
        return (at for at in found if not pieces.joins(text[at - 1 : at + 1]))

    start = 0
    while start + size < len(text):
        end, window = start + size, start + size - size // 4
        cut = max(cuts(window, end), default=None)
        resume = cut
        if cut is None:
            resume = next(cuts(end, len(text)), len(text))
            cut = end if pieces.is_overlong_word(text[window:end]) else resume
        yield text[start:cut]
        start = resume if resume is not None else len(text)
    if start < len(text):
        yield text[start:]


def _longest_first(a: int, b: int, room: int) -> tuple[int, int]:
    """How many of a and b pieces stay: popping from the longer until they fit, from b where they are equal."""
    if a + b <= room:
        return a, b
    half = room // 2
    if min(a, b) <= half:
        return (a, room - a) if a <= b else (room - b, b)
    return room - half, half
