"""Texts into word pieces: BERT's tokenisation by the `tokenizers` library, assembled and cut by us, so that the count
before the cut is known and exact.

Single: `[CLS] a [SEP]`, all types 0. Pair: `[CLS] a [SEP] b [SEP]`, types 0 to the first [SEP], then 1; a second text without
word pieces makes it a single. Cut from the right: a single keeps its first max_length - 2 pieces; a pair loses pieces one at
a time from the longer text, from b where they are equal (bert-as-service, reference 4.3). The truncation and the padding
that a tokenizer.json may carry do not count.

A long text is tokenised in chunks cut where BERT always parts words: linear in time (about 10 MB in 1.5 s) and in memory
bounded by the chunks, with the same pieces as in one go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.wordpiece import WordPiece, load_wordpiece

CHUNK = 16_384              # characters
CHUNKS_AT_ONCE = 16


class Tokens(NamedTuple):
    """One text as the engine takes it. `total` counts tokens before the cut, special ones included."""

    ids: NDArray[np.int32]              # [T]
    types: NDArray[np.int32] | None     # [T] 0 or 1; None = all 0
    total: int


class Tokenizer:
    """The tokenizer of a model's folder, with one encoder's `max_length` (tokens, special ones counted)."""

    def __init__(self, wordpiece: WordPiece, max_length: int) -> None:
        self._wordpiece = wordpiece
        self._max_length = max_length

    @classmethod
    def load(cls, folder: Path, max_length: int) -> Tokenizer:
        """From tokenizer.json, else vocab.txt. Raises Failed where neither makes a BERT WordPiece tokenizer."""
        return cls(load_wordpiece(folder), max_length)

    def with_max_length(self, max_length: int) -> Tokenizer:
        """The same word pieces, cut elsewhere; nothing is loaded again."""
        return Tokenizer(self._wordpiece, max_length)

    @property
    def identity(self) -> dict[str, Any]:
        """What the fingerprint says about tokenisation."""
        return self._wordpiece.identity

    @property
    def vocabulary(self) -> list[str]:
        """All tokens in the order of their ids."""
        return self._wordpiece.vocabulary

    def encode_batch(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """`pairs`: None, or one per text, "" for no second text. For a thread: the work is Rust's and holds no lock.

        A text without word pieces becomes its special tokens alone. Raises ValueError if `pairs` are not one per text.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts with {len(pairs)} pairs")
        first = self._pieces(texts)
        if pairs is None:
            return [self._single(*pieces) for pieces in first]
        return [self._pair(*a, *b) if b[1] else self._single(*a) for a, b in zip(first, self._pieces(pairs), strict=True)]

    def _single(self, pieces: list[int], count: int) -> Tokens:
        cls, sep = self._wordpiece.cls, self._wordpiece.sep
        return Tokens(np.array([cls, *pieces[: self._max_length - 2], sep], np.int32), None, count + 2)

    def _pair(self, a: list[int], count_a: int, b: list[int], count_b: int) -> Tokens:
        cls, sep = self._wordpiece.cls, self._wordpiece.sep
        keep_a, keep_b = _longest_first(count_a, count_b, self._max_length - 3)
        ids = np.array([cls, *a[:keep_a], sep, *b[:keep_b], sep], np.int32)
        types = np.ones(len(ids), np.int32)
        types[: keep_a + 2] = 0
        return Tokens(ids, types, count_a + count_b + 3)

    def _pieces(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """(the first max_length ids at least, how many there are in all) of each text, without special tokens."""
        short = [text for text in texts if len(text) <= CHUNK]
        encoded = iter(self._wordpiece.encode(short))
        result = []
        for text in texts:
            if len(text) <= CHUNK:
                ids = next(encoded)
                result.append((ids, len(ids)))
            else:
                result.append(self._pieces_of_long(text))
        return result

    def _pieces_of_long(self, text: str) -> tuple[list[int], int]:
        chunks, count = chunked(text, self._wordpiece), 0
        kept: list[int] = []
        while some := list(islice(chunks, CHUNKS_AT_ONCE)):
            for encoding in self._wordpiece.encode_lazily(some):
                if len(kept) < self._max_length:
                    kept.extend(encoding.ids)
                count += len(encoding)
        return kept, count


def chunked(text: str, wordpiece: WordPiece, size: int = CHUNK) -> Iterator[str]:
    """Pieces of `text` of about `size` characters that tokenise one by one as the whole does: cut before a character at
    which BERT always parts words, and not inside a special token. What is left out is the rest of a word so long that it is
    [UNK] anyway; only other stretches without any parting make a longer chunk."""
    partings = "".join(char for char in set(text) if wordpiece.parts_before(char))
    parting = re.compile(f"[{re.escape(partings)}]" if partings else r"(?!)")

    def cuts(first: int, last: int) -> Iterator[int]:
        found = (match.start() for match in parting.finditer(text, first, last))
        return (at for at in found if not wordpiece.joins(text[at - 1 : at + 1]))

    start = 0
    while start + size < len(text):
        end, window = start + size, start + size - size // 4
        cut = max(cuts(window, end), default=None)
        resume = cut
        if cut is None:
            resume = next(cuts(end, len(text)), len(text))
            cut = end if wordpiece.is_overlong_word(text[window:end]) else resume
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
