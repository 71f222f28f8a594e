"""Outputs -> a REST predict body, in the text that TF-Serving writes: shortest floats that read back the same, four
blanks of indentation, inner lists on one line in row form (and, there, the closing bracket on the next)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from head_service.model_server.fronts.json_text import BYTES
from head_service.model_server.model import Array
from head_service.model_server.requests.tensor_codec import number_of, type_name
from head_service.model_server.status import invalid

INDENT = "    "
BYTES_SUFFIX = "_bytes"

_INTEGERS = {"int32", "int16", "int8", "uint8", "int64", "uint32", "uint64"}


def row_form(outputs: Mapping[str, Array]) -> str:
    """`predictions`, one item per index of axis 0. Raises ServingError where the outputs have no common axis 0."""
    size = _common_size(outputs)
    named = len(outputs) > 1
    columns = {name: _items(name, array) for name, array in outputs.items()}
    if not size:
        return f'{{\n{INDENT}"predictions": []\n}}'
    if not named:
        (column,) = columns.values()
        return f'{{\n{INDENT}"predictions": [{", ".join(column)}\n{INDENT}]\n}}'
    pad = INDENT * 3
    objects = [
        "{\n" + ",\n".join(f"{pad}{_quoted(name)}: {column[index]}" for name, column in columns.items()) + f"\n{INDENT * 2}}}"
        for index in range(size)
    ]
    joined = ",\n".join(INDENT * 2 + text for text in objects)
    return f'{{\n{INDENT}"predictions": [\n{joined}\n{INDENT}]\n}}'


def column_form(outputs: Mapping[str, Array]) -> str:
    """`outputs`: whole tensors, of any rank."""
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return f'{{\n{INDENT}"outputs": {_block(_tokens(name, array), array.shape, 1)}\n}}'
    lines = [
        f"{INDENT * 2}{_quoted(name)}: {_block(_tokens(name, array), array.shape, 2)}" for name, array in outputs.items()
    ]
    return f'{{\n{INDENT}"outputs": {{\n' + ",\n".join(lines) + f"\n{INDENT}}}\n}}"


def error_body(message: str) -> str:
    return f'{{\n{INDENT}"error": {_quoted(message)}\n}}'


def float_tokens(array: Array) -> list[str]:
    """Each number of a float32 or float64 array, flat: six digits where they read back the same, else all."""
    digits = 9 if array.dtype == np.float32 else 17
    values = array.ravel().tolist()
    tokens = [f"{value:g}" for value in values]
    with np.errstate(over="ignore"):
        same = np.array(list(map(float, tokens))).astype(array.dtype) == array.ravel()
    return [
        _token(value, token if exact else f"{value:.{digits}g}")
        for value, token, exact in zip(values, tokens, same.tolist(), strict=True)
    ]


def _token(value: float, text: str) -> str:
    if value != value:
        return "NaN"
    if value in (np.inf, -np.inf):
        return "Infinity" if value > 0 else "-Infinity"
    return text if "." in text or "e" in text else text + ".0"


def _common_size(outputs: Mapping[str, Array]) -> int:
    size: int | None = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and len(array) != size:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    if size is None:
        raise invalid("Cannot convert empty tensor map to JSON")
    return size


def _items(name: str, array: Array) -> list[str]:
    """The text of each item along axis 0, lists on one line."""
    tokens = _tokens(name, array)
    per_item = len(tokens) // max(1, len(array))
    return [_line(tokens[index * per_item : (index + 1) * per_item], array.shape[1:]) for index in range(len(array))]


def _line(tokens: Sequence[str], shape: tuple[int, ...]) -> str:
    if not shape:
        return tokens[0]
    if len(shape) == 1:
        return f"[{', '.join(tokens)}]"
    step = len(tokens) // max(1, shape[0])
    return f"[{', '.join(_line(tokens[at * step : (at + 1) * step], shape[1:]) for at in range(shape[0]))}]"


def _block(tokens: Sequence[str], shape: tuple[int, ...], level: int) -> str:
    """One value on each line."""
    if not shape:
        return tokens[0]
    if not shape[0]:
        return "[]"
    step = len(tokens) // shape[0]
    pad = INDENT * (level + 1)
    blocks = (_block(tokens[at * step : (at + 1) * step], shape[1:], level + 1) for at in range(shape[0]))
    return "[\n" + ",\n".join(pad + block for block in blocks) + f"\n{INDENT * level}]"


def _tokens(name: str, array: Array) -> list[str]:
    """Each value of the array, flat, as JSON."""
    kind = array.dtype.name
    if kind in ("float32", "float64"):
        return float_tokens(array)
    if kind in ("float16", "bfloat16"):
        return float_tokens(array.astype(np.float32))
    if kind in _INTEGERS:
        return [str(value) for value in array.ravel().tolist()]
    if kind == "bool":
        return ["true" if value else "false" for value in array.ravel().tolist()]
    if kind == "object":
        quote = _base64_object if name.endswith(BYTES_SUFFIX) else _text
        return [quote(value) for value in array.ravel().tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {type_name(number_of(array))}")


def _text(value: Any) -> str:
    return _quoted(value.decode("utf-8", BYTES))


def _base64_object(value: bytes) -> str:
    return f'{{ "b64": "{base64.b64encode(value).decode()}" }}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
