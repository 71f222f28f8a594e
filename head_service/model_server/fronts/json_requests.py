"""A REST predict body -> arrays, by the types of a signature: TF-Serving's row form (`instances`) and column form
(`inputs`), with its rules and its texts. A type comes from the signature, never from the JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from head_service.model_server.fronts.json_text import BYTES, malformed, shown, type_name
from head_service.model_server.model import Array
from head_service.model_server.requests import tensor_codec
from head_service.model_server.status import Code, ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

Infos = Mapping[str, wire.TensorInfo]

MAX_RANK = 62                   # numpy takes 64, of which the batch and a margin are kept

_INT32, _INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
# The range that a JSON integer must lie in; narrower types then wrap, as in C++.
_RANGES: dict[int, tuple[int, int]] = {
    wire.DT_INT32: _INT32, wire.DT_INT16: _INT32, wire.DT_INT8: _INT32, wire.DT_UINT8: _INT32,
    wire.DT_INT64: _INT64, wire.DT_UINT32: (0, 2**32 - 1), wire.DT_UINT64: (0, 2**64 - 1),
}
_NUMPY: dict[int, type[np.generic]] = {
    wire.DT_FLOAT: np.float32, wire.DT_DOUBLE: np.float64, wire.DT_BOOL: np.bool_, wire.DT_STRING: np.object_,
    wire.DT_INT32: np.int32, wire.DT_INT16: np.int16, wire.DT_INT8: np.int8, wire.DT_UINT8: np.uint8,
    wire.DT_INT64: np.int64, wire.DT_UINT32: np.uint32, wire.DT_UINT64: np.uint64,
}
# Python types that a leaf list may be made of to be taken at once.
_QUICK: dict[int, set[type]] = {wire.DT_FLOAT: {int, float}, wire.DT_DOUBLE: {int, float}, wire.DT_BOOL: {bool}}


@dataclass
class _Dense:
    """The values of one tensor, flat, and the shape that its first elements say."""

    dtype: int
    shape: list[int]
    values: list[Any]


def signature_name(document: Mapping[str, Any]) -> str:
    """Empty where none is given."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise malformed(document, "not formatted correctly. 'signature_name' key must be a string value.")
    return name


def read_inputs(document: Mapping[str, Any], infos: Infos) -> tuple[dict[str, Array], bool]:
    """The arrays by input, and whether the body was in row form. Raises ServingError."""
    if "instances" in document and "inputs" in document:
        raise malformed(document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise malformed(document, "Excepting 'instances' to be an list/array")
        if not instances:
            raise malformed(document, "No values in 'instances' array")
        return _rows(instances, infos), True
    if "inputs" in document:
        return _columns(document["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


# --- row form

def _rows(instances: list[Any], infos: Infos) -> dict[str, Array]:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map"
        )
    named = _is_object(instances[0])
    tensors: dict[str, _Dense] = {}
    for index, instance in enumerate(instances):
        if named != _is_object(instance):
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {index} of input list")
        if named:
            _add_object(index, instance, infos, tensors)
        else:
            name = next(iter(infos))
            _add(index, "", instance, name, infos, tensors)
    return {name: _array(dense, [len(instances), *dense.shape]) for name, dense in tensors.items()}


def _add_object(index: int, instance: dict[str, Any], infos: Infos, tensors: dict[str, _Dense]) -> None:
    for name, value in instance.items():
        _add(index, f" key: {name}", value, name, infos, tensors)
    if instance.keys() != infos.keys():
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: {shown(instance)} keys must be equal to: "
            f"{','.join(sorted(infos))}"
        )


def _add(index: int, key: str, value: Any, name: str, infos: Infos, tensors: dict[str, _Dense]) -> None:
    try:
        if name not in infos:
            raise invalid(f"JSON object: does not have named input: {name}")
        item = _dense(value, infos[name].dtype)
        whole = tensors.setdefault(name, _Dense(item.dtype, item.shape, []))
        size = len(whole.values) // index if index else len(item.values)
        if len(item.values) != size:
            raise invalid(f"Expecting tensor size: {size} but got: {len(item.values)}")
        if item.shape != whole.shape:
            raise invalid(f"Expecting shape {_shape(whole.shape)} but got: {_shape(item.shape)}")
        whole.values += item.values
    except ServingError as error:
        raise invalid(f"Failed to process element: {index}{key} of 'instances' list. Error: {error}") from None


# --- column form

def _columns(inputs: Any, infos: Infos) -> dict[str, Array]:
    if not _is_object(inputs):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
            )
        inputs = {next(iter(infos)): inputs}
    arrays = {}
    for name, info in infos.items():
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        dense = _dense(inputs[name], info.dtype)
        arrays[name] = _array(dense, dense.shape)
    return arrays


# --- one tensor

def _dense(value: Any, dtype: int) -> _Dense:
    dense = _Dense(dtype, _shape_of(value), [])
    if len(dense.shape) > MAX_RANK:
        raise invalid(f"Lists are nested {len(dense.shape)} deep: a tensor has at most {MAX_RANK} dimensions")
    _fill(value, 0, dense)
    return dense


def _shape_of(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _fill(value: Any, level: int, dense: _Dense) -> None:
    rank = len(dense.shape)
    if not isinstance(value, list):
        if level != rank:
            raise malformed(value, f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}")
        dense.values.append(_leaf(value, dense.dtype))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != dense.shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {dense.shape[level]}"
        )
    if level == rank - 1 and dense.dtype in _QUICK and set(map(type, value)) <= _QUICK[dense.dtype]:
        dense.values += value
        return
    for item in value:
        _fill(item, level + 1, dense)


def _leaf(value: Any, dtype: int) -> Any:
    if dtype in (wire.DT_FLOAT, wire.DT_DOUBLE):
        fits = type(value) in (int, float)
    elif dtype in _RANGES:
        low, high = _RANGES[dtype]
        fits = type(value) is int and low <= value <= high
    elif dtype == wire.DT_BOOL:
        fits = isinstance(value, bool)
    elif dtype == wire.DT_STRING:
        return _string(value)
    else:
        if isinstance(value, dict):
            raise _type_error(value, dtype)
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {tensor_codec.type_name(dtype)}"
        )
    if not fits:
        raise _type_error(value, dtype)
    return value


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8", BYTES)
        except UnicodeEncodeError:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    if not isinstance(value, dict):
        raise _type_error(value, wire.DT_STRING)
    if not _is_base64(value):
        raise malformed(value, "not formatted correctly for base64 data")
    text = value["b64"].rstrip("=\n")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _array(dense: _Dense, shape: list[int]) -> Array:
    """Numbers beyond a float's range become infinite, integers wider than their type wrap."""
    if dense.dtype == wire.DT_STRING:
        array = np.empty(len(dense.values), np.object_)
        array[:] = dense.values
        return array.reshape(shape)
    dtype = _NUMPY.get(dense.dtype, np.float32)                 # without a single value any type may be asked for
    if dense.dtype in (wire.DT_INT16, wire.DT_INT8, wire.DT_UINT8):
        return np.array(dense.values, np.int32).astype(dtype).reshape(shape)
    with np.errstate(over="ignore"):
        if dense.dtype == wire.DT_FLOAT:
            return _doubles(dense.values).astype(np.float32).reshape(shape)
        if dense.dtype == wire.DT_DOUBLE:
            return _doubles(dense.values).reshape(shape)
        return np.array(dense.values, dtype).reshape(shape)


def _doubles(values: list[Any]) -> Array:
    try:
        return np.array(values, np.float64)
    except OverflowError:                                       # an integer of more than 308 digits
        return np.array([float(str(value)) for value in values], np.float64)


def _type_error(value: Any, dtype: int) -> ServingError:
    return malformed(value, f"Type: {type_name(value)} is not of expected type: {tensor_codec.type_name(dtype)}")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _shape(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
