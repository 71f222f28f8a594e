"""Texts into tokens without holding up the event loop: short ones at once, long ones on threads, a piece at a time.

The work is Rust's and holds no interpreter lock. A short text takes 15 us, less than handing it to a thread would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from embedding_service.model.encoder import Encoder, Tokens

INLINE_CHARACTERS = 2048        # about 0.5 ms
PIECE_CHARACTERS = 128 * 1024   # about 20 ms; between pieces a caller who has left is noticed, and others get their turn


class Tokenizing:
    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tokenize")

    async def tokens(self, encoder: Encoder, texts: Sequence[str], pairs: Sequence[str] | None) -> list[Tokens]:
        """One per text. `pairs`: None, or one per text."""
        sizes = [len(text) for text in texts]
        if pairs:
            sizes = [size + len(pair) for size, pair in zip(sizes, pairs, strict=True)]
        if sum(sizes) <= INLINE_CHARACTERS:
            return encoder.encode_batch(texts, pairs or None)
        loop = asyncio.get_running_loop()
        found: list[Tokens] = []
        for piece in pieces(sizes):
            some = texts[piece]
            found += await loop.run_in_executor(self._pool, encoder.encode_batch, some, pairs[piece] if pairs else None)
        return found

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


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
