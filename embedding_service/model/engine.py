"""The packed interface that every engine implements: sequences of any lengths go in, hidden states of the wanted layers come
out, without padding. Pooling happens outside, once for all engines (pooling.py).

An engine is one file, with what its library needs beside it: it implements `Engine`, and `loaded_encoders.py` names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# No engine has more streams: each further one keeps activations of its own, which is more memory than it is worth.
MOST_STREAMS = 16


@dataclass(frozen=True, slots=True)
class Pack:
    """N sequences: of each, the k-th, its T tokens.

    `types[k]`: 0, or 1 in the second segment of a pair (None: all 0). `attended[k]` is False for tokens that no token may
    attend to (masked special tokens; None: there are none); they still attend to the others. `top[k]` is the highest layer
    that it needs: an engine computes none above the highest of what it runs together.
    """

    ids: Sequence[NDArray[np.int32]]
    types: Sequence[NDArray[np.int32] | None]
    attended: Sequence[NDArray[np.bool_] | None]
    lengths: Sequence[int]
    top: Sequence[int]

    def places(self, sequence: int, positions: int) -> NDArray[np.int32]:
        """position + positions * type of its tokens. `positions`: length of the position table."""
        within, types = np.arange(self.lengths[sequence], dtype=np.int32), self.types[sequence]
        return within if types is None else within + positions * types


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a pack's sequences, finished: `sequences[k]` has its hidden states at rows starts[k] … + length of every
    array [R, D] in `states`, which is keyed by layer (1 = first block). Rows in between are filler.

    `states` may be views that the engine overwrites later: use a part before asking for the next.
    """

    sequences: Sequence[int]
    starts: Sequence[int]
    states: Mapping[int, NDArray[np.float32]]


class Engine(Protocol):
    """One set of weights, ready to run."""

    @property
    def numerics(self) -> str:
        """The numerics class: engine and precision, such as `openvino-bf16`."""

    @property
    def streams(self) -> int:
        """So many packs run at the same time, each on its own share of the machine, from a thread each."""

    @property
    def tokens_per_batch(self) -> int:
        """With so many tokens in a pack a stream runs at full speed; more only make it longer."""

    def run(self, pack: Pack, stream: int | None = None) -> Iterator[Part]:
        """Every sequence of the pack in exactly one part, in any order; states of all layers the engine was built to
        give, up to the sequence's `top`.

        `stream`: 0 … streams - 1, one pack at a time on each; None: this pack alone, on the whole machine, which is
        the fastest for a little work and wastes part of the machine on much.
        """

    def warm_up(self, longest: int) -> None:
        """Runs the shapes whose first time a caller with a text of up to `longest` tokens would have to wait for."""
