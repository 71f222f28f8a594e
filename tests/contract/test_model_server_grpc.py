"""The embedded model server over gRPC, seen through the unmodified stubs of PyPI's `tensorflow-serving-api`."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from model_server_process import ModelServer
from stock_client import Code, X, predict, predict_request, refusal, status

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_serving")
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    prediction_service_pb2_grpc,
)


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
