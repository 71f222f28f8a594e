"""The embedded model server over REST."""

from __future__ import annotations

import gzip

import pytest
from model_server_process import ModelServer

pytest.importorskip("tensorflow")


def test_row_and_column_form_by_rest(server: ModelServer) -> None:
    reply = server.http.post("/v1/models/m:predict", json={"instances": [1.0, 2.5, 1 / 3]})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert reply.text == '{\n    "predictions": [1.0, 2.5, 0.333333343\n    ]\n}'
    reply = server.http.post("/v1/models/m/versions/7:predict", json={"inputs": {"x": [9_000_000, 0.1]}})
    assert reply.text == '{\n    "outputs": [\n        9e+06,\n        0.1\n    ]\n}'


def test_several_inputs_and_outputs_by_rest(server: ModelServer) -> None:
    body = {"signature_name": "project", "instances": [{"x": [1, 2]}, {"x": [3, 4]}]}
    found = server.http.post("/v1/models/m:predict", json=body).json()
    assert found == {"predictions": [{"best": 2.0, "scores": [3.0] * 3}, {"best": 4.0, "scores": [7.0] * 3}]}
    body = {"signature_name": "pair", "inputs": {"a": [1, 2], "b": [True, False], "surplus": 1}}
    found = server.http.post("/v1/models/m:predict", json=body).json()
    assert found == {"outputs": {"a": [2, 3], "b": [False, True], "total": 3}}


def test_strings_and_base64_by_rest(server: ModelServer) -> None:
    body = {"signature_name": "echo", "instances": ["ä", {"b64": "AAE"}]}
    found = server.http.post("/v1/models/m:predict", json=body).json()["predictions"]
    assert [item["raw_bytes"] for item in found] == [{"b64": "w6Q="}, {"b64": "AAE="}]
    assert [item["length"] for item in found] == [2, 2]


def test_row_form_refuses_outputs_without_a_common_batch(server: ModelServer) -> None:
    body = {"signature_name": "pair", "instances": [{"a": 1, "b": True}]}
    reply = server.http.post("/v1/models/m:predict", json=body)
    assert (reply.status_code, reply.json()) == (400, {"error": "Tensor name: total has no shape information "})


@pytest.mark.parametrize(("method", "path", "body", "code", "text"), [
    ("POST", "/v1/models/nobody:predict", '{"instances": [1]}', 404, "Servable not found for request: Latest(nobody)"),
    ("POST", "/v1/models/nobody:predict", "{", 400, "JSON Parse error: "),
    ("POST", "/v1/models/m:predict", "", 400, "JSON Parse error: The document is empty"),
    ("POST", "/v1/models/m:predict", "[]", 400, "JSON Value: [] Is not object"),
    ("POST", "/v1/models/m:predict", "{}", 400, "Missing 'inputs' or 'instances' key"),
    ("POST", "/v1/models/m:predict", '{"instances": [1], "signature_name": "no"}', 400,
     'Serving signature name: "no" not found in signature def'),
    ("POST", "/v1/models/m:predict", '{"instances": ["a"]}', 400,
     "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: String is not of "
     "expected type: float"),
    ("POST", "/v1/models/m/labels/l:predict", '{"instances": [1]}', 400, "Unrecognized servable version label: l"),
    ("POST", "/v1/models/m:predict?x=1", "{}", 400, "Malformed request: POST /v1/models/m:predict?x=1"),
    ("POST", "/v1/models/m:PREDICT", "{}", 400, "Malformed request: POST /v1/models/m:PREDICT"),
    ("DELETE", "/v1/models/m", "", 400, "Malformed request: DELETE /v1/models/m"),
    ("GET", "/v1/foo", "", 400, "Malformed request: GET /v1/foo"),
    ("GET", "/v1/models", "", 400, "Missing model name in request."),
    ("GET", "/v1/models/nobody", "", 404, "Could not find any versions of model nobody"),
    ("GET", "/v1/models/m/versions/9/metadata", "", 404, "Servable not found for request: Specific(m, 9)"),
])
def test_each_wrong_rest_request_is_refused_in_tf_servings_words(
    server: ModelServer, method: str, path: str, body: str, code: int, text: str
) -> None:
    reply = server.http.request(method, path, content=body)
    assert reply.status_code == code
    assert reply.json().keys() == {"error"}
    assert reply.json()["error"].startswith(text)


def test_a_version_beyond_64_bits_gets_an_empty_400_and_other_paths_a_page(server: ModelServer) -> None:
    reply = server.http.get("/v1/models/m/versions/99999999999999999999")
    assert (reply.status_code, reply.content) == (400, b"")
    reply = server.http.get("/")
    assert (reply.status_code, reply.text[:6]) == (404, "<HTML>")


def test_status_and_metadata_by_rest(server: ModelServer) -> None:
    assert server.http.get("/v1/models/m").json() == {"model_version_status": [
        {"version": "7", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]}
    found = server.http.get("/v1/models/m/metadata").json()
    assert found["model_spec"] == {"name": "m", "signature_name": "", "version": "7"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert "__saved_model_init_op" in signatures


def test_a_rest_request_that_takes_too_long_is_ended(server: ModelServer) -> None:
    body = {"signature_name": "slow", "inputs": 2_000_000}
    reply = server.http.post("/v1/models/m:predict", json=body)
    assert (reply.status_code, reply.json().keys()) == (504, {"error"})


def test_gzip_bodies_are_inflated_and_broken_ones_are_empty(server: ModelServer) -> None:
    headers = {"Content-Encoding": "gzip"}
    body = gzip.compress(b'{"instances": [3]}')
    assert server.http.post("/v1/models/m:predict", content=body, headers=headers).json() == {"predictions": [3.0]}
    reply = server.http.post("/v1/models/m:predict", content=b"no gzip", headers=headers)
    assert (reply.status_code, reply.json()) == (400, {"error": "JSON Parse error: The document is empty"})


def test_cors_headers_are_on_every_reply_and_preflight_needs_an_origin(server: ModelServer) -> None:
    reply = server.http.options("/v1/models/m:predict", headers={"Origin": "http://page.example"})
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-allow-methods"] == "POST, GET"
    assert reply.headers["access-control-allow-headers"] == "Content-Type"
    reply = server.http.options("/v1/models/m:predict")
    assert (reply.status_code, reply.content) == (400, b"")
    assert server.http.get("/v1/models/nobody").headers["access-control-allow-origin"] == "*"
