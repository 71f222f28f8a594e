"""A placement filled with a pack's tokens: the int32 [n, B] arrays of a forward pass in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.engine import Pack
from embedding_service.model.packing import Placement

# A token attends to those whose key equals its sequence. Filler attends to filler only; nobody's sequence is NOBODY.
FILLER, NOBODY = -1, -2

INPUTS = ("ids", "places", "sequence", "key")       # places: position + positions * type


@dataclass(frozen=True, slots=True)
class Feed:
    """`inputs` int32 [4, blocks, size]: the INPUTS. `top`: the highest layer any sequence in it needs."""

    placement: Placement
    inputs: NDArray[np.int32]
    top: int


def fill(pack: Pack, placement: Placement, positions: int) -> Feed:
    """`positions`: length of the position table."""
    ids, places, sequence, key = flat = _empty(placement)
    for number, (index, start) in enumerate(zip(placement.sequences, placement.starts, strict=True)):
        rows = slice(start, start + pack.lengths[index])
        ids[rows] = pack.ids[index]
        places[rows] = pack.places(index, positions)
        sequence[rows] = number
        attended = pack.attended[index]
        key[rows] = number if attended is None else np.where(attended, number, NOBODY)
    return Feed(placement, flat.reshape(-1, *placement.shape), max(pack.top[index] for index in placement.sequences))


def filler(blocks: int, size: int) -> Feed:
    """A feed of this shape with nothing in it, for warming up."""
    placement = Placement(blocks, size, (), ())
    return Feed(placement, _empty(placement).reshape(-1, *placement.shape), 0)


def _empty(placement: Placement) -> NDArray[np.int32]:
    """[4, rows]: filler everywhere."""
    flat = np.zeros((len(INPUTS), placement.blocks * placement.size), np.int32)
    flat[2:] = FILLER
    return flat
