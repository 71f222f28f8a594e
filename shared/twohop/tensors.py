"""numpy <-> TF-Serving's TensorProto. Out goes raw `tensor_content` (8 us to decode where 768 float_val take 39); in comes
either form, since TF-Serving answers in the typed fields unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from twohop.errors import InvalidInput, ModelError
from twohop.wire import tfserving_pb2 as wire

Array = npt.NDArray[Any]

_NUMPY: dict[wire.DataType, str] = {
    wire.DT_FLOAT: "float32",
    wire.DT_DOUBLE: "float64",
    wire.DT_HALF: "float16",
    wire.DT_INT8: "int8",
    wire.DT_INT16: "int16",
    wire.DT_INT32: "int32",
    wire.DT_INT64: "int64",
    wire.DT_UINT8: "uint8",
    wire.DT_UINT16: "uint16",
    wire.DT_UINT32: "uint32",
    wire.DT_UINT64: "uint64",
    wire.DT_BOOL: "bool",
    wire.DT_STRING: "object",
}
_WIRE = {name: number for number, name in _NUMPY.items()}

_FIELD: dict[wire.DataType, str] = {
    wire.DT_FLOAT: "float_val",
    wire.DT_DOUBLE: "double_val",
    wire.DT_HALF: "half_val",
    wire.DT_INT64: "int64_val",
    wire.DT_UINT32: "uint32_val",
    wire.DT_UINT64: "uint64_val",
    wire.DT_BOOL: "bool_val",
    wire.DT_STRING: "string_val",
}                                       # the others share int_val


def dtype_name(dtype: wire.DataType) -> str:
    """numpy's name of a wire type; "object" for strings. Raises ModelError for one that we do not speak."""
    if dtype not in _NUMPY:
        raise ModelError(f"tensors of TensorFlow's type {dtype} are not supported")
    return _NUMPY[dtype]


def to_proto(array: Array | Sequence[str]) -> wire.TensorProto:
    """Any shape. Strings (a list of str, or arrays of str, bytes or both as objects) become UTF-8. Raises InvalidInput for
    types that TF-Serving's tensors do not have."""
    given, array = array, np.asarray(array)
    if array.dtype.kind in "US" and not isinstance(given, np.ndarray):
        array = np.array(given, object)             # numpy's own strings lose NULs at their ends
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=size) for size in array.shape])
    if array.dtype.kind in "USO":
        values = [_bytes(value) for value in array.ravel().tolist()]
        return wire.TensorProto(dtype=wire.DT_STRING, tensor_shape=shape, string_val=values)
    if array.dtype.name not in _WIRE:
        raise InvalidInput(f"arrays of {array.dtype} cannot be sent: give {', '.join(sorted(_WIRE))} or strings")
    raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return wire.TensorProto(dtype=_WIRE[array.dtype.name], tensor_shape=shape, tensor_content=raw)


def from_proto(tensor: wire.TensorProto) -> Array:
    """The array; strings as an object array of bytes. A `tensor_content` is not copied, and so read-only. Raises
    ModelError where values and shape disagree."""
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    name = dtype_name(tensor.dtype)
    try:
        if tensor.tensor_content:
            return np.frombuffer(tensor.tensor_content, np.dtype(name).newbyteorder("<")).reshape(shape)
        return _repeated(_values(tensor, name), prod(shape)).reshape(shape)
    except ValueError as error:
        raise ModelError(f"a tensor's values do not fill its shape {list(shape)}: {error}") from error


def _values(tensor: wire.TensorProto, name: str) -> Array:
    values = getattr(tensor, _FIELD.get(tensor.dtype, "int_val"))
    if tensor.dtype == wire.DT_HALF:                    # the bits of each, in an int
        return np.array(values, np.uint16).view(np.float16)
    if name != "object":
        return np.array(values, name)
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array


def _repeated(values: Array, size: int) -> Array:
    """TensorProto's shorthand: fewer values than elements, the last one stands for the rest."""
    if len(values) == size or len(values) == 0:
        return values
    if len(values) > size:
        raise ValueError(f"{len(values)} values for {size} elements")
    return np.concatenate([values, np.repeat(values[-1:], size - len(values))])


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"a string cannot be written in UTF-8: {error.reason}") from None
    raise InvalidInput(f"an array of objects holds a {type(value).__name__}: only strings can be sent so")
