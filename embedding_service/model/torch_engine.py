"""PyTorch: CUDA devices, and with the same code the CPU.

Where attention of variable length runs (CUDA from compute capability 8.0 on, at bf16 and f16) sequences lie end to end and no
filler is computed; else, and for sequences that mask tokens, they lie in the blocks of packing.py under a mask.

Small passes would wait for their launches, a dozen a block: on CUDA those are recorded at warm-up for a few shapes, and a pass
costs one copy in, one replay, one copy out and one wait. Hidden states are copied in the precision they were computed in and
widened here: 16,384 tokens of 768 at bf16 are 25 MB, about 1 ms over PCIe 4 and several more to widen and pool on the host.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from embedding_service.model import packing, varlen
from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.engine import Pack, Part
from embedding_service.model.feed import Feed, fill, filler
from embedding_service.model.torch_device import choose
from embedding_service.model.torch_forward import Forward, in_blocks, in_sequences
from embedding_service.model.varlen import Length, Row

CUDA_TOKENS = 16_384        # most tokens of a pass on CUDA: bounds its memory
CUDA_PROBES = (1024, 2048, 4096, 8192, CUDA_TOKENS)
PROBE_LENGTH = 32
WORTH_DOUBLING = 0.95       # a pack twice as large has to cost so much less per token
GRAPH_BLOCK_TOKENS = 512    # passes in blocks of up to so many tokens are recorded

Shape = packing.Shape | Length


class Pass(NamedTuple):
    """What goes to the device in one copy, and where each sequence's rows will be."""

    shape: Shape
    inputs: NDArray[np.int32]           # flat
    sequences: Sequence[int]
    starts: Sequence[int]
    top: int


class Recorded(NamedTuple):
    """A captured pass: write `inputs`, replay, read `states`."""

    graph: Any                          # torch.cuda.CUDAGraph
    inputs: torch.Tensor
    states: dict[int, torch.Tensor]


class TorchEngine:
    """`layers`: the hidden states that encoders need; `tops`: the layers at which encoders end. `end_to_end`: the layout; None
    takes it where its kernel runs (on a CPU it works too, a sequence at a time)."""

    streams = 1

    def __init__(
        self, checkpoint: Checkpoint, layers: Sequence[int], tops: Sequence[int], *, precision: str, threads: int,
        end_to_end: bool | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")           # f32 means f32: no TF32
        of = checkpoint.architecture
        self._target = choose(precision)
        self._cuda = self._target.device.type == "cuda"
        self._end_to_end = self._target.has_varlen(of.head_size) if end_to_end is None else end_to_end
        self._positions = of.positions
        self._layers = tuple(layers)
        self._tops = sorted(set(tops))
        self._most_tokens = CUDA_TOKENS if self._cuda else packing.FEED_TOKENS
        self._tokens_per_batch = self._most_tokens
        self._lengths: list[Length] = []
        self._recorded: dict[tuple[Shape, int], Recorded] = {}
        with torch.inference_mode():
            self._forward = Forward(checkpoint, self._tops[-1], device=self._target.device, dtype=self._target.dtype)

    @property
    def numerics(self) -> str:
        return self._target.numerics

    @property
    def tokens_per_batch(self) -> int:
        return self._tokens_per_batch

    def run(self, pack: Pack, stream: int | None = None) -> Iterator[Part]:
        for each in self._passes(pack):
            yield Part(each.sequences, each.starts, self._compute(each))

    def warm_up(self, longest: int) -> None:
        if self._cuda:
            self._record(longest)
        self._compute(_of_feed(filler(1, packing.BLOCK), self._tops[-1]))
        if self._cuda:
            self._tokens_per_batch = self._measure(min(longest, PROBE_LENGTH))

    def _passes(self, pack: Pack) -> Iterator[Pass]:
        in_rows = [index for index in range(len(pack.lengths)) if self._end_to_end and self._is_open(pack, index)]
        for row in varlen.lay_out(pack, in_rows, self._positions, tokens=self._most_tokens, shapes=self._lengths):
            yield _of_row(row)
        rest = sorted(set(range(len(pack.lengths))) - set(in_rows))
        placements = packing.Packer(feed_tokens=self._most_tokens).place([pack.lengths[index] for index in rest])
        for placed in placements:
            own = replace(placed, sequences=tuple(rest[index] for index in placed.sequences))
            yield _of_feed(fill(pack, own, self._positions))

    def _is_open(self, pack: Pack, sequence: int) -> bool:
        """Whether all its tokens may be attended to."""
        attended = pack.attended[sequence]
        return attended is None or bool(attended.all())

    def _compute(self, each: Pass) -> dict[int, NDArray[np.float32]]:
        """Hidden states [R, D] of each wanted layer, on the host."""
        top = next(top for top in self._tops if top >= each.top)
        with torch.inference_mode():
            inputs = torch.from_numpy(each.inputs)
            if not self._cuda:
                return {layer: states.float().numpy() for layer, states in self._states(each.shape, inputs, top).items()}
            inputs = inputs.pin_memory()
            if recorded := self._recorded.get((each.shape, top)):
                recorded.inputs.copy_(inputs, non_blocking=True)
                recorded.graph.replay()
                states = recorded.states
            else:
                states = self._states(each.shape, inputs.to(self._target.device, non_blocking=True), top)
            on_host = {layer: _to_host(rows) for layer, rows in states.items()}
            torch.cuda.current_stream().synchronize()
            return {layer: rows.float().numpy() for layer, rows in on_host.items()}

    def _states(self, shape: Shape, inputs: torch.Tensor, top: int) -> dict[int, torch.Tensor]:
        if isinstance(shape, Length):
            ids, places, bounds = inputs.split([shape.tokens, shape.tokens, shape.sequences + 1])
            attention = in_sequences(bounds, shape.longest)
        else:
            ids, places, sequence, key = inputs.view(4, -1).unbind(0)
            attention = in_blocks(sequence.view(shape), key.view(shape), self._target.dtype)
        return self._forward.states(ids, places, attention, top, self._layers)

    def _record(self, longest: int) -> None:
        """Largest first, so that smaller ones fit into its memory. Blocks serve masked sequences where rows serve the others,
        and are not recorded there."""
        pool = torch.cuda.graph_pool_handle()
        passes = []
        if self._end_to_end:
            self._lengths = varlen.graph_shapes(longest)
            passes = [_blank(shape) for shape in self._lengths]
        else:
            passes = [_of_feed(filler(*shape), 0) for shape in packing.shapes(longest, rows=GRAPH_BLOCK_TOKENS)]
        for each in sorted(passes, key=lambda each: -each.inputs.size):
            for top in self._tops:
                self._recorded[each.shape, top] = self._capture(each, top, pool)

    def _capture(self, each: Pass, top: int, pool: Any) -> Recorded:
        with torch.inference_mode():
            inputs = torch.from_numpy(each.inputs).to(self._target.device)
            # Libraries make their plans and workspaces at the first call, which a capture must not see.
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                self._states(each.shape, inputs, top)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                states = self._states(each.shape, inputs, top)
        return Recorded(graph, inputs, states)

    def _measure(self, length: int) -> int:
        """The smallest probed pack whose time per token a pack of twice its size no longer improves."""
        best, best_cost = CUDA_PROBES[0], float("inf")
        for tokens in CUDA_PROBES:
            try:
                cost = min(self._seconds(tokens, length) for _ in range(3)) / tokens
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                self._most_tokens = best
                break
            if cost > WORTH_DOUBLING * best_cost:
                break
            best, best_cost = tokens, cost
        return best

    def _seconds(self, tokens: int, length: int) -> float:
        """Of one pack of sequences of this length, states on the host included."""
        count = tokens // length
        nothing = [None] * count
        pack = Pack([np.zeros(length, np.int32)] * count, nothing, nothing, [length] * count, [self._tops[-1]] * count)
        began = time.perf_counter()
        for _ in self.run(pack):
            pass
        return time.perf_counter() - began


def _to_host(rows: torch.Tensor) -> torch.Tensor:
    """Under way into page-locked memory, which PyTorch keeps for the next time."""
    return torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True).copy_(rows, non_blocking=True)


def _of_feed(feed: Feed, top: int | None = None) -> Pass:
    placement = feed.placement
    return Pass(placement.shape, feed.inputs.reshape(-1), placement.sequences, placement.starts, feed.top if top is None else top)


def _of_row(row: Row) -> Pass:
    return Pass(row.shape, row.inputs, row.sequences, row.starts, row.top)


def _blank(shape: Length) -> Pass:
    return Pass(shape, varlen.blank(shape), (), (), 0)
