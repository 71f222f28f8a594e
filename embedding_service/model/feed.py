"""A placement filled with a pack's tokens: the int32 [n, B] arrays of a forward pass in blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.engine import Pack
from embedding_service.model.packing import Placement

# A token attends to those whose key equals its sequence. Filler attends to filler only; nobody's sequence is NOBODY.
FILLER, NOBODY = -1, -2


@dataclass(frozen=True, slots=True)
class Feed:
    """`inputs`: ids, places (position + positions * type), sequence, key. `top`: the highest layer any sequence in it needs."""

    placement: Placement
    inputs: Mapping[str, NDArray[np.int32]]
    top: int


def fill(pack: Pack, placement: Placement, positions: int) -> Feed:
    """`positions`: length of the position table."""
    rows = placement.blocks * placement.size
    lengths = np.array([pack.lengths[sequence] for sequence in placement.sequences])
    ends = np.cumsum(lengths)
    within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)                       # position in the own sequence
    target = np.repeat(np.array(placement.starts), lengths) + within                        # row of the feed
    source = np.repeat(pack.starts[list(placement.sequences)], lengths) + within            # row of the pack
    ids, places, sequence, key = flat = _empty(rows)
    ids[target] = pack.ids[source]
    places[target] = pack.positions[source] + positions * pack.types[source]
    sequence[target] = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    key[target] = np.where(pack.attended[source], sequence[target], NOBODY)
    return Feed(placement, _inputs(placement, flat), max(pack.top[index] for index in placement.sequences))


def filler(blocks: int, size: int) -> Feed:
    """A feed of this shape with nothing in it, for warming up."""
    placement = Placement(blocks, size, (), ())
    return Feed(placement, _inputs(placement, _empty(blocks * size)), 0)


def _empty(rows: int) -> NDArray[np.int32]:
    """[4, rows]: ids, places, sequence, key."""
    flat = np.zeros((4, rows), np.int32)
    flat[2:] = FILLER
    return flat


def _inputs(placement: Placement, flat: NDArray[np.int32]) -> dict[str, NDArray[np.int32]]:
    return {name: row.reshape(placement.shape) for name, row in zip(("ids", "places", "sequence", "key"), flat, strict=True)}
