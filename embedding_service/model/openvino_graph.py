"""The encoder as OpenVINO's graph, straight from the weights: attention in blocks, no layer above the highest wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from embedding_service.model.checkpoint import Architecture, Checkpoint
from embedding_service.model.feed import INPUTS
from embedding_service.model.packing import FULL, Shape
from embedding_service.model.quantize import largest_inputs, quantize, smoothing


class Constants:
    """The checkpoint's tensors as graph constants, each made once and shared by all models; large ones are not copied."""

    quantised = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.architecture = checkpoint.architecture
        self._checkpoint = checkpoint
        self._made: dict[tuple[str, ...], ov.Node] = {}

    def tensor(self, name: str) -> NDArray[np.float32]:
        return self._checkpoint.tensor(name)

    def matrix(self, names: Sequence[str]) -> ov.Node:
        """[sum of rows, D]: the matrices below one another."""
        key = tuple(names)
        if key not in self._made:
            self._made[key] = op.constant(self._joined(names), shared_memory=True)
        return self._made[key]

    def vector(self, names: Sequence[str]) -> ov.Node:
        """[D]: end to end."""
        return _constant(self._joined(names))

    def _joined(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Queries are scaled here: where the graph scales them, OpenVINO transposes every key by an operation of its own."""
        scale = np.float32(self.architecture.head_size**-0.5)
        tensors = [self.tensor(name) * scale if ".query." in name else self.tensor(name) for name in names]
        return tensors[0] if len(tensors) == 1 else np.concatenate(tensors)

    def smooth(self, x: ov.Node, readers: Sequence[str]) -> ov.Node:
        """x as the matrices of `readers`, prefixes of linear layers, expect it."""
        return x


class QuantizedConstants(Constants):
    """The linear layers' matrices in int8, of which the engine sees that it may quantise their inputs too, per token and
    group as they come; tables, biases and norms as they are. The models share the int8 values."""

    quantised = True

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
        return op.multiply(x, _constant(1 / self._smoothing[readers[0]]))

    def matrix(self, names: Sequence[str]) -> ov.Node:
        prefix = names[0].removesuffix(".weight")
        if prefix not in self._largest:
            return super().matrix(names)
        if prefix not in self._quantized:
            weight = self._joined(names)
            found = quantize(weight * self._smoothing[prefix] if prefix in self._smoothing else weight, self._group)
            shape = _constant(np.array(weight.shape, np.int64))
            self._quantized[prefix] = op.constant(found.values), op.constant(found.scales), shape
        values, scales, shape = self._quantized[prefix]
        return op.reshape(op.multiply(op.convert(values, "f32"), scales), shape, False)


@dataclass(frozen=True)
class _Layout:
    """How hidden states lie: rows [n * B, D] where `shape` is [n, B]; blocks [n, B, D] of any shape where it is None."""

    shape: Shape | None

    def rows(self, x: ov.Node, *tail: int) -> ov.Node:
        """x [n, B, …] with `tail` in place of its last dimensions."""
        return _reshape(x, *((self.shape[0] * self.shape[1],) if self.shape else (0, 0)), *tail)

    def blocks(self, x: ov.Node, *tail: int) -> ov.Node:
        """[n, B, *tail] of rows."""
        return _reshape(x, *(self.shape or (0, 0)), *tail)


def build(constants: Constants, top: int, wanted: Sequence[int], shape: Shape | None = None) -> ov.Model:
    """Blocks 1..top as a model for feeds of this shape [n, B] (None: of any), with an output `layer_K` of n * B rows,
    [n * B, D] or [n, B, D], for each wanted K up to `top`.

    Inputs, int32 [n, B]: `ids`; `places` = position + table length * type; `sequence` and `key`: a token attends to those
    whose key equals its sequence.
    """
    inputs = [_parameter(name, shape) for name in INPUTS]
    # Rows are 2 to 4 % faster in a model of one shape, 8 % slower in one of any, and 2 to 5 % slower at int8.
    layout = _Layout(None if constants.quantised else shape)
    hidden = layout.rows(_embeddings(constants, inputs[0], inputs[1]), constants.architecture.hidden)
    mask = _mask(inputs[2], inputs[3])
    outputs = []
    for layer in range(1, top + 1):
        hidden = _block(constants, hidden, mask, layout, f"encoder.layer.{layer - 1}")
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


def _block(constants: Constants, x: ov.Node, mask: ov.Node, layout: _Layout, at: str) -> ov.Node:
    of = constants.architecture
    query, key, value = _heads(constants, x, layout, f"{at}.attention.self")
    weights = op.softmax(op.add(op.matmul(query, key, False, True), mask), -1)
    context = layout.rows(op.transpose(op.matmul(weights, value, False, False), _swap()), of.hidden)
    attended = _linear(constants, context, f"{at}.attention.output.dense")
    x = _layer_norm(constants, op.add(x, attended), f"{at}.attention.output.LayerNorm")
    even = constants.smooth(x, [f"{at}.intermediate.dense"])
    wide = _activation(_linear(constants, even, f"{at}.intermediate.dense"), of)
    return _layer_norm(constants, op.add(x, _linear(constants, wide, f"{at}.output.dense")), f"{at}.output.LayerNorm")


def _heads(constants: Constants, x: ov.Node, layout: _Layout, at: str) -> Sequence[ov.Node | ov.Output]:
    """Queries, keys and values [n, heads, B, D / heads]."""
    of = constants.architecture
    names = [f"{at}.{name}" for name in ("query", "key", "value")]
    if layout.shape == FULL:
        # OpenVINO's attention reads queries and keys of products of their own where these left them: 4 % of a full feed. Not at
        # int8, where each product quantises its input anew.
        products = [layout.blocks(_linear(constants, x, name), of.heads, of.head_size) for name in names]
        return [op.transpose(product, _swap()) for product in products]
    # One product: a third of the linear layers' fixed cost, 8 us each where a text's shape is not the one before it.
    joint = layout.blocks(_joint(constants, constants.smooth(x, names), names), 3 * of.heads, of.head_size)
    parts: Sequence[ov.Output] = op.split(op.transpose(joint, _swap()), _constant(np.int64(1)), 3).outputs()
    return parts


def _swap() -> ov.Node:
    """The order of dimensions that makes [n, heads, B, …] of [n, B, heads, …], and back."""
    return _constant(np.array([0, 2, 1, 3], np.int64))


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


def _parameter(name: str, shape: Shape | None) -> ov.Node:
    node = op.parameter(list(shape or (-1, -1)), ov.Type.i32)
    node.output(0).set_names({name})
    node.set_friendly_name(name)
    return node


def _constant(value: NDArray[np.generic] | np.generic) -> ov.Node:
    value = np.asarray(value)
    return op.constant(np.ascontiguousarray(value) if value.ndim else value)
