"""Where each sequence lies: best-fit packing into blocks of tokens, blocks into feeds of few and short shapes. Pure.

A feed is n blocks of B tokens, run as one [n, B] array. Several sequences share a block and none crosses one, so that
attention costs B per token and not the length of the pack; what is left of a block is filler. What fits one feed gets the
shape that costs least; more is dealt out over blocks of 64 first (a longer sequence opens a block of its own length).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

BLOCK = 64
STEP = 16               # sizes of blocks are multiples of it: others cost bf16 and int8 6 to 12 % more a row
FEED_TOKENS = 512       # most tokens of a feed: enough for full speed (measured flat from 320 to 1024)
FEED_ROWS = 576         # most rows of one, filler included
WIDEST = 256            # largest block for sequences that fit a shorter one

# Measured, in rows: what attention costs each row for every token of its block, and what a feed costs beside its rows; and of
# all that, what it costs where a model was compiled for this one shape.
ATTENTION = 0.0009
ANOTHER_FEED = 20
COMPILED = 0.95

Shape = tuple[int, int]     # blocks, size
FULL: Shape = (FEED_TOKENS // BLOCK, BLOCK)


@dataclass(frozen=True, slots=True)
class Placement:
    """One feed: `sequences[k]` starts at row `starts[k]` of the [blocks * size] rows, in ascending order of rows."""

    blocks: int
    size: int
    sequences: tuple[int, ...]
    starts: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        return self.blocks, self.size


@dataclass(frozen=True, slots=True)
class Packer:
    """`step`: a feed of a single block of up to 64 has a multiple of it, which divides 16. `feed_tokens`: rounded up to whole
    blocks it is what a feed may hold; a longer sequence has its own. `compiled`: a shape that costs less (it has a model)."""

    step: int = STEP
    feed_tokens: int = FEED_TOKENS
    compiled: Shape | None = None

    def place(self, lengths: Sequence[int]) -> list[Placement]:
        """Feeds that hold every sequence exactly once. `lengths` are at least 1, in tokens."""
        longest_first = _longest_first(range(len(lengths)), lengths)
        together = self._together(longest_first, lengths) if 0 < sum(lengths) <= min(self.feed_tokens, FEED_TOKENS) else None
        if together and (len(lengths) == 1 or together.size <= BLOCK):
            return [together]
        apart = list(self._apart(longest_first, lengths))
        return [together] if together and self._cost(together) <= sum(map(self._cost, apart)) else apart

    def _together(self, longest_first: Sequence[int], lengths: Sequence[int]) -> Placement | None:
        """In one feed of the cheapest shape that holds them; None where every shape that does would be filler for the most
        part."""
        total = sum(lengths[index] for index in longest_first)
        longest = lengths[longest_first[0]]
        for count, size in _candidates(_round_up(total, self.step), _round_up(longest, STEP), self.compiled):
            blocks = _best_fit(longest_first, lengths, [size] * count)
            if len(blocks) == count:
                return _placement(size, [block for _, block in blocks], lengths)
        return None

    def _apart(self, longest_first: Sequence[int], lengths: Sequence[int]) -> Iterator[Placement]:
        """Dealt out to blocks of 64 and of multiples of it, blocks of one size to feeds; each feed in its cheapest shape."""
        by_size: dict[int, list[list[int]]] = {}
        for size, block in _best_fit(longest_first, lengths, ()):
            by_size.setdefault(size, []).append(block)
        for size, blocks in sorted(by_size.items(), reverse=True):
            # Spread evenly: two feeds of 5 and 6 blocks keep two cores busy, feeds of 8 and 3 do not.
            feeds = -(-len(blocks) // max(1, _round_up(self.feed_tokens, BLOCK) // size))
            for feed in range(feeds):
                whole = _placement(size, blocks[feed::feeds], lengths)
                tokens = sum(lengths[sequence] for sequence in whole.sequences)
                ordered = _longest_first(whole.sequences, lengths)
                short = self._together(ordered, lengths) if tokens <= FEED_TOKENS else None
                yield short if short and self._cost(short) < self._cost(whole) else whole

    def _cost(self, placement: Placement) -> float:
        return _cost(placement.shape, self.compiled)


def shapes(longest: int, *, step: int = STEP, rows: int = FEED_ROWS) -> Iterator[Shape]:
    """All shapes of up to so many rows that `place` makes for sequences of up to `longest` tokens."""
    for size in range(step, BLOCK, step):
        if size % STEP:
            yield 1, size
    for size in range(STEP, max(_round_up(longest, BLOCK), WIDEST) + 1, STEP):
        for blocks in range(1, max(1, rows // size) + 1):
            yield blocks, size


@lru_cache(maxsize=4096)
def _candidates(total: int, longest: int, compiled: Shape | None) -> tuple[Shape, ...]:
    """Shapes that may hold `total` tokens, cheapest first."""
    most = min(FEED_ROWS, total + max(BLOCK, total // 4))
    found = {(1, total)} if total <= BLOCK else set()
    for size in range(longest, max(longest, WIDEST) + 1, STEP):
        found.update((blocks, size) for blocks in range(-(-total // size), most // size + 1))
    return tuple(sorted(found, key=lambda shape: _cost(shape, compiled)))


def _cost(shape: Shape, compiled: Shape | None) -> float:
    blocks, size = shape
    return (COMPILED if shape == compiled else 1) * (ANOTHER_FEED + blocks * size * (1 + ATTENTION * size))


def _longest_first(sequences: Iterable[int], lengths: Sequence[int]) -> list[int]:
    return sorted(sequences, key=lambda index: -lengths[index])


def _best_fit(longest_first: Sequence[int], lengths: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, list[int]]]:
    """(size, sequences) of each block: those of `sizes`, and more where one finds no room (of its own length, rounded up to
    64). Each sequence goes into the block with the least room that still holds it."""
    blocks: list[tuple[int, list[int]]] = [(size, []) for size in sizes]
    room = sorted((size, block) for block, size in enumerate(sizes))        # (free tokens, block)
    for sequence in longest_first:
        length = lengths[sequence]
        at = bisect.bisect_left(room, (length, -1))
        if at == len(room):
            size = _round_up(length, BLOCK)
            room.append((size, len(blocks)))
            blocks.append((size, []))
        free, block = room.pop(at)
        blocks[block][1].append(sequence)
        bisect.insort(room, (free - length, block))
    return blocks


def _placement(size: int, blocks: Sequence[Sequence[int]], lengths: Sequence[int]) -> Placement:
    sequences, starts = [], []
    for number, block in enumerate(blocks):
        start = number * size
        for sequence in block:
            sequences.append(sequence)
            starts.append(start)
            start += lengths[sequence]
    return Placement(len(blocks), size, tuple(sequences), tuple(starts))


def _round_up(tokens: int, step: int) -> int:
    return -(-tokens // step) * step
