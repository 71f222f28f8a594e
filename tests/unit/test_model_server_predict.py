"""What a Predict request means to the embedded model server: its checks, tensors, warm-up, pace."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from serving_requests import info, refused

from head_service.model_server.fronts.grpc_front import shortened
from head_service.model_server.fronts.pace import SMALL_BYTES, Pace
from head_service.model_server.lifecycle.available import Available, Servable
from head_service.model_server.lifecycle.history import History
from head_service.model_server.lifecycle.loading import MAX_RECORDS, warm_up
from head_service.model_server.model import Array
from head_service.model_server.quickness import Quickness
from head_service.model_server.requests.predict import predict
from head_service.model_server.requests.tensor_codec import decode, encode
from head_service.model_server.settings import AnswerSettings
from head_service.model_server.status import Code, ServingError
from twohop.wire import tfserving_pb2 as wire

ANSWERS = AnswerSettings(as_content=False, check_method_name=False)


def tensor(value: Any) -> wire.TensorProto:
    made = wire.TensorProto()
    encode(np.asarray(value), made, as_content=False)
    return made


class Adder:
    """An honest small model: the sum and the difference of x and y, where y is 10 unless given."""

    signatures: Mapping[str, wire.SignatureDef] = {
        "serving_default": wire.SignatureDef(
            inputs={"x": info("x"), "y": info("y")},
            outputs={"sum": info("sum"), "difference": info("difference")},
            defaults={"y": tensor(np.float32(10))},
            method_name="tensorflow/serving/predict",
        ),
        "strict": wire.SignatureDef(inputs={"x": info("x"), "y": info("y")}, outputs={"sum": info("sum")}, method_name="odd"),
    }

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        x, y = feeds["x:0"], feeds["y:0"]
        values = {"sum:0": np.asarray(x + y), "difference:0": np.asarray(x - y)}
        return [values[name] for name in fetches]

    def close(self) -> None: ...


def asked(signature: str = "", output_filter: Sequence[str] = (), **inputs: Any) -> wire.PredictRequest:
    return wire.PredictRequest(
        model_spec=wire.ModelSpec(name="adder", signature_name=signature),
        inputs={name: tensor(value) for name, value in inputs.items()},
        output_filter=output_filter,
    )


# --- Predict


X = np.float32([1, 2])


def test_outputs_come_in_the_order_of_the_filter_else_all() -> None:
    reply = predict(Adder(), asked(x=X, y=X), 3, 0, ANSWERS)
    assert {name: list(value.float_val) for name, value in reply.outputs.items()} == {"sum": [2, 4], "difference": [0, 0]}
    assert (reply.model_spec.signature_name, reply.model_spec.version.value) == ("serving_default", 3)
    assert list(predict(Adder(), asked("", ["sum"], x=X, y=X), 3, 0, ANSWERS).outputs) == ["sum"]


def test_an_absent_input_takes_its_default() -> None:
    assert list(predict(Adder(), asked(x=X), 1, 0, ANSWERS).outputs["sum"].float_val) == [11, 12]


def test_tensor_content_is_sent_where_it_is_wanted() -> None:
    reply = predict(Adder(), asked(x=X), 1, 0, AnswerSettings(as_content=True, check_method_name=False))
    assert np.frombuffer(reply.outputs["sum"].tensor_content, "<f4").tolist() == [11, 12]


@pytest.mark.parametrize(("request_", "code", "text"), [
    (asked("none", x=X), Code.FAILED_PRECONDITION, 'Serving signature key "none" not found.'),
    (asked("strict", x=X), Code.INVALID_ARGUMENT,
     "input size does not match signature: 1!=2 len({x}) != len({x,y}). Sent extra: {}. Missing but required: {y}."),
    (asked(x=X, y=X, z=X), Code.INVALID_ARGUMENT,
     "input size does not match signature: 3!=2 len({x,y,z}) != len({x,y}). Sent extra: {z}. Missing but required: {}."),
    (asked(z=X), Code.INVALID_ARGUMENT,
     "Signature input alias: x(feed name: x:0) not found in request and no default value provided. Inputs expected to be in "
     "the request {z}, or default input alias set: y"),
    (asked(x=X, z=X), Code.INVALID_ARGUMENT,
     "Inputs contains invalid name. Used request inputs: x, request input: x,z"),
])
def test_wrong_inputs_are_refused(request_: wire.PredictRequest, code: Code, text: str) -> None:
    assert refused(lambda: predict(Adder(), request_, 1, 0, ANSWERS)) == (code, text)


def test_the_methods_name_matters_only_where_it_is_to_be_checked() -> None:
    assert predict(Adder(), asked("strict", x=X, y=X), 1, 0, ANSWERS).outputs
    checking = AnswerSettings(as_content=False, check_method_name=True)
    assert refused(lambda: predict(Adder(), asked("strict", x=X, y=X), 1, 0, checking))[0] is Code.INTERNAL
    assert predict(Adder(), asked(x=X), 1, 0, checking).outputs


def test_available_finds_the_latest_and_says_what_is_not_there() -> None:
    available = Available()
    for version in (-1, 0, 3):
        available.publish(Servable("m", version, Adder()))
    for wanted, found in ((None, 3), (0, 0), (-1, -1)):
        with available.use("m", wanted) as servable:
            assert servable.version == found
    assert refused(lambda: available.use("m", 2).__enter__()) == (
        Code.NOT_FOUND, "Servable not found for request: Specific(m, 2)")
    assert refused(lambda: available.use("n", None).__enter__()) == (Code.NOT_FOUND, "Servable not found for request: Latest(n)")
    assert History().of("n") == []


# --- tensors


def proto(dtype: int, shape: Sequence[int], **fields: Any) -> wire.TensorProto:
    dims = [wire.TensorShapeProto.Dim(size=size) for size in shape]
    return wire.TensorProto(dtype=dtype, tensor_shape=wire.TensorShapeProto(dim=dims), **fields)        # type: ignore[arg-type]


@pytest.mark.parametrize(("given_", "expected"), [
    (proto(wire.DT_FLOAT, [3], float_val=[1, 2]), [1, 2, 2]),                       # the last one stands for the rest
    (proto(wire.DT_FLOAT, [2, 2], float_val=[7]), [[7, 7], [7, 7]]),
    (proto(wire.DT_FLOAT, [2]), [0, 0]),                                            # none at all: zeros
    (proto(wire.DT_FLOAT, [2], float_val=[1, 2, 3]), [1, 2]),                       # surplus ones are dropped
    (proto(wire.DT_FLOAT, [0, 4]), []),
    (proto(wire.DT_FLOAT, [], float_val=[5]), 5),
    (proto(wire.DT_INT8, [2], int_val=[300, -1]), [44, -1]),
    (proto(wire.DT_STRING, [3], string_val=[b"a"]), [b"a", b"a", b"a"]),
    (proto(wire.DT_STRING, [2]), [b"", b""]),
    (proto(wire.DT_STRING, [3], tensor_content=b"\x01\x00\x02abc"), [b"a", b"", b"bc"]),
    (proto(wire.DT_HALF, [1], half_val=[0x3C00]), [1]),
    (proto(wire.DT_COMPLEX64, [1], scomplex_val=[1, 2]), [1 + 2j]),
    (proto(wire.DT_FLOAT, [2], tensor_content=struct.pack("<2f", 1, 2)), [1, 2]),
])
def test_tensors_are_read_as_tensorflow_reads_them(given_: wire.TensorProto, expected: Any) -> None:
    assert decode(given_).tolist() == expected


@pytest.mark.parametrize("torn", [
    wire.TensorProto(),
    proto(wire.DT_FLOAT, [2], tensor_content=b"123"),
    proto(wire.DT_FLOAT, [-1], float_val=[1]),
    proto(wire.DT_RESOURCE, [1]),
    proto(wire.DT_STRING, [2], tensor_content=b"\x05abc"),
    proto(wire.DT_STRING, [1], tensor_content=b"\xff"),
    proto(wire.DT_STRING, [1], tensor_content=b"\x01ab"),
    wire.TensorProto(dtype=wire.DT_FLOAT, tensor_shape=wire.TensorShapeProto(unknown_rank=True)),
])
def test_torn_tensors_are_the_callers_error(torn: wire.TensorProto) -> None:
    request = asked(x=X)
    request.inputs["x"].CopyFrom(torn)
    assert refused(lambda: predict(Adder(), request, 1, 0, ANSWERS)) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")


# --- warm-up, pace, texts


def recorded(signature: str = "") -> bytes:
    return wire.PredictionLog(predict_log=wire.PredictLog(request=asked(signature, x=X))).SerializeToString()


@pytest.mark.parametrize(("records", "code", "text"), [
    ([recorded("none")], Code.FAILED_PRECONDITION, 'Serving signature key "none" not found.'),
    ([wire.PredictionLog(session_run_log=wire.SessionRunLog()).SerializeToString()], Code.UNIMPLEMENTED, "session_run_log"),
    ([b"\xff"], Code.DATA_LOSS, "Please verify your warmup data is in TFRecord format."),
    ([recorded()] * (MAX_RECORDS + 1), Code.INVALID_ARGUMENT, "exceeds the maximum"),
])
def test_a_warm_up_that_fails_is_told(records: list[bytes], code: Code, text: str) -> None:
    found, message = refused(lambda: warm_up(Adder(), "file", lambda path: iter(records), 1, ANSWERS))
    assert found is code
    assert text in message


def test_a_warm_up_is_replayed_as_often_as_wanted() -> None:
    runs = []

    class Counting(Adder):
        def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
            runs.append(timeout_ms)
            return super().run(feeds, fetches, timeout_ms)

    warm_up(Counting(), "file", lambda path: iter([recorded(), recorded()]), 3, ANSWERS)
    assert runs == [0] * 6


def test_work_is_quick_only_once_it_has_been_so() -> None:
    quickness = Quickness()
    assert not quickness.is_quick
    quickness.took(0.0001)
    assert quickness.is_quick
    quickness.took(1.0)
    assert not quickness.is_quick
    for _ in range(100):
        quickness.took(0.0001)
    assert quickness.is_quick


def test_quick_work_is_done_on_the_spot_and_other_work_on_a_thread() -> None:
    import threading

    now = [0.0]

    def work(seconds: float) -> int:
        now[0] += seconds
        return threading.get_ident()

    async def where() -> list[bool]:
        with ThreadPoolExecutor(1) as pool:
            pace = Pace(pool, clock=lambda: now[0])
            here = threading.get_ident()
            found = []
            for key, size, seconds in (
                ("m", 1, 0.0001), ("m", 1, 0.0001), ("m", SMALL_BYTES + 1, 0.0001), ("n", 1, 0.1), ("n", 1, 0.1), ("m", 1, 0.5),
                ("m", 1, 0.0001),
            ):
                found.append(await pace.do(key, size, lambda seconds=seconds: work(seconds)) == here)    # type: ignore[misc]
            return found

    assert asyncio.run(where()) == [False, True, False, False, False, True, False]


def test_work_that_fails_is_not_remembered() -> None:
    def fail() -> None:
        raise ServingError(Code.NOT_FOUND, "no")

    async def ask() -> None:
        with ThreadPoolExecutor(1) as pool:
            await Pace(pool).do("nobody", 1, fail)

    assert refused(lambda: asyncio.run(ask())) == (Code.NOT_FOUND, "no")


@pytest.mark.parametrize(("text", "length"), [("a" * 1024, 1024), ("a" * 1025, 1024 + 12), ("ä" * 600, 512 + 12)])
def test_texts_are_cut_at_1024_bytes(text: str, length: int) -> None:
    assert len(shortened(text)) == length


def test_errors_read_like_abseils() -> None:
    assert str(ServingError(Code.DATA_LOSS, "torn")) == "DATA_LOSS: torn"
    assert all(code.name == wire.StatusProto.Code.Name(code.value) for code in Code)                    # type: ignore[arg-type]
