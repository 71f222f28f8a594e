"""OpenVINO on CPU: the graph built straight from the weights, attention in blocks, no layer above the highest wanted.

The only importer of openvino. For each layer at which some encoder ends there is one compiled model (for minilm and tokens:
one that ends at 6, one at 4) over the same constants; a feed runs on the shortest that suffices.

A pack runs on all threads, which is fastest for a single text, or on a stream that has a core of its own, which is 8 % faster
per core in batches: the scheduler decides. A feed whose shape is not that of the feed before waits until every operation is
prepared anew; so a short text that is alone runs on a model compiled for one shape, where the weights are small enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from embedding_service.model.checkpoint import Architecture, Checkpoint
from embedding_service.model.cores import multiplies_int8
from embedding_service.model.engine import MOST_STREAMS, Pack, Part
from embedding_service.model.feed import Feed, fill, filler
from embedding_service.model.packing import BLOCK, FEED_TOKENS, Placement, Shape, place, shapes
from embedding_service.model.quantize import group_of, largest_inputs, quantize, smoothing
from twohop.errors import Failed

# Of short blocks, in tokens: a text of 20 is 10 % faster in a block of 20 than in one of 24.
FINE_STEP = 4

# Blocks that have a model of their own, and the most bytes of matrices in all of those. They take a quarter off the time of a
# short text in MiniLM (bf16, int8), at 30 MB each; BERT-base loses more by the filler than it gains.
FIXED_SIZES = (16, 32, 48)
FIXED_BYTES = 256 << 20
WEIGHT_BYTES = {"f32": 4, "bf16": 2, "int8": 1}

INPUTS = ("ids", "places", "sequence", "key")


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
        self._step = 16 if self._precision == "f32" else FINE_STEP
        architecture = checkpoint.architecture
        self._group = group_of((architecture.hidden, architecture.intermediate)) if self._precision == "int8" else 0
        constants = QuantizedConstants(checkpoint, max(tops), self._group) if self._precision == "int8" else Constants(checkpoint)
        matrices = sum(set(tops)) * architecture.block_weights * WEIGHT_BYTES[self._precision]
        self._fixed_sizes = FIXED_SIZES if len(FIXED_SIZES) * matrices <= FIXED_BYTES else ()
        self._fixed: dict[tuple[int, Shape], ov.InferRequest] = {}
        self._wide: dict[int, ov.InferRequest] = {}
        # A single stream is the whole machine.
        self._narrow: list[dict[int, ov.InferRequest]] = [{} for _ in range(self.streams)] if self.streams > 1 else []
        for top in sorted(set(tops)):
            model = build(constants, top, layers)
            for size in self._fixed_sizes:
                fixed = model.clone()
                fixed.reshape({name: [1, size] for name in INPUTS})
                [self._fixed[top, (1, size)]] = self._compile(core, fixed, threads, 1)
            self._wide[top] = self._compile(core, model, threads, 1)[0]
            if self._narrow:
                for of_stream, request in zip(self._narrow, self._compile(core, model, threads, self.streams), strict=True):
                    of_stream[top] = request

    def _compile(self, core: ov.Core, model: ov.Model, threads: int, streams: int) -> list[ov.InferRequest]:
        options = {"INFERENCE_PRECISION_HINT": self._rest, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams,
                   "ENABLE_CPU_PINNING": False, "DYNAMIC_QUANTIZATION_GROUP_SIZE": self._group}
        compiled = core.compile_model(model, "CPU", options)
        return [compiled.create_infer_request() for _ in range(streams)]

    @property
    def numerics(self) -> str:
        return f"openvino-{self._precision}"

    @property
    def tokens_per_batch(self) -> int:
        return FEED_TOKENS

    def run(self, pack: Pack, stream: int | None = None) -> Iterator[Part]:
        if not self._narrow:
            stream = None
        for placement in place(pack.lengths, step=self._step):
            feed = fill(pack, placement if stream is not None else self._fixed_shape(placement), self._positions)
            request = self._request(feed, stream)
            _infer(request, feed)
            yield _part(feed, request)

    def warm_up(self, longest: int) -> None:
        """A model's first feed costs 20 to 30 ms (its weights are packed then), a shape's first 2 to 5 ms: that matters for
        texts that are alone, so their shapes are run, and one full feed everywhere."""
        full = filler(FEED_TOKENS // BLOCK, BLOCK)
        shortest = max(self._fixed_sizes, default=0) + 1
        single = [filler(*shape) for shape in shapes(longest, step=self._step) if shape[0] == 1 and shape[1] >= shortest]
        for request in self._wide.values():
            for feed in (full, *single):
                _infer(request, feed)
        for (_, shape), request in self._fixed.items():
            _infer(request, filler(*shape))
        for requests in self._narrow:
            for request in requests.values():
                _infer(request, full)

    def _fixed_shape(self, placement: Placement) -> Placement:
        """In the next larger block that has a model of its own; as it is if it is too large for those."""
        if placement.blocks > 1:
            return placement
        return replace(placement, size=next((size for size in self._fixed_sizes if size >= placement.size), placement.size))

    def _request(self, feed: Feed, stream: int | None) -> ov.InferRequest:
        top = next(top for top in self._wide if top >= feed.top)
        if stream is not None:
            return self._narrow[stream][top]
        return self._fixed.get((top, feed.placement.shape), self._wide[top])


def _infer(request: ov.InferRequest, feed: Feed) -> None:
    """The one kind of call: after another with larger shapes, this one fails."""
    request.infer(feed.inputs, share_inputs=True, share_outputs=True)


def _part(feed: Feed, request: ov.InferRequest) -> Part:
    states = {}
    for output in request.model_outputs:
        rows = request.get_tensor(output).data
        states[int(output.get_any_name().removeprefix("layer_"))] = rows.reshape(-1, rows.shape[-1])
    return Part(feed.placement.sequences, feed.placement.starts, states)


def _precision(core: ov.Core, wanted: str) -> str:
    """bf16 and int8 only where the CPU computes in them; `auto` picks bf16 or f32, int8 must be asked for."""
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if wanted == "int8" and not multiplies_int8():
        raise Failed("this CPU has no int8 dot products (VNNI), without which int8 is slower: use --precision auto",
                     detail={"precision": wanted})
    if wanted == "bf16" and not able:
        raise Failed("this CPU has no bfloat16 arithmetic: use --precision f32 (or auto)", detail={"precision": wanted})
    return ("bf16" if able else "f32") if wanted == "auto" else wanted


class Constants:
    """The checkpoint's tensors as graph constants, each made once and shared by all models; large ones are not copied."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.architecture = checkpoint.architecture
        self._checkpoint = checkpoint
        self._made: dict[str, ov.Node] = {}

    def tensor(self, name: str) -> NDArray[np.float32]:
        return self._checkpoint.tensor(name)

    def matrix(self, names: Sequence[str]) -> ov.Node:
        """[sum of rows, D]: the matrices below one another."""
        if names[0] not in self._made:
            self._made[names[0]] = op.constant(_joined([self.tensor(name) for name in names]), shared_memory=True)
        return self._made[names[0]]

    def vector(self, names: Sequence[str]) -> ov.Node:
        """[1, 1, D]: end to end."""
        return _constant(_joined([self.tensor(name) for name in names])[None, None])

    def smooth(self, x: ov.Node, readers: Sequence[str]) -> ov.Node:
        """x as the matrices of `readers`, prefixes of linear layers, expect it."""
        return x


class QuantizedConstants(Constants):
    """The linear layers' matrices in int8, of which the engine sees that it may quantise their inputs too, per token and
    group as they come; tables, biases and norms as they are. The models share the int8 values."""

    def __init__(self, checkpoint: Checkpoint, layers: int, group: int) -> None:
        super().__init__(checkpoint)
        self._group = group
        self._largest = largest_inputs(checkpoint, layers)
        self._smoothing: dict[str, NDArray[np.float32]] = {}
        self._quantized: dict[str, tuple[ov.Node, ov.Node, ov.Node]] = {}

    def smooth(self, x: ov.Node, readers: Sequence[str]) -> ov.Node:
        if readers[0] not in self._smoothing:
            scales = smoothing(self._largest[readers[0]], [self.tensor(f"{reader}.weight") for reader in readers])
            self._smoothing.update(dict.fromkeys(readers, scales))
        return op.multiply(x, _constant(1 / self._smoothing[readers[0]][None, None]))

    def matrix(self, names: Sequence[str]) -> ov.Node:
        prefix = names[0].removesuffix(".weight")
        if prefix not in self._largest:
            return super().matrix(names)
        if prefix not in self._quantized:
            weight = _joined([self.tensor(name) for name in names])
            found = quantize(weight * self._smoothing[prefix] if prefix in self._smoothing else weight, self._group)
            shape = _constant(np.array(weight.shape, np.int64))
            self._quantized[prefix] = op.constant(found.values), op.constant(found.scales), shape
        values, scales, shape = self._quantized[prefix]
        return op.reshape(op.multiply(op.convert(values, "f32"), scales), shape, False)


def _joined(tensors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return tensors[0] if len(tensors) == 1 else np.concatenate(tensors)


def build(constants: Constants, top: int, wanted: Sequence[int]) -> ov.Model:
    """Blocks 1..top as a model with an output `layer_K` [n, B, D] for each wanted K up to `top`.

    Inputs, int32 [n, B]: `ids`; `places` = position + table length * type; `sequence` and `key`: a token attends to those
    whose key equals its sequence.
    """
    inputs = [_parameter(name) for name in INPUTS]
    hidden = _embeddings(constants, inputs[0], inputs[1])
    mask = _mask(inputs[2], inputs[3])
    outputs = []
    for layer in range(1, top + 1):
        hidden = _block(constants, hidden, mask, f"encoder.layer.{layer - 1}")
        if layer in wanted:
            outputs.append(op.result(hidden))
            outputs[-1].output(0).set_names({f"layer_{layer}"})
    return ov.Model(outputs, inputs, f"blocks_1_to_{top}")


def _embeddings(constants: Constants, ids: ov.Node, places: ov.Node) -> ov.Node:
    types = constants.tensor("embeddings.token_type_embeddings.weight")
    positions = constants.tensor("embeddings.position_embeddings.weight")
    table = (types[:, None, :] + positions[None, :, :]).reshape(-1, positions.shape[1])        # [types * positions, D]
    words = op.gather(constants.matrix(["embeddings.word_embeddings.weight"]), ids, _constant(np.int32(0)))
    placed = op.gather(_constant(table), places, _constant(np.int32(0)))
    return _layer_norm(constants, op.add(words, placed), "embeddings.LayerNorm")


def _mask(sequence: ov.Node, key: ov.Node) -> ov.Node:
    """[n, 1, B, B], added to the attention scores."""
    rows, columns = op.unsqueeze(sequence, _constant(np.int64(2))), op.unsqueeze(key, _constant(np.int64(1)))
    mask = op.select(op.equal(rows, columns), _constant(np.float32(0)), _constant(np.float32(-1e9)))
    return op.unsqueeze(mask, _constant(np.int64(1)))


def _block(constants: Constants, x: ov.Node, mask: ov.Node, at: str) -> ov.Node:
    of = constants.architecture
    swap = _constant(np.array([0, 2, 1, 3], np.int64))

    # One product: a third of the linear layers' fixed cost, 8 us each where a text's shape is not the one before it.
    names = [f"{at}.attention.self.{name}" for name in ("query", "key", "value")]
    flat = _joint(constants, constants.smooth(x, names), names)
    heads = op.transpose(_reshape(flat, 0, 0, 3 * of.heads, of.hidden // of.heads), swap)       # [n, 3 heads, B, D / heads]
    query, key, value = op.split(heads, _constant(np.int64(1)), 3).outputs()
    attention = op.scaled_dot_product_attention(query, key, value, mask)
    context = _reshape(op.transpose(attention, swap), 0, 0, of.hidden)
    attended = _linear(constants, context, f"{at}.attention.output.dense")
    x = _layer_norm(constants, op.add(x, attended), f"{at}.attention.output.LayerNorm")
    even = constants.smooth(x, [f"{at}.intermediate.dense"])
    wide = _activation(_linear(constants, even, f"{at}.intermediate.dense"), of)
    return _layer_norm(constants, op.add(x, _linear(constants, wide, f"{at}.output.dense")), f"{at}.output.LayerNorm")


def _linear(constants: Constants, x: ov.Node, prefix: str) -> ov.Node:
    return _joint(constants, x, [prefix])


def _joint(constants: Constants, x: ov.Node, prefixes: Sequence[str]) -> ov.Node:
    """The outputs of several linear layers side by side."""
    weights = [f"{prefix}.weight" for prefix in prefixes]
    product = op.matmul(x, constants.matrix(weights), False, True)
    product.set_friendly_name(prefixes[0])
    return op.add(product, constants.vector([f"{prefix}.bias" for prefix in prefixes]))


def _layer_norm(constants: Constants, x: ov.Node, prefix: str) -> ov.Node:
    x = op.mvn(x, _constant(np.array([-1], np.int64)), True, constants.architecture.layer_norm_eps, "inside_sqrt")
    x = op.multiply(x, constants.vector([f"{prefix}.weight"]))
    return op.add(x, constants.vector([f"{prefix}.bias"]))


def _activation(x: ov.Node, of: Architecture) -> ov.Node:
    if of.activation == "relu":
        return op.relu(x)
    return op.gelu(x, "tanh" if of.activation == "gelu_new" else "erf")


def _reshape(x: ov.Node, *shape: int) -> ov.Node:
    return op.reshape(x, _constant(np.array(shape, np.int64)), True)                            # 0 keeps a dimension


def _parameter(name: str) -> ov.Node:
    node = op.parameter([-1, -1], ov.Type.i32)
    node.output(0).set_names({name})
    node.set_friendly_name(name)
    return node


def _constant(value: NDArray[np.generic] | np.generic) -> ov.Node:
    value = np.asarray(value)
    return op.constant(np.ascontiguousarray(value) if value.ndim else value)
