"""OpenVINO on CPU. For each layer at which some encoder ends there is one compiled model (for minilm and tokens: one that ends
at 6, one at 4) over the same constants; a feed runs on the shortest that suffices.

A pack runs on all threads, which is fastest for a single text, or on a stream that has a core of its own, which is 8 % faster
per core in batches: the scheduler decides. A feed whose shape is not that of the feed before waits until every operation is
prepared anew; so a short text that is alone, and a full feed, run on models compiled for one shape, where the weights are small.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.cores import has_matrix_units, multiplies_int8
from embedding_service.model.engine import MOST_STREAMS, Pack, Part
from embedding_service.model.feed import INPUTS, Feed, fill, filler
from embedding_service.model.openvino_graph import Constants, QuantizedConstants, build
from embedding_service.model.packing import FEED_TOKENS, FULL, STEP, Packer, Placement, Shape, shapes
from embedding_service.model.quantize import group_of
from twohop.errors import Failed

log = logging.getLogger(__name__)

# Of short blocks, in tokens: a text of 20 is 10 % faster in a block of 20 than in one of 24.
FINE_STEP = 4

# Shapes that have a model of their own: single blocks of these sizes on all threads, and a full feed on a stream. They take a
# quarter off the time of a short text and a twentieth off that of a full feed in MiniLM (bf16, int8), at 30 MB each; larger ones
# gain nothing. So there are none where their matrices take more bytes, all together.
FIXED_SIZES = (16, 32, 48)
FIXED_BYTES = 288 << 20
WEIGHT_BYTES = {"f32": 4, "bf16": 2, "int8": 1}


class _Kind(NamedTuple):
    """What a model is compiled for: to end at layer `top`, feeds of one `shape` (None: of any), and as many streams (1: all
    threads on one feed)."""

    top: int
    shape: Shape | None
    streams: int


class OpenVinoEngine:
    """`layers`: the hidden states that encoders need; `tops`: the layers at which encoders end."""

    def __init__(
        self, checkpoint: Checkpoint, layers: Sequence[int], tops: Sequence[int], *, precision: str, threads: int
    ) -> None:
        core = ov.Core()
        self._precision = _precision(core, precision)
        self._rest = _precision(core, "auto") if self._precision == "int8" else self._precision
        self._positions = checkpoint.architecture.positions
        self.streams = min(threads, MOST_STREAMS)
        # At float32, blocks of multiples of 16 tokens give the same bits for a text wherever it lies; others move by 7e-6.
        step = 16 if self._precision == "f32" else FINE_STEP
        architecture = checkpoint.architecture
        self._group = group_of((architecture.hidden, architecture.intermediate)) if self._precision == "int8" else 0
        constants = QuantizedConstants(checkpoint, max(tops), self._group) if self._precision == "int8" else Constants(checkpoint)
        matrices = sum(set(tops)) * architecture.block_weights * WEIGHT_BYTES[self._precision]
        has_fixed = (len(FIXED_SIZES) + 1) * matrices <= FIXED_BYTES
        self._fixed_sizes = FIXED_SIZES if has_fixed else ()
        full = FULL if has_fixed else None
        self._alone = Packer(step, compiled=full if self.streams == 1 else None)
        self._beside = Packer(step, compiled=full)
        self._tops = sorted(set(tops))
        kinds = [_Kind(top, shape, 1) for top in self._tops
                 for shape in dict.fromkeys((None, self._alone.compiled, *((1, size) for size in self._fixed_sizes)))]
        if self.streams > 1:        # a single stream is the whole machine
            kinds += [_Kind(top, shape, self.streams) for top in self._tops
                      for shape in dict.fromkeys((None, self._beside.compiled))]
        different = dict.fromkeys((kind.top, kind.shape) for kind in kinds)
        models = {(top, shape): build(constants, top, layers, shape) for top, shape in different}
        # By stream (None: on all threads), the layer at which it ends, and its one shape (None: any).
        self._requests: dict[tuple[int | None, int, Shape | None], _Request] = {}
        # Compiling takes one core: several at a time take a third off an engine's start.
        with ThreadPoolExecutor(threads) as pool:
            compiled = pool.map(partial(self._compile, core, threads), kinds, [models[kind.top, kind.shape] for kind in kinds])
            for kind, requests in zip(kinds, compiled, strict=True):
                for stream, request in enumerate(requests):
                    self._requests[None if kind.streams == 1 else stream, kind.top, kind.shape] = request

    def _compile(self, core: ov.Core, threads: int, kind: _Kind, model: ov.Model) -> list[_Request]:
        """A request for each stream."""
        options = {"INFERENCE_PRECISION_HINT": self._rest, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": kind.streams,
                   "ENABLE_CPU_PINNING": False, "DYNAMIC_QUANTIZATION_GROUP_SIZE": self._group}
        compiled = core.compile_model(model, "CPU", options)
        return [_Request(compiled, kind.shape) for _ in range(kind.streams)]

    @property
    def numerics(self) -> str:
        return f"openvino-{self._precision}"

    @property
    def tokens_per_batch(self) -> int:
        """Of a full feed, all but what texts in the order of their arrival leave of its blocks."""
        return FEED_TOKENS - STEP

    def run(self, pack: Pack, stream: int | None = None) -> Iterator[Part]:
        if self.streams == 1:
            stream = None
        for placement in (self._alone if stream is None else self._beside).place(pack.lengths):
            feed = fill(pack, placement if stream is not None else self._fixed_shape(placement), self._positions)
            states = self._request(feed, stream).run(feed)
            yield Part(feed.placement.sequences, feed.placement.starts, states)

    def warm_up(self, longest: int) -> None:
        """A model's first feed costs 20 to 30 ms (its weights are packed then), a shape's first 2 to 5 ms: that matters for
        texts that are alone, so their shapes are run, and one full feed everywhere."""
        shortest = max(self._fixed_sizes, default=0) + 1
        single = [shape for shape in shapes(longest, step=self._alone.step) if shape[0] == 1 and shape[1] >= shortest]
        for (stream, _, shape), request in self._requests.items():
            of_any_shape = (FULL, *single) if stream is None else (FULL,)
            for each in (shape,) if shape else of_any_shape:
                request.run(filler(*each))

    def _fixed_shape(self, placement: Placement) -> Placement:
        """In the next larger block that has a model of its own; as it is if it is too large for those."""
        if placement.blocks > 1:
            return placement
        return replace(placement, size=next((size for size in self._fixed_sizes if size >= placement.size), placement.size))

    def _request(self, feed: Feed, stream: int | None) -> _Request:
        top = next(top for top in self._tops if top >= feed.top)
        return self._requests.get((stream, top, feed.placement.shape)) or self._requests[stream, top, None]


class _Request:
    """OpenVINO's, without what it does for inputs and outputs of every kind: 0.1 ms of a text's 1.5."""

    def __init__(self, compiled: ov.CompiledModel, shape: Shape | None) -> None:
        self._request = compiled.create_infer_request()
        self._layers = [int(output.get_any_name().removeprefix("layer_")) for output in compiled.outputs]
        self._inputs: NDArray[np.int32] | None = None
        if shape is not None:
            self._inputs = np.zeros((len(INPUTS), *shape), np.int32)
            self._read(self._inputs)

    def run(self, feed: Feed) -> dict[int, NDArray[np.float32]]:
        """Hidden states [R, D] of each layer; the next run overwrites them."""
        if self._inputs is None:
            self._read(feed.inputs)
        else:
            self._inputs[:] = feed.inputs
        found = self._request.infer({}, share_outputs=True).to_tuple()
        return {layer: rows.reshape(-1, rows.shape[-1]) for layer, rows in zip(self._layers, found, strict=True)}

    def _read(self, inputs: NDArray[np.int32]) -> None:
        """From where these arrays lie."""
        for index, array in enumerate(inputs):
            self._request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))


def _precision(core: ov.Core, wanted: str) -> str:
    """bf16 and int8 only where the CPU computes in them; `auto` picks bf16 or f32, int8 must be asked for."""
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "int8" and not multiplies_int8():
        raise Failed("this CPU has no int8 dot products (VNNI), without which int8 is slower: use --precision auto",
                     detail={"precision": wanted})
    if wanted == "int8" and has_matrix_units():
        log.warning("this CPU multiplies matrices of bfloat16 in units made for it (AMX): --precision bf16 is more exact than "
                    "int8 and may be faster here; `embedding-service bench` tells")
    if wanted == "bf16" and not able:
        raise Failed("this CPU has no bfloat16 arithmetic: use --precision f32 (or auto)", detail={"precision": wanted})
    return ("bf16" if able else "f32") if wanted == "auto" else wanted
