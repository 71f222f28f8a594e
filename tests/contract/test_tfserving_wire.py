"""Our wire messages against TensorFlow's own, both in one process: same names, numbers and types, so same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from twohop.wire import tfserving_pb2 as ours

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_serving")
from tensorflow.core.framework import tensor_pb2, types_pb2  # noqa: E402
from tensorflow.core.protobuf import meta_graph_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

PAIRS = [
    (ours.TensorProto, tensor_pb2.TensorProto),
    (ours.SignatureDef, meta_graph_pb2.SignatureDef),
    (ours.TensorInfo, meta_graph_pb2.TensorInfo),
    (ours.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
    (ours.ModelSpec, model_pb2.ModelSpec),
    (ours.PredictRequest, predict_pb2.PredictRequest),
    (ours.PredictResponse, predict_pb2.PredictResponse),
    (ours.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
    (ours.GetModelMetadataResponse, get_model_metadata_pb2.GetModelMetadataResponse),
    (ours.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
    (ours.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
    (ours.ModelServerConfig, model_server_config_pb2.ModelServerConfig),
    (ours.ReloadConfigRequest, model_management_pb2.ReloadConfigRequest),
    (ours.ReloadConfigResponse, model_management_pb2.ReloadConfigResponse),
    (ours.PredictionLog, prediction_log_pb2.PredictionLog),
]


def differences(mine: Any, theirs: Any, seen: set[str]) -> Iterator[str]:
    """Fields of ours that TensorFlow has not, or has otherwise; down through every message that they hold."""
    if mine.full_name in seen:
        return
    seen.add(mine.full_name)
    for field in mine.fields:
        other = theirs.fields_by_name.get(field.name)
        if other is None or (other.number, other.type, other.is_repeated) != (field.number, field.type, field.is_repeated):
            yield f"{mine.name}.{field.name}"
        elif field.message_type is not None and field.message_type.file == mine.file:
            yield from differences(field.message_type, other.message_type, seen)
        elif field.enum_type is not None:
            numbers = {value.name: value.number for value in other.enum_type.values}
            wrong = [value.name for value in field.enum_type.values if numbers.get(value.name) != value.number]
            yield from (f"{field.enum_type.name}.{name}" for name in wrong)


@pytest.mark.parametrize(("mine", "theirs"), PAIRS, ids=lambda kind: kind.DESCRIPTOR.name)
def test_our_fields_are_tensorflows(mine: Any, theirs: Any) -> None:
    assert list(differences(mine.DESCRIPTOR, theirs.DESCRIPTOR, set())) == []


def test_every_type_number_is_tensorflows() -> None:
    for name, number in ours.DataType.items():
        assert types_pb2.DataType.Value(name) == number


NUMBERS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
           "complex64", "complex128", "bfloat16"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 1, 2)])
@pytest.mark.parametrize("as_content", [True, False])
def test_tensors_of_ours_are_tensorflows_both_ways(name: str, shape: tuple[int, ...], as_content: bool) -> None:
    from head_service.model_server.requests.tensor_codec import decode, encode

    dtype = tf.as_dtype(name).as_numpy_dtype
    array = (np.arange(int(np.prod(shape))) - (0 if name.startswith("u") else 1)).reshape(shape).astype(dtype)
    mine = ours.TensorProto()
    encode(array, mine, as_content=as_content)
    theirs = tensor_pb2.TensorProto.FromString(mine.SerializeToString())
    back = tf.make_ndarray(theirs)
    assert back.dtype == dtype
    assert np.array_equal(back, array)
    for given in (theirs, tf.make_tensor_proto(array)):
        read = decode(ours.TensorProto.FromString(given.SerializeToString()))
        assert read.dtype == dtype
        assert np.array_equal(read, array)


def test_strings_are_tensorflows_both_ways() -> None:
    from head_service.model_server.requests.tensor_codec import decode, encode

    array = np.array([[b"a", b""], ["ä".encode(), b"\xff\x00"]], object)
    mine = ours.TensorProto()
    encode(array, mine, as_content=True)
    assert tf.make_ndarray(tensor_pb2.TensorProto.FromString(mine.SerializeToString())).tolist() == array.tolist()
    given = tf.make_tensor_proto(array)
    assert decode(ours.TensorProto.FromString(given.SerializeToString())).tolist() == array.tolist()
