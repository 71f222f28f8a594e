"""TF-Serving's REST: routes, and the JSON of requests and replies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_requests import info, refused

from head_service.model_server.fronts import json_replies, json_requests, json_text, rest_routes
from head_service.model_server.model import Array
from head_service.model_server.status import Code
from twohop.wire import tfserving_pb2 as wire

# --- routes


def spec(name: str, version: int | None = None, label: str = "") -> wire.ModelSpec:
    made = wire.ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label:
        made.version_label = label
    return made


@pytest.mark.parametrize(("method", "path", "action", "expected"), [
    ("POST", "/v1/models/m:predict", "predict", spec("m")),
    ("POST", "/V1/Models/m/Versions/007:predict", "predict", spec("m", 7)),
    ("POST", "/v1/models/m/labels/a.b%20c:classify", "classify", spec("m", label="a.b c")),
    ("POST", "/v1/models/a%2Fb:regress", "regress", spec("a/b")),
    ("GET", "/v1/models/m", "status", spec("m")),
    ("GET", "/v1/models/m/versions/0", "status", spec("m", 0)),
    ("GET", "/v1/models/m/labels/l/metadata", "metadata", spec("m", label="l")),
    ("OPTIONS", "/v1/whatever", "preflight", spec("")),
])
def test_routes(method: str, path: str, action: str, expected: wire.ModelSpec) -> None:
    assert rest_routes.route(method, path) == rest_routes.Route(action, expected)


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/v1/models/m:predict"), ("POST", "/v1/models/m"), ("POST", "/v1/models/m:predict?a"),
    ("POST", "/v1/models/m:Predict"), ("GET", "/v1/models//metadata"),
    ("GET", "/v1/models/m/versions/x"), ("GET", "/v1/models/m/versions/-1"), ("PUT", "/v1/models/m"),
    ("GET", "/v1/models/m/versions/\u0661"), ("POST", "/v1/models/m/labels/l/m:predict"),
])
def test_paths_of_no_known_form(method: str, path: str) -> None:
    assert refused(lambda: rest_routes.route(method, path)) == (Code.INVALID_ARGUMENT, f"Malformed request: {method} {path}")


# --- JSON requests


FLOAT = {"x": info("x")}
STRING = {"s": info("s", wire.DT_STRING)}
TWO = {"a": info("a"), "b": info("b", wire.DT_INT64)}


def read(text: str, infos: Mapping[str, wire.TensorInfo]) -> tuple[dict[str, Any], bool]:
    arrays, in_rows = json_requests.read_inputs(json_text.parse_object(text.encode()), infos)
    return {name: array.tolist() for name, array in arrays.items()}, in_rows


@pytest.mark.parametrize(("text", "infos", "expected"), [
    ('{"instances": [1, 2.5]}', FLOAT, ({"x": [1, 2.5]}, True)),
    ('{"instances": [[1, 2], [3, 4]]}', FLOAT, ({"x": [[1, 2], [3, 4]]}, True)),
    ('{"instances": [[]]}', FLOAT, ({"x": [[]]}, True)),
    ('{"instances": [{"x": 1}, {"x": 2}]}', FLOAT, ({"x": [1, 2]}, True)),
    ('{"instances": [{"a": [1], "b": 2}, {"b": 3, "a": [4]}]}', TWO, ({"a": [[1], [4]], "b": [2, 3]}, True)),
    ('{"inputs": 5}', FLOAT, ({"x": 5}, False)),
    ('{"inputs": [[1, 2]]}', FLOAT, ({"x": [[1, 2]]}, False)),
    ('{"inputs": {"a": 1, "b": [2], "c": "ignored"}}', TWO, ({"a": 1, "b": [2]}, False)),
    ('{"inputs": {"b64": "AAE="}}', STRING, ({"s": b"\0\1"}, False)),
    ('{"instances": ["é", {"b64": "AAE"}]}', STRING, ({"s": ["é".encode(), b"\0\1"]}, True)),
    ('{"instances": [NaN, Infinity, -Infinity, Inf, -Inf, 1e39, 1e-50]}', FLOAT,
     ({"x": [pytest.approx(math.nan, nan_ok=True), math.inf, -math.inf, math.inf, -math.inf, math.inf, 0]}, True)),
    ('{"instances": ["Inf", "a\\"Inf"], "unknown": Inf}', STRING, ({"s": [b"Inf", b'a"Inf']}, True)),
    ('{"instances": [1]} trailing junk', FLOAT, ({"x": [1]}, True)),
    ('{"instances": [true, false]}', {"t": info("t", wire.DT_BOOL)}, ({"t": [True, False]}, True)),
    ('{"instances": [300]}', {"t": info("t", wire.DT_UINT8)}, ({"t": [44]}, True)),
    ('{"instances": [18446744073709551615]}', {"t": info("t", wire.DT_UINT64)}, ({"t": [2**64 - 1]}, True)),
])
def test_json_becomes_arrays(text: str, infos: Any, expected: Any) -> None:
    assert read(text, infos) == expected


LIST = "of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(("text", "infos", "message"), [
    ("", FLOAT, "JSON Parse error: The document is empty"),
    ("  ", FLOAT, "JSON Parse error: The document is empty"),
    ("{", FLOAT, "JSON Parse error: "),
    ('{"a": }', FLOAT, "JSON Parse error: Invalid value. at offset: 6"),
    ("[" * 100_000, FLOAT, "JSON Parse error: "),
    ('{"inputs": ' + "[" * 300 + "]" * 300 + "}", FLOAT, "at most 62 dimensions"),
    ("[1]", FLOAT, "JSON Value: [\n    1\n] Is not object"),
    ("{}", FLOAT, "Missing 'inputs' or 'instances' key"),
    ('{"instances": [1], "inputs": 1}', FLOAT,
     "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"),
    ('{"instances": 1}', FLOAT, "Excepting 'instances' to be an list/array"),
    ('{"instances": []}', FLOAT, "No values in 'instances' array"),
    ('{"instances": [1, [2]]}', FLOAT, f"Failed to process element: 1 {LIST}Expecting shape [] but got: [1]"),
    ('{"instances": [[1, 2], [1]]}', FLOAT, f"Failed to process element: 1 {LIST}Expecting tensor size: 2 but got: 1"),
    ('{"instances": [[1, 2], [[1, 2]]]}', FLOAT, f"{LIST}Expecting shape [2] but got: [1,2]"),
    ('{"instances": [[[1], [1, 2]]]}', FLOAT, f"{LIST}Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
    ('{"instances": [[1, [2]]]}', FLOAT, f"{LIST}Encountered list at unexpected level: 1 expected < 1"),
    ('{"instances": [[[1], 2]]}', FLOAT,
     f"{LIST}JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ('{"instances": [{"x": 1}, 2]}', FLOAT, "Expecting object but got list at item 1 of input list"),
    ('{"instances": [1, {"x": 1}]}', FLOAT, "Expecting value/list but got object at item 1 of input list"),
    ('{"instances": [{"y": 1}]}', FLOAT,
     f"Failed to process element: 0 key: y {LIST}JSON object: does not have named input: y"),
    ('{"instances": [{"a": 1}]}', TWO, "keys must be equal to: a,b"),
    ('{"instances": [1]}', TWO, "instances is a plain list, but expecting list of objects"),
    ('{"inputs": [1]}', TWO, "inputs is a plain value/list, but expecting an object"),
    ('{"inputs": {"a": 1}}', TWO, "Missing named input: b in 'inputs' object."),
    ('{"inputs": {"a": "s", "b": 1}}', TWO, 'JSON Value: "s" Type: String is not of expected type: float'),
    ('{"inputs": {"a": true, "b": 1}}', TWO, "JSON Value: true Type: True is not of expected type: float"),
    ('{"inputs": {"a": null, "b": 1}}', TWO, "JSON Value: null Type: Null is not of expected type: float"),
    ('{"inputs": {"a": 1, "b": 1.0}}', TWO, "JSON Value: 1.0 Type: Number is not of expected type: int64"),
    ('{"inputs": {"a": 1, "b": 9223372036854775808}}', TWO, "is not of expected type: int64"),
    ('{"inputs": [1]}', {"t": info("t", wire.DT_BOOL)}, "JSON Value: 1 Type: Number is not of expected type: bool"),
    ('{"inputs": [-1]}', {"t": info("t", wire.DT_UINT32)}, "is not of expected type: uint32"),
    ('{"inputs": [1]}', STRING, "JSON Value: 1 Type: Number is not of expected type: string"),
    ('{"inputs": [{"b64": "AA", "c": 1}]}', STRING, "not formatted correctly for base64 data"),
    ('{"inputs": [{"b64": "?"}]}', STRING, "Unable to base64 decode"),
    ('{"inputs": ["\\ud800"]}', STRING, "The surrogate pair in string is invalid."),
])
def test_json_that_is_refused(text: str, infos: Any, message: str) -> None:
    code, found = refused(lambda: read(text, infos))
    assert code is Code.INVALID_ARGUMENT
    assert message in found


def test_half_floats_cannot_come_as_json() -> None:
    code, text = refused(lambda: read('{"inputs": [1]}', {"t": info("t", wire.DT_HALF)}))
    assert (code, text) == (Code.UNIMPLEMENTED, "Conversion of JSON Value: 1 to type: half")


def test_a_value_in_an_errors_text_is_cut() -> None:
    assert len(refused(lambda: read(f'{{"inputs": "{"a" * 5000}"}}', FLOAT))[1]) < 400


def test_the_signatures_name_must_be_a_string() -> None:
    assert json_requests.signature_name({"signature_name": "s"}) == "s"
    assert json_requests.signature_name({}) == ""
    code, text = refused(lambda: json_requests.signature_name({"signature_name": 1}))
    assert code is Code.INVALID_ARGUMENT
    assert "'signature_name' key must be a string value." in text


def test_bytes_that_are_no_utf8_pass_through_strings() -> None:
    document = json_text.parse_object(b'{"instances": ["a\xff"]}')
    arrays, _ = json_requests.read_inputs(document, STRING)
    assert arrays["s"].tolist() == [b"a\xff"]
    assert json_replies.row_form(arrays).encode("utf-8", json_text.BYTES) == b'{\n    "predictions": ["a\xff"\n    ]\n}'


# --- JSON replies


@pytest.mark.parametrize(("value", "text"), [
    (0.1, "0.1"), (1, "1.0"), (9_000_000, "9e+06"), (0.00003, "3e-05"), (1 / 3, "0.333333343"), (-0.0, "-0.0"),
    (16_777_216, "16777216.0"), (123456.7, "123456.703"), (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"),
    (3.4028235e38, "3.40282347e+38"), (1e-45, "1.4013e-45"), (100000, "100000.0"), (1234567, "1234567.0"),
])
def test_float32_text(value: float, text: str) -> None:
    assert json_replies.float_tokens(np.array([value], np.float32)) == [text]


@pytest.mark.parametrize(("value", "text"), [
    (0.1, "0.1"), (1 / 3, "0.33333333333333331"), (1e300, "1e+300"), (2.5, "2.5"), (0.2 + 0.1, "0.30000000000000004"),
])
def test_float64_text(value: float, text: str) -> None:
    assert json_replies.float_tokens(np.array([value])) == [text]


@given(st.lists(st.floats(width=32), max_size=20))
def test_float32_text_reads_back_the_same(values: list[float]) -> None:
    array = np.array(values, np.float32)
    back = np.array([float(token) for token in json_replies.float_tokens(array)], np.float64).astype(np.float32)
    assert np.array_equal(back, array, equal_nan=True)


@pytest.mark.parametrize(("outputs", "text"), [
    ({"y": np.float32([1, 2])}, '{\n    "predictions": [1.0, 2.0\n    ]\n}'),
    ({"y": np.float32([[1], [2]])}, '{\n    "predictions": [[1.0], [2.0]\n    ]\n}'),
    ({"y": np.zeros((0, 3), np.float32)}, '{\n    "predictions": []\n}'),
    ({"y": np.zeros((1, 0), np.float32)}, '{\n    "predictions": [[]\n    ]\n}'),
    ({"a": np.array([1]), "b": np.array([[True, False]])},
     '{\n    "predictions": [\n        {\n            "a": 1,\n            "b": [true, false]\n        }\n    ]\n}'),
    ({"s_bytes": np.array([b"\0"], object)}, '{\n    "predictions": [{ "b64": "AA==" }\n    ]\n}'),
])
def test_row_form(outputs: dict[str, Array], text: str) -> None:
    assert json_replies.row_form(outputs) == text


@pytest.mark.parametrize(("outputs", "text"), [
    ({"y": np.float32(3)}, '{\n    "outputs": 3.0\n}'),
    ({"y": np.array([], np.int32)}, '{\n    "outputs": []\n}'),
    ({"y": np.array([[1, 2]])}, '{\n    "outputs": [\n        [\n            1,\n            2\n        ]\n    ]\n}'),
    ({"a": np.array(1), "b": np.array([b'"'], object)},
     '{\n    "outputs": {\n        "a": 1,\n        "b": [\n            "\\""\n        ]\n    }\n}'),
])
def test_column_form(outputs: dict[str, Array], text: str) -> None:
    assert json_replies.column_form(outputs) == text


@pytest.mark.parametrize(("outputs", "text"), [
    ({"p": np.float32(1)}, "Tensor name: p has no shape information "),
    ({"p": np.zeros(1), "q": np.zeros(2)}, "Tensor name: q has inconsistent batch size: 2 expecting: 1"),
    ({"p": np.zeros(1, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
    ({}, "Cannot convert empty tensor map to JSON"),
])
def test_outputs_that_have_no_row_form(outputs: dict[str, Array], text: str) -> None:
    assert refused(lambda: json_replies.row_form(outputs)) == (Code.INVALID_ARGUMENT, text)
