"""Values in and out of the client: texts, tensors, head inputs, statuses, and what an import costs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import twohop
from twohop import texts
from twohop.embedding_replies import joined
from twohop.errors import ON_THE_WIRE, EncoderMismatch, InvalidInput, ModelError, Overloaded, TooLarge, TwoHopError
from twohop.head_inputs import head_inputs
from twohop.head_replies import read_answers
from twohop.heads import REQUEST_BYTES
from twohop.status import MAX_DETAIL_BYTES, from_status, to_trailers
from twohop.tensors import from_proto, to_proto
from twohop.transport import BlockingTransport, run
from twohop.types import Embeddings, HeadSignature, Limits, TensorSpec
from twohop.wire import tfserving_pb2 as wire

# --- texts

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), min_size=1, max_size=50)


@given(WORDS, st.integers(0, 20), st.integers(0, 3))
def test_a_split_call_keeps_every_text_in_order_and_below_the_limits(words: list[str], most: int, extra: int) -> None:
    checked = texts.check(words, words)
    limits = Limits(most, max(checked.sizes) + 1024 + extra, 0)
    parts = checked.requests(limits)
    assert [text for part in parts for text in part.texts] == words == [pair for part in parts for pair in part.pairs]
    assert [part.first for part in parts] == [sum(len(part) for part in parts[:index]) for index in range(len(parts))]
    assert all(0 < len(part) <= (most or len(words)) for part in parts)
    assert all(len(part) == 1 or sum(part.sizes) <= limits.max_request_bytes for part in parts)


def test_sizes_are_those_on_the_wire() -> None:
    assert [size - texts.check(["a"]).sizes[0] for size in texts.check(["a", "é", "日", "👍"]).sizes] == [0, 1, 2, 3]


def test_halves_make_the_whole() -> None:
    whole = texts.check(["a", "b", "c"])
    first, second = whole.halves()
    assert ([*first.texts, *second.texts], first.first, second.first) == (["a", "b", "c"], 0, 2)


def test_a_text_above_the_limit_is_named() -> None:
    with pytest.raises(TooLarge, match="text 1 takes") as caught:
        texts.check(["a", "x" * 2000]).requests(Limits(10, 2048, 0))
    assert caught.value.detail["index"] == 1


# --- tensors

KINDS = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]
ARRAYS = st.sampled_from(KINDS).flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0, max_side=4)))


@given(ARRAYS)
def test_numbers_of_any_shape_survive_the_wire(array: np.ndarray[Any, Any]) -> None:
    found = from_proto(wire.TensorProto.FromString(to_proto(array).SerializeToString()))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


@given(ARRAYS.filter(lambda array: array.dtype.name != "float16" and array.size > 0))
def test_the_typed_fields_say_the_same(array: np.ndarray[Any, Any]) -> None:
    tensor = to_proto(array)
    tensor.ClearField("tensor_content")
    field = {"float32": "float_val", "float64": "double_val", "int64": "int64_val", "uint32": "uint32_val",
             "uint64": "uint64_val", "bool": "bool_val"}.get(array.dtype.name, "int_val")
    getattr(tensor, field).extend(array.ravel().tolist())
    np.testing.assert_array_equal(from_proto(tensor), array)


def test_half_precision_travels_as_bits_in_its_typed_field() -> None:
    tensor = wire.TensorProto(dtype=wire.DT_HALF, half_val=[0x3C00, 0xC000])
    tensor.tensor_shape.dim.add(size=2)
    assert from_proto(tensor).tolist() == [1.0, -2.0]


def test_fewer_values_than_elements_repeat_the_last() -> None:
    tensor = wire.TensorProto(dtype=wire.DT_FLOAT, float_val=[1, 2])
    tensor.tensor_shape.dim.add(size=4)
    assert from_proto(tensor).tolist() == [1, 2, 2, 2]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_strings_travel_as_utf_8(words: list[str]) -> None:
    expected = [word.encode() for word in words]
    assert from_proto(to_proto(words)).tolist() == expected
    assert from_proto(to_proto(np.array(words, object))).tolist() == expected
    assert from_proto(to_proto(np.array(expected, object))).tolist() == expected


def test_what_no_tensor_holds_is_refused() -> None:
    for array in (np.zeros(1, np.complex64), np.array([1, None], object), np.array(["\ud800"], object)):
        with pytest.raises(InvalidInput):
            to_proto(array)
    short = wire.TensorProto(dtype=wire.DT_FLOAT, float_val=[1, 2, 3])
    short.tensor_shape.dim.add(size=2)
    raw = wire.TensorProto(dtype=wire.DT_FLOAT, tensor_content=b"12345")
    raw.tensor_shape.dim.add(size=1)
    for tensor in (short, raw, wire.TensorProto(dtype=wire.DT_RESOURCE)):
        with pytest.raises(ModelError):
            from_proto(tensor)


# --- what a head is fed


def embeddings(rows: list[int], dimension: int = 3, fingerprint: str = "enc-000000000000", numerics: str = "f32") -> Embeddings:
    vectors = np.arange(1, sum(rows) * dimension + 1, dtype=np.float16).reshape(-1, dimension)
    return Embeddings(vectors, rows, rows, rows, "e", fingerprint, numerics, {"total": 1.0})


def signature(*names: str) -> HeadSignature:
    return HeadSignature("h", 1, "enc-000000000000", {name: TensorSpec("float32", None) for name in names}, 3)


def test_ragged_tokens_are_padded_and_masked() -> None:
    (inputs,) = head_inputs(signature("tokens", "mask", "text"), embeddings([2, 1]), ["a b", "c"])
    assert inputs["tokens"].tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 0, 0]]]
    assert inputs["mask"].tolist() == [[1, 1], [1, 0]]
    assert inputs["tokens"].dtype == inputs["mask"].dtype == np.float32
    assert inputs["text"].tolist() == ["a b", "c"]


def test_padded_batches_stay_below_a_request_and_keep_their_order() -> None:
    rows = [1, 900, 2, 2, 900, 900, 3]
    batches = list(head_inputs(signature("tokens", "mask"), embeddings(rows, dimension=512), [""] * 7))
    assert [int(mask.sum()) for batch in batches for mask in batch["mask"]] == rows
    assert all(batch["tokens"].nbytes <= REQUEST_BYTES for batch in batches)
    assert len(batches) < 7


def test_vectors_of_the_other_sort_are_refused() -> None:
    with pytest.raises(EncoderMismatch, match="one per text"):
        list(head_inputs(signature("embedding"), embeddings([2]), ["a"]))
    for names in (("pixels", "embedding"), ("text",)):
        with pytest.raises(InvalidInput, match="only embedding"):
            list(head_inputs(signature(*names), embeddings([1]), ["a"]))


def test_an_encoder_that_changes_within_a_call_is_noticed() -> None:
    for other in (embeddings([1], fingerprint="enc-111111111111"), embeddings([1], numerics="int8")):
        with pytest.raises(EncoderMismatch, match="changed during the call"):
            joined([embeddings([1]), other])


# --- what a head answers


def answer(label: Any, score: Any, **more: Any) -> wire.PredictResponse:
    outputs = {"label": np.array(label, object), "score": np.array(score, np.float32), **more}
    return wire.PredictResponse(outputs={name: to_proto(value) for name, value in outputs.items()})


def test_an_answer_is_read_row_by_row() -> None:
    more = {"labels": np.array([["a", "b"]], object), "scores": np.array([[0.25, 0.75]], np.float32)}
    (found,) = read_answers(answer(["b"], [0.75], **more), 1, all_scores=True)
    assert (found.label, found.score, found.scores) == ("b", 0.75, {"a": 0.25, "b": 0.75})


@pytest.mark.parametrize("reply", [
    wire.PredictResponse(), answer(["a"], [float("nan")]), answer(["a", "b"], [1, 2]), answer([["a"]], [1]), answer(["a"], [[1]]),
    answer([b"\xff"], [1]),
])
def test_an_answer_that_is_none_of_a_classifier_is_an_error_of_the_model(reply: wire.PredictResponse) -> None:
    with pytest.raises(ModelError, match="not that of a classifier"):
        read_answers(reply, 1, all_scores=False)
    with pytest.raises(ModelError):
        read_answers(answer(["a"], [1]), 1, all_scores=True)


# --- statuses


@pytest.mark.parametrize("kind", ON_THE_WIRE)
def test_each_class_survives_status_and_trailers(kind: type[TwoHopError]) -> None:
    error = kind("because ü", detail={"index": 3, "why": "ü"}, retry_after_s=1.5)
    found = from_status(kind.grpc_code, error.message, to_trailers(error))
    assert (type(found), found.message, found.detail, found.retry_after_s) == (kind, "because ü", error.detail, 1.5)


def test_details_too_long_for_a_header_stay_behind() -> None:
    trailers = dict(to_trailers(Overloaded("x", detail={"long": "x" * MAX_DETAIL_BYTES, "index": 3})))
    assert trailers["twohop-detail"] == '{"index":3}'
    assert dict(to_trailers(Overloaded("x")))["twohop-detail"] == "{}"
    assert from_status("RESOURCE_EXHAUSTED", "x", [("twohop-detail", b"\xff{")]).detail == {}
    assert from_status("RESOURCE_EXHAUSTED", "x", [("grpc-retry-pushback-ms", "soon")]).retry_after_s is None


# --- work done by several


def test_results_keep_the_order_of_the_items_and_the_first_error_ends_the_work() -> None:
    transport, done = BlockingTransport(None, None), []

    async def double(value: int) -> int:
        done.append(value)
        if value == 13:
            raise InvalidInput("13")
        return 2 * value

    assert run(transport.each(double, range(10), 4)) == list(range(0, 20, 2))
    assert run(transport.each(double, [], 4)) == []
    for at_once in (1, 4):
        done.clear()
        with pytest.raises(InvalidInput):
            run(transport.each(double, range(13, 1000), at_once))
        assert 13 in done
        assert len(done) < 900


# --- the package


def test_every_name_of_the_package_is_there() -> None:
    assert all(getattr(twohop, name) is not None for name in twohop.__all__)
    assert dir(twohop) == sorted(twohop.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = twohop.Nothing  # type: ignore[attr-defined]


def test_importing_the_package_or_its_command_line_loads_neither_numpy_nor_grpc() -> None:
    code = "import sys, json, twohop, twohop.cli; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout))
    assert not loaded & {"numpy", "grpc", "google"}
