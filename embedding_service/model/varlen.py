"""Sequences end to end, without filler between them: what attention of variable length takes. Pure.

The device's launches are recorded for a few shapes (CUDA graphs), so a small pack is rounded up to the next of them: tokens at
the end that belong to no sequence, sequences at the end that have no token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.engine import Pack

GRAPH_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048)     # recorded sizes; larger packs keep the device busy by themselves
TOKENS_PER_SEQUENCE = 8                                     # recorded shapes have room for so short texts on average
SHORT = 128                                                 # texts up to here cost attention one tile of queries each


class Length(NamedTuple):
    """A shape: `tokens` rows, `sequences` of them, none longer than `longest`."""

    tokens: int
    sequences: int
    longest: int


class Row(NamedTuple):
    """One forward pass. `inputs` int32 [2 * tokens + sequences + 1]: ids, places (position + positions * type), and where each
    sequence begins, with the end of the last; `sequences[k]` of the pack begins at row `starts[k]`. `top`: highest layer."""

    shape: Length
    inputs: NDArray[np.int32]
    sequences: tuple[int, ...]
    starts: tuple[int, ...]
    top: int


def lay_out(pack: Pack, chosen: Sequence[int], positions: int, *, tokens: int, shapes: Sequence[Length]) -> Iterator[Row]:
    """The `chosen` sequences of a pack in rows of at most `tokens` (or one sequence), each in the smallest of `shapes` that
    holds it, else in its own. `positions`: length of the position table."""
    for sequences in _runs(pack.lengths, chosen, tokens):
        lengths = np.array([pack.lengths[sequence] for sequence in sequences])
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        total = int(bounds[-1])
        shape = fit(Length(total, len(sequences), int(lengths.max())), shapes)
        inputs = blank(shape)
        inputs[:total] = np.concatenate([pack.ids[each] for each in sequences])
        inputs[shape.tokens : shape.tokens + total] = np.concatenate([pack.places(each, positions) for each in sequences])
        inputs[2 * shape.tokens :] = total
        inputs[2 * shape.tokens : 2 * shape.tokens + len(bounds)] = bounds
        yield Row(shape, inputs, tuple(sequences), tuple(bounds[:-1].tolist()), max(pack.top[each] for each in sequences))


def blank(shape: Length) -> NDArray[np.int32]:
    """Inputs of this shape without any sequence."""
    return np.zeros(2 * shape.tokens + shape.sequences + 1, np.int32)


def fit(shape: Length, known: Sequence[Length]) -> Length:
    """The first of the known shapes, ordered by size, that holds this one; itself if none does."""
    return next((each for each in known if all(has >= needs for has, needs in zip(each, shape, strict=True))), shape)


def graph_shapes(longest: int) -> list[Length]:
    """The shapes to record for sequences of up to `longest` tokens, smallest first."""
    shapes = []
    for tokens in GRAPH_TOKENS:
        sequences = max(1, tokens // TOKENS_PER_SEQUENCE)
        shapes += [Length(tokens, sequences, limit) for limit in sorted({min(tokens, longest, SHORT), min(tokens, longest)})]
    return shapes


def _runs(lengths: Sequence[int], chosen: Sequence[int], tokens: int) -> Iterator[list[int]]:
    run: list[int] = []
    total = 0
    for sequence in chosen:
        if run and total + lengths[sequence] > tokens:
            yield run
            run, total = [], 0
        run.append(sequence)
        total += lengths[sequence]
    if run:
        yield run
