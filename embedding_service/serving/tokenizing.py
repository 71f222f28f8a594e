"""Texts into tokens without holding up the event loop: short ones at once, long ones on threads, a piece at a time.

The work is Rust's and holds no interpreter lock. A short text takes 15 us, less than handing it to a thread would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from embedding_service.model.encoder import Encoder, Tokens

INLINE_CHARACTERS = 2048        # about 0.5 ms
PIECE_CHARACTERS = 128 * 1024   # about 20 ms; between pieces a caller who has left is noticed, and others get their turn
USUAL_CHARACTERS = 5.0          # of a token, until texts have been seen
WEIGHT = 0.05                   # of a request, in how many characters a token has here


class Tokenizing:
    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tokenize")
        self._characters = USUAL_CHARACTERS

    async def tokens(
        self, encoder: Encoder, texts: Sequence[str], pairs: Sequence[str] | None, admit: Callable[[float], None]
    ) -> list[Tokens]:
        """One per text. `pairs`: None, or one per text. `admit` is asked before the work, with the tokens that there will be,
        and after it, if it took a while, with those there are; raises what that raises."""
        sizes = _sizes(texts, pairs)
        admit(self._expected(encoder, sizes))
        if sum(sizes) <= INLINE_CHARACTERS:
            found = encoder.encode_batch(texts, pairs or None)
        else:
            found = await self._on_threads(encoder, texts, pairs, sizes)
            admit(sum(len(each.ids) for each in found))
        characters = sum(sizes) / max(sum(each.total - 2 for each in found), 1)
        self._characters += WEIGHT * (max(characters, 1.0) - self._characters)
        return found

    def _expected(self, encoder: Encoder, sizes: Sequence[int]) -> float:
        """How many tokens texts of so many characters will have, about."""
        most = (encoder.max_length - 2) * self._characters
        return 2 * len(sizes) + sum(map(min, sizes, repeat(most))) / self._characters

    async def _on_threads(
        self, encoder: Encoder, texts: Sequence[str], pairs: Sequence[str] | None, sizes: Sequence[int]
    ) -> list[Tokens]:
        loop = asyncio.get_running_loop()
        found: list[Tokens] = []
        for piece in pieces(sizes):
            some = texts[piece]
            found += await loop.run_in_executor(self._pool, encoder.encode_batch, some, pairs[piece] if pairs else None)
        return found

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _sizes(texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
    """Characters of each text, with its pair."""
    if not pairs:
        return list(map(len, texts))
    return [len(text) + len(pair) for text, pair in zip(texts, pairs, strict=True)]


def pieces(sizes: Sequence[int], limit: int = PIECE_CHARACTERS) -> Iterator[slice]:
    """Consecutive stretches of about `limit` characters that cover all texts; a longer text is one of its own."""
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and total + size > limit:
            yield slice(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))
