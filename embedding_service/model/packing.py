"""Where each sequence lies: best-fit packing into blocks of tokens, blocks into feeds of a few known shapes. Pure.

A feed is n blocks of B tokens, run as one [n, B] array. Several sequences share a block and none crosses one, so that
attention costs B per token and not the length of the pack; what is left of a block is filler. B is 64; a longer sequence
opens a block of its own length, rounded up to 64. Texts that fill their blocks badly are spread evenly over shorter ones.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BLOCK = 64
STEP = 8                # short blocks are multiples of it, unless the engine asks for a coarser one
FEED_TOKENS = 512       # most tokens of a feed: enough for full speed (measured flat from 320 to 1024)
EVEN_BLOCKS = 8         # up to so many blocks are evened out and shortened: it saves 2 to 5 % filler
MORE_BLOCKS = 3         # than needed, where shorter ones hold the texts with less filler: another 1 to 3 %


@dataclass(frozen=True, slots=True)
class Placement:
    """One feed: `sequences[k]` starts at row `starts[k]` of the [blocks * size] rows, in ascending order of rows."""

    blocks: int
    size: int
    sequences: tuple[int, ...]
    starts: tuple[int, ...]


def place(lengths: Sequence[int], *, step: int = STEP, feed_tokens: int = FEED_TOKENS) -> list[Placement]:
    """Feeds that hold every sequence exactly once. `lengths` are at least 1, in tokens; a sequence longer than
    `feed_tokens` gets a feed of its own. Blocks shorter than 64 are multiples of `step`, a divisor of 64."""
    by_size: dict[int, list[list[int]]] = {}
    for size, block in _best_fit(lengths):
        by_size.setdefault(size, []).append(block)
    placements = []
    for size, blocks in sorted(by_size.items(), reverse=True):
        # Spread evenly: two feeds of 5 and 6 blocks keep two cores busy, feeds of 8 and 3 do not.
        feeds = -(-len(blocks) // max(1, feed_tokens // size))
        for feed in range(feeds):
            placements.append(_placement(size, blocks[feed::feeds], lengths, step))
    return placements


def shapes(longest: int, *, step: int = STEP, feed_tokens: int = FEED_TOKENS) -> Iterator[tuple[int, int]]:
    """All (blocks, size) that `place` makes for sequences of up to `longest` tokens: what to warm up."""
    top = _round_up(longest, BLOCK)
    for size in range(BLOCK, top + 1, BLOCK):
        for blocks in range(1, max(1, feed_tokens // size) + 1):
            yield blocks, size
    for size in range(step, BLOCK, step):
        for blocks in range(1, EVEN_BLOCKS + MORE_BLOCKS + 1):
            if blocks * size <= EVEN_BLOCKS * BLOCK:
                yield blocks, size


def _best_fit(lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """(size, sequences) of each block; longest first, each into the block with the least room that still holds it."""
    blocks: list[tuple[int, list[int]]] = []
    room: list[tuple[int, int]] = []                      # sorted (free tokens, block)
    for sequence in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[sequence]
        at = bisect.bisect_left(room, (length, -1))
        if at == len(room):
            size = _round_up(length, BLOCK)
            room.append((size, len(blocks)))
            blocks.append((size, []))
        free, block = room.pop(at)
        blocks[block][1].append(sequence)
        bisect.insort(room, (free - length, block))
    yield from blocks


def _placement(size: int, blocks: list[list[int]], lengths: Sequence[int], step: int) -> Placement:
    if size == BLOCK and len(blocks) <= EVEN_BLOCKS:
        longest_first = sorted((item for block in blocks for item in block), key=lambda index: -lengths[index])
        counts = range(len(blocks), len(blocks) + MORE_BLOCKS + 1)
        even = [_even_out(longest_first, count, lengths, step) or (BLOCK, blocks) for count in counts]
        size, blocks = min(even, key=lambda each: each[0] * len(each[1]))
    sequences, starts = [], []
    for number, block in enumerate(blocks):
        start = number * size
        for sequence in block:
            sequences.append(sequence)
            starts.append(start)
            start += lengths[sequence]
    return Placement(len(blocks), size, tuple(sequences), tuple(starts))


def _even_out(
    longest_first: Sequence[int], count: int, lengths: Sequence[int], step: int
) -> tuple[int, list[list[int]]] | None:
    """The sequences in `count` blocks, each into the emptiest, as short as that allows; None where a block would be too long or
    have nothing in it."""
    spread: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for sequence in longest_first:
        emptiest = loads.index(min(loads))
        spread[emptiest].append(sequence)
        loads[emptiest] += lengths[sequence]
    return (_round_up(max(loads), step), spread) if max(loads) <= BLOCK and all(spread) else None


def _round_up(tokens: int, step: int) -> int:
    return -(-tokens // step) * step
