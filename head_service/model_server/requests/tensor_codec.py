"""TensorProto <-> numpy, as TensorFlow's C++ reads and writes it. (`twohop.tensors` is the client's: it sends raw bytes
only, and knows fewer types.)"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from head_service.model_server.model import Array
from head_service.model_server.status import invalid
from twohop.wire import tfserving_pb2 as wire

# TensorFlow's number of a type -> numpy's name, the field of its values, TensorFlow's own name.
_TYPES: dict[int, tuple[str, str, str]] = {
    wire.DT_FLOAT: ("float32", "float_val", "float"),
    wire.DT_DOUBLE: ("float64", "double_val", "double"),
    wire.DT_INT32: ("int32", "int_val", "int32"),
    wire.DT_UINT8: ("uint8", "int_val", "uint8"),
    wire.DT_INT16: ("int16", "int_val", "int16"),
    wire.DT_INT8: ("int8", "int_val", "int8"),
    wire.DT_STRING: ("object", "string_val", "string"),
    wire.DT_COMPLEX64: ("complex64", "scomplex_val", "complex64"),
    wire.DT_INT64: ("int64", "int64_val", "int64"),
    wire.DT_BOOL: ("bool", "bool_val", "bool"),
    wire.DT_QINT8: ("qint8", "int_val", "qint8"),
    wire.DT_QUINT8: ("quint8", "int_val", "quint8"),
    wire.DT_QINT32: ("qint32", "int_val", "qint32"),
    wire.DT_BFLOAT16: ("bfloat16", "half_val", "bfloat16"),
    wire.DT_QINT16: ("qint16", "int_val", "qint16"),
    wire.DT_QUINT16: ("quint16", "int_val", "quint16"),
    wire.DT_UINT16: ("uint16", "int_val", "uint16"),
    wire.DT_COMPLEX128: ("complex128", "dcomplex_val", "complex128"),
    wire.DT_HALF: ("float16", "half_val", "half"),
    wire.DT_UINT32: ("uint32", "uint32_val", "uint32"),
    wire.DT_UINT64: ("uint64", "uint64_val", "uint64"),
}
_NUMBERS = {numpy_name: number for number, (numpy_name, _, _) in _TYPES.items()}


def type_name(dtype: int) -> str:
    """As TensorFlow's messages write it: float, int64, string."""
    return _TYPES[dtype][2] if dtype in _TYPES else wire.DataType.Name(dtype).removeprefix("DT_").lower()


def decode(tensor: wire.TensorProto) -> Array:
    """Either form; fewer values than elements: the last one stands for the rest, none at all: zeros; surplus ones are
    dropped. Strings come as an object array of bytes, raw numbers uncopied and so read-only. Raises ValueError where
    TensorFlow would not read it."""
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.dtype not in _TYPES or tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError("no type or no shape")
    if tensor.dtype == wire.DT_STRING:
        return _strings(tensor, prod(shape)).reshape(shape)
    dtype = _numpy(tensor.dtype)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    return _filled(_values(tensor, dtype), prod(shape)).reshape(shape)


def encode(array: Array, into: wire.TensorProto, *, as_content: bool) -> None:
    """Writes the array into an empty message: in the typed field of its type, or raw. Strings are string_val always."""
    dtype = number_of(array)
    into.dtype = dtype                                                  # type: ignore[assignment]
    for size in array.shape:
        into.tensor_shape.dim.add(size=size)
    if dtype == wire.DT_STRING:
        into.string_val.extend(_as_bytes(value) for value in array.ravel().tolist())
    elif as_content:
        into.tensor_content = array.tobytes()
    else:
        getattr(into, _TYPES[dtype][1]).extend(_plain(array, dtype))


def _plain(array: Array, dtype: int) -> list[Any]:
    """The values as the typed field holds them: the bits of half floats, the two parts of complex ones."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype in (wire.DT_HALF, wire.DT_BFLOAT16):
        flat = flat.view(np.uint16)
    elif dtype in (wire.DT_COMPLEX64, wire.DT_COMPLEX128):
        flat = flat.view(flat.real.dtype)
    elif flat.dtype.names:
        flat = flat.view(flat.dtype[0])
    return flat.tolist()


def number_of(array: Array) -> int:
    """TensorFlow's number of the array's type. Raises ServingError for one that it does not have."""
    name = array.dtype.names[0] if array.dtype.names else array.dtype.name
    if array.dtype.kind in "SU":
        name = "object"
    if name not in _NUMBERS:
        raise invalid(f"Tensors of type {array.dtype} cannot be sent")
    return _NUMBERS[name]


def _numpy(dtype: int) -> np.dtype[Any]:
    name = _TYPES[dtype][0]
    if name == "bfloat16":
        from ml_dtypes import bfloat16  # TensorFlow brings it

        found: np.dtype[Any] = np.dtype(bfloat16)
        return found
    if name.startswith("q"):                                            # TensorFlow's quantised types are numpy records
        return np.dtype([(name, name.replace("q", "", 1))])
    return np.dtype(name)


def _values(tensor: wire.TensorProto, dtype: np.dtype[Any]) -> Array:
    values = getattr(tensor, _TYPES[tensor.dtype][1])
    if tensor.dtype in (wire.DT_HALF, wire.DT_BFLOAT16):
        return np.array(values, np.int64).astype(np.uint16).view(dtype)
    if tensor.dtype in (wire.DT_COMPLEX64, wire.DT_COMPLEX128):
        parts = np.array(values, np.float32 if tensor.dtype == wire.DT_COMPLEX64 else np.float64)
        return parts[: len(parts) // 2 * 2].view(dtype)
    plain = dtype[0] if dtype.names else dtype
    if _TYPES[tensor.dtype][1] == "int_val":                            # narrower than its field: wraps, as in C++
        return np.array(values, np.int64).astype(plain).view(dtype)
    return np.array(values, plain)


def _filled(values: Array, size: int) -> Array:
    if len(values) >= size:
        return values[:size]
    if len(values) == 0:
        return np.zeros(size, values.dtype)
    return np.concatenate([values, np.repeat(values[-1:], size - len(values))])


def _strings(tensor: wire.TensorProto, size: int) -> Array:
    values = _packed_strings(tensor.tensor_content, size) if tensor.tensor_content else list(tensor.string_val[:size])
    array = np.empty(size, object)
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else b""
    return array


def _packed_strings(content: bytes, size: int) -> list[bytes]:
    """TensorFlow's raw form of strings: all lengths as varints, then all bytes."""
    lengths, at = [], 0
    for _ in range(size):
        length, shift = 0, 0
        while True:
            if at >= len(content) or shift > 63:
                raise ValueError("torn lengths")
            byte = content[at]
            at, length, shift = at + 1, length | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError("lengths and bytes disagree")
    values = []
    for length in lengths:
        values.append(content[at : at + length])
        at += length
    return values


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
