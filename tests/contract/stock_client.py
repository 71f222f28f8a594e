"""What a stock client of TF-Serving sends, through the unmodified stubs of PyPI's `tensorflow-serving-api`."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from model_server_process import ModelServer

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_serving")
from tensorflow_serving.apis import (  # noqa: E402
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

Code = grpc.StatusCode
X = np.float32([1])


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
