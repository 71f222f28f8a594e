"""The embedded model server, seen through the unmodified stubs of PyPI's `tensorflow-serving-api` and through REST."""

from __future__ import annotations

import gzip
import re
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from model_server_process import ModelServer, export, publish, until

from twohop.wire import tfserving_pb2 as wire

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_serving")
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

Code = grpc.StatusCode


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """SavedModels by version; version N multiplies by N."""
    folder = tmp_path_factory.mktemp("exported")
    return {version: export(folder / str(version), float(version)) for version in (1, 2)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, exported: dict[int, Path]) -> Iterator[ModelServer]:
    """Model `m`, version 7 (which multiplies by 1). Leave it unharmed."""
    folder = tmp_path_factory.mktemp("server")
    publish(exported[1], folder / "m", 7)
    flags = [f"--grpc_socket_path={folder / 'socket'}", "--enable_grpc_healthcheck_service", "--rest_api_enable_cors_support",
             "--rest_api_timeout_in_ms=2000"]
    found = ModelServer(folder / "run", "--model_name=m", f"--model_base_path={folder / 'm'}", *flags)
    try:
        yield found.ready()
    finally:
        assert found.stop() == 0


def predict_request(name: str, inputs: dict[str, Any], signature: str = "", version: int | None = None) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(value if not isinstance(value, np.ndarray | list) else tf.make_tensor_proto(value))
    return request


def predict(server: ModelServer, *arguments: Any, timeout_s: float = 60.0, **keywords: Any) -> Any:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    return stub.Predict(predict_request(*arguments, **keywords), timeout=timeout_s)


def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def status(server: ModelServer, name: str, version: int | None = None) -> Any:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    stub = model_service_pb2_grpc.ModelServiceStub(server.channel)
    return stub.GetModelStatus(request, timeout=60).model_version_status


# --- gRPC

def test_predict_answers_the_stock_client_in_typed_fields(server: ModelServer) -> None:
    reply = predict(server, "m", {"x": np.float32([2, 3])})
    assert list(reply.outputs["y"].float_val) == [2, 3]
    assert not reply.outputs["y"].tensor_content
    assert (reply.model_spec.name, reply.model_spec.signature_name) == ("m", "serving_default")
    assert reply.model_spec.version.value == 7


def test_predict_never_checks_shapes_against_the_signature(server: ModelServer) -> None:
    reply = predict(server, "m", {"x": np.float32([[1, 2], [3, 4]])})
    assert tf.make_ndarray(reply.outputs["y"]).tolist() == [[1, 2], [3, 4]]


def test_an_empty_batch_is_answered(server: ModelServer) -> None:
    reply = predict(server, "m", {"x": np.zeros((0, 2), np.float32)}, signature="project")
    assert tf.make_ndarray(reply.outputs["scores"]).shape == (0, 3)


def test_strings_travel_both_ways(server: ModelServer) -> None:
    texts = np.array([b"a", "Größe".encode(), b"\xff\x00"], object)
    reply = predict(server, "m", {"text": tf.make_tensor_proto(texts)}, signature="echo")
    assert list(reply.outputs["text"].string_val) == texts.tolist()
    assert tf.make_ndarray(reply.outputs["length"]).tolist() == [1, 7, 2]


def test_a_message_above_grpcs_default_limit_is_served(server: ModelServer) -> None:
    rows = np.ones(2_000_000, np.float32)
    assert np.array_equal(tf.make_ndarray(predict(server, "m", {"x": rows}).outputs["y"]), rows)


def test_the_output_filter_chooses(server: ModelServer) -> None:
    request = predict_request("m", {"x": np.float32([[1, 2]])}, signature="project")
    request.output_filter.append("best")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    assert dict(stub.Predict(request, timeout=60).outputs).keys() == {"best"}
    request.output_filter.append("best")
    assert refusal(lambda: stub.Predict(request)) == (Code.INVALID_ARGUMENT, "duplicate output tensor alias: best")
    request.output_filter[:] = ["z"]
    assert refusal(lambda: stub.Predict(request)) == (
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {best,scores}.",
    )


X = np.float32([1])


@pytest.mark.parametrize(("arguments", "keywords", "code", "text"), [
    (("nobody", {"x": X}), {}, Code.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
    (("m", {"x": X}), {"version": 8}, Code.NOT_FOUND, "Servable not found for request: Specific(m, 8)"),
    (("m", {"x": X}), {"version": 0}, Code.NOT_FOUND, "Servable not found for request: Specific(m, 0)"),
    (("", {"x": X}), {}, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    (("m", {"x": X}), {"signature": "enc-000000000000"}, Code.FAILED_PRECONDITION,
     'Serving signature key "enc-000000000000" not found.'),
    (("m", {}), {}, Code.INVALID_ARGUMENT,
     "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}."),
    (("m", {"z": X}), {}, Code.INVALID_ARGUMENT,
     "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value provided. "
     "Inputs expected to be in the request {z}, or default input alias set: "),
    (("m", {"x": np.float64([1])}), {}, Code.INVALID_ARGUMENT, "Expects arg[0] to be float but double is provided"),
    (("m", {"x": ["a"]}), {}, Code.INVALID_ARGUMENT, "Expects arg[0] to be float but string is provided"),
])
def test_each_wrong_predict_is_refused_in_tf_servings_words(
    server: ModelServer, arguments: Any, keywords: Any, code: Any, text: str
) -> None:
    assert refusal(lambda: predict(server, *arguments, **keywords)) == (code, text)


def test_a_wrong_shape_is_the_operations_own_error(server: ModelServer) -> None:
    code, text = refusal(lambda: predict(server, "m", {"x": np.float32([[1, 2, 3]])}, signature="project"))
    assert code is Code.INVALID_ARGUMENT
    # Whether the node is named by its function too is up to the process that exported the model.
    assert re.match(r"Matrix size-incompatible: In\[0\]: \[1,3\], In\[1\]: \[2,3\]\n\t \[\[\{\{(function_node |node )", text)


def test_a_label_is_unknown(server: ModelServer) -> None:
    request = predict_request("m", {"x": X})
    request.model_spec.version_label = "canary"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    assert refusal(lambda: stub.Predict(request)) == (Code.INVALID_ARGUMENT, "Unrecognized servable version label: canary")


def test_a_torn_tensor_and_bytes_that_are_no_message_are_the_callers_errors(server: ModelServer) -> None:
    torn = tf.make_tensor_proto(np.float32([1, 2]))
    torn.tensor_content, torn.tensor_shape.dim[0].size = b"123", 2
    assert refusal(lambda: predict(server, "m", {"x": torn})) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")
    raw = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refusal(lambda: raw(b"\xff\xff\xff"))[0] is Code.INVALID_ARGUMENT
    assert refusal(lambda: raw(b"\x0a\x03\x0a\x01\xff"))[0] is Code.INVALID_ARGUMENT
    assert refusal(lambda: raw(b"")) == (Code.INVALID_ARGUMENT, "Missing ModelSpec")


def test_a_long_text_is_cut_as_tf_serving_cuts_it(server: ModelServer) -> None:
    code, text = refusal(lambda: predict(server, "n" * 3000, {"x": X}))
    assert (code, len(text)) == (Code.NOT_FOUND, 1024 + len("...TRUNCATED"))
    assert text.endswith("...TRUNCATED")


def test_the_callers_deadline_ends_the_run_in_the_server(server: ModelServer) -> None:
    rounds = tf.make_tensor_proto(np.int32(2_000_000))
    assert refusal(lambda: predict(server, "m", {"rounds": rounds}, signature="slow", timeout_s=1))[0] is Code.DEADLINE_EXCEEDED
    assert predict(server, "m", {"x": X}).outputs["y"].float_val == [1]


def test_metadata_is_read_by_the_stock_client(server: ModelServer) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    reply = stub.GetModelMetadata(request, timeout=60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["pair"].inputs["a"].dtype == tf.int64.as_datatype_enum
    assert (reply.model_spec.version.value, reply.model_spec.signature_name) == (7, "")
    request.metadata_field[:] = ["other"]
    assert refusal(lambda: stub.GetModelMetadata(request)) == (
        Code.INVALID_ARGUMENT, "Metadata field other is not supported")
    request.metadata_field[:] = []
    assert refusal(lambda: stub.GetModelMetadata(request)) == (
        Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")


def test_status_of_models_and_versions(server: ModelServer) -> None:
    (found,) = status(server, "m")
    assert (found.version, found.state, found.status.error_code) == (7, get_model_status_pb2.ModelVersionStatus.AVAILABLE, 0)
    assert refusal(lambda: status(server, "m", 9)) == (Code.NOT_FOUND, "Could not find version 9 of model m")
    assert refusal(lambda: status(server, "nobody")) == (Code.NOT_FOUND, "Could not find any versions of model nobody")


def test_what_is_not_built_yet_says_so(server: ModelServer) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)
    code, text = refusal(lambda: stub.Classify(classification_pb2.ClassificationRequest()))
    assert code is Code.UNIMPLEMENTED
    assert "not built yet" in text
    assert server.http.post("/v1/models/m:classify", content="{}").status_code == 501


def test_the_unix_socket_and_the_health_service_answer(server: ModelServer) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    path = next(word for word in server.process.args if "socket_path" in word).partition("=")[2]
    with grpc.insecure_channel(f"unix:{path}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "ModelService", "PredictionService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status == 1
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(predict_request("m", {"x": X}), timeout=60).outputs["y"].float_val == [1]


def test_many_callers_at_once_get_their_own_answers(server: ModelServer) -> None:
    def ask(number: int) -> bool:
        reply = predict(server, "m", {"x": np.float32([number])})
        return list(reply.outputs["y"].float_val) == [number]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


# --- REST

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


# --- lifecycle

def test_new_versions_come_and_corrupt_ones_stay_out_without_one_failed_request(
    tmp_path: Path, exported: dict[int, Path]
) -> None:
    """Under requests that never pause: 1, then 2, then a corrupt 3, then back to 1 by deleting 2."""
    publish(exported[1], tmp_path / "m", 1)
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0")
    server.ready()
    answers: list[tuple[float, int]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            reply = predict(server, "m", {"x": X})
            answers.append((reply.outputs["y"].float_val[0], reply.model_spec.version.value))

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            until(lambda: len(answers) > 20)
            publish(exported[2], tmp_path / "m", 2)
            until(lambda: answers[-1] == (2.0, 2))
            until(lambda: [(each.version, each.state) for each in status(server, "m")] == [(2, 30), (1, 50)])
            (tmp_path / "m" / "3").mkdir()
            corrupt = until(lambda: [each for each in status(server, "m") if each.version == 3 and each.state == 50])[0]
            assert corrupt.status.error_code == 5
            assert "does not appear to contain a SavedModel bundle" in corrupt.status.error_message
            assert answers[-1] == (2.0, 2)
            shutil.rmtree(tmp_path / "m" / "3")
            shutil.rmtree(tmp_path / "m" / "2")
            until(lambda: answers[-1] == (1.0, 1))
        finally:
            done.set()
        for each in asking:
            each.result()
    assert {(1.0, 1), (2.0, 2)} == set(answers)
    assert "Successfully loaded servable version {name: m version: 2}" in server.log
    assert server.stop() == 0


def test_a_request_under_way_keeps_its_version_and_a_signal_lets_it_end(tmp_path: Path, exported: dict[int, Path]) -> None:
    publish(exported[1], tmp_path / "m", 1)
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0")
    server.ready()
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)

    def slow(rounds: int) -> Any:
        inputs = {"rounds": tf.make_tensor_proto(np.int32(rounds))}
        return stub.Predict.future(predict_request("m", inputs, signature="slow"), timeout=120)

    slow(1).result()
    first = slow(4000)
    publish(exported[2], tmp_path / "m", 2)
    until(lambda: predict(server, "m", {"x": X}).model_spec.version.value == 2)
    assert first.result().outputs["factor"].float_val == [1]
    last = slow(3000)
    until(lambda: [each.state for each in status(server, "m", 1)] == [50])
    server.process.send_signal(signal.SIGTERM)
    assert last.result().outputs["factor"].float_val == [2]
    assert server.ended() == 0


def model_config(**models: Path) -> Any:
    config = model_server_config_pb2.ModelServerConfig()
    for name, path in models.items():
        config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    return config


def test_a_repository_is_waited_for_then_followed_and_reload_by_request_works(tmp_path: Path, exported: dict[int, Path]) -> None:
    repository = tmp_path / "repository"
    server = ModelServer(tmp_path / "run", f"--repository={repository}")
    server.says("is not there yet")
    for port in (server.port, server.rest_port):
        with socket.socket() as attempt:
            assert attempt.connect_ex(("127.0.0.1", port)) != 0
    publish(exported[1], repository / "a", 1)
    publish(exported[2], repository / "a", 2)

    def write(*entries: tuple[str, str, int]) -> None:
        models = [
            wire.ModelConfig(
                name=name, base_path=str(repository / folder), model_platform="tensorflow",
                model_version_policy=wire.ServableVersionPolicy(specific=wire.ServableVersionPolicy.Specific(versions=[version])),
            )
            for name, folder, version in entries
        ]
        config = wire.ModelServerConfig(model_config_list=wire.ModelConfigList(config=models))
        draft = repository / "draft"
        draft.write_text(f"# comment\n{config}")
        draft.rename(repository / "models.config")

    write(("a", "a", 1))
    server.ready()
    assert predict(server, "a", {"x": X}).model_spec.version.value == 1
    write(("a", "a", 2), ("a-canary", "a", 1))
    until(lambda: predict(server, "a", {"x": X}).model_spec.version.value == 2)
    until(lambda: server.http.get("/v1/models/a-canary").status_code == 200)
    (repository / "models.config").write_text("model_config_list {")
    server.says("what was served before is kept")
    assert predict(server, "a", {"x": X}).model_spec.version.value == 2

    stub = model_service_pb2_grpc.ModelServiceStub(server.channel)
    request = model_management_pb2.ReloadConfigRequest(config=model_config(b=repository / "a"))
    assert stub.HandleReloadConfigRequest(request, timeout=60).status.error_code == 0
    assert predict(server, "b", {"x": X}).model_spec.version.value == 2
    until(lambda: refusal(lambda: predict(server, "a", {"x": X}))[0] is Code.NOT_FOUND)
    relative = model_management_pb2.ReloadConfigRequest(config=model_config(b=Path("relative")))
    assert refusal(lambda: stub.HandleReloadConfigRequest(relative)) == (
        Code.INVALID_ARGUMENT, "Expected model b to have an absolute path or URI; got base_path()=relative")
    assert server.stop(signal.SIGINT) == 0


def test_warm_up_requests_are_replayed_and_a_bad_one_keeps_the_version_out(tmp_path: Path, exported: dict[int, Path]) -> None:
    def add_warmup(version: Path, signature: str) -> None:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(predict_request("anything", {"x": X}, signature=signature, version=99))
        (version / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
            writer.write(log.SerializeToString())

    add_warmup(publish(exported[1], tmp_path / "m", 1), "serving_default")
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0")
    server.ready()
    assert "Number of warmup records read: 1" in server.log
    draft = publish(exported[2], tmp_path / "draft", 2)
    add_warmup(draft, "no_such_signature")
    draft.rename(tmp_path / "m" / "2")
    failed = until(lambda: [each for each in status(server, "m") if each.version == 2 and each.state == 50])[0]
    assert failed.status.error_message == 'Serving signature key "no_such_signature" not found.'
    draft = publish(exported[2], tmp_path / "draft", 3)
    (draft / "assets.extra").mkdir()
    (draft / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"this is no file of TFRecords at all")
    draft.rename(tmp_path / "m" / "3")
    failed = until(lambda: [each for each in status(server, "m") if each.version == 3 and each.state == 50])[0]
    assert "Please verify your warmup data is in TFRecord format" in failed.status.error_message
    assert predict(server, "m", {"x": X}).model_spec.version.value == 1
    assert server.stop() == 0


# --- starts that fail

def failed_start(folder: Path, *flags: str, **keywords: Any) -> ModelServer:
    server = ModelServer(folder, *flags, **keywords)
    assert server.ended() == 255
    return server


def test_a_model_that_cannot_be_loaded_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    server = failed_start(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=1",
                          "--load_retry_interval_micros=1000")
    assert server.out.startswith("Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: {")
    assert "{name: m version: 1} due to error: NOT_FOUND: Specified file path does not appear" in server.out
    assert "(try 2 of 2)" in server.log


def test_a_taken_port_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = failed_start(tmp_path / "run", f"--port={port}", "--model_name=m", f"--model_base_path={tmp_path}")
    assert f"cannot listen on 127.0.0.1:{port}" in server.out


def test_a_taken_rest_port_is_logged_and_grpc_is_served(tmp_path: Path, exported: dict[int, Path]) -> None:
    publish(exported[1], tmp_path / "m", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}",
                             f"--rest_api_port={port}", "--enable_serialization_as_tensor_content", rest=False)
        server.ready()
        assert f"Failed to start HTTP Server at localhost:{port}" in server.log
        assert predict(server, "m", {"x": X}).outputs["y"].tensor_content == X.tobytes()
        assert server.stop() == 0


def test_a_bad_config_file_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "bad.config"
    path.write_text("this is no config")
    server = failed_start(tmp_path / "run", f"--model_config_file={path}")
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in server.log
    assert server.out.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert "Failed to start server. Error: NOT_FOUND" in failed_start(tmp_path / "run", "--model_config_file=/no/such").out


def test_a_signal_ends_the_wait_for_a_model_without_version(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    server.says("No versions of servable m found under base path")
    assert server.stop() == 0


