"""Between embedding.proto's messages and the service's values."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from embedding_service.serving.limits import Limits
from embedding_service.serving.registry import Registry
from embedding_service.serving.service import Reply, Request
from twohop import __version__
from twohop.errors import InvalidInput
from twohop.wire import embedding_pb2 as wire

_PRIORITIES = {wire.PRIORITY_UNSPECIFIED: False, wire.PRIORITY_ONLINE: False, wire.PRIORITY_BULK: True}
_VALUE_BYTES = {wire.DTYPE_UNSPECIFIED: 4, wire.DTYPE_FLOAT32: 4, wire.DTYPE_FLOAT16: 2}


def read_embed(message: bytes, deadline: float | None) -> Request:
    """Raises InvalidInput for bytes that are no EmbedRequest, naming the text that is no UTF-8, and for unknown values."""
    try:
        request = wire.EmbedRequest.FromString(message)
    except DecodeError:
        raise _why_unreadable(message) from None
    if request.priority not in _PRIORITIES:
        raise InvalidInput(f"unknown priority {request.priority}: send PRIORITY_ONLINE or PRIORITY_BULK")
    if request.dtype not in _VALUE_BYTES:
        raise InvalidInput(f"unknown dtype {request.dtype}: send DTYPE_FLOAT32 or DTYPE_FLOAT16")
    return Request(
        texts=list(request.texts),
        encoder=request.encoder,
        pairs=list(request.pairs),
        expect_fingerprint=request.expect_fingerprint,
        bulk=_PRIORITIES[request.priority],
        refuse_truncation=request.refuse_truncation,
        value_bytes=_VALUE_BYTES[request.dtype],
        deadline=deadline,
    )


def read_list(message: bytes) -> None:
    try:
        wire.ListEncodersRequest.FromString(message)
    except DecodeError:
        raise InvalidInput("these bytes are no ListEncodersRequest message") from None


def write_reply(reply: Reply, dtype: np.dtype[Any]) -> bytes:
    flat = [vectors.astype(dtype, copy=False) for vectors in reply.vectors]
    timings = reply.timings
    return wire.EmbedResponse(
        encoder=reply.encoder.name,
        fingerprint=reply.encoder.fingerprint,
        numerics=reply.numerics,
        dimension=reply.encoder.dimension,
        dtype=wire.DTYPE_FLOAT16 if dtype.itemsize == 2 else wire.DTYPE_FLOAT32,
        vectors=b"".join(vectors.tobytes() for vectors in flat),
        rows=[len(vectors) for vectors in flat],
        tokens=reply.tokens,
        tokens_total=reply.tokens_total,
        timings=wire.ServerTimings(
            tokenize_us=_us(timings.tokenize_s),
            queue_us=_us(timings.queue_s),
            compute_us=_us(timings.compute_s),
            total_us=_us(timings.total_s),
            cached_texts=timings.cached,
        ),
        estimated_wait_us=_us(reply.estimated_wait_s),
    ).SerializeToString()


def write_encoders(registry: Registry, limits: Limits, *, is_ready: bool) -> bytes:
    return wire.ListEncodersResponse(
        encoders=[
            wire.Encoder(
                name=encoder.name,
                aliases=encoder.aliases,
                fingerprint=encoder.fingerprint,
                identity_json=encoder.identity_json,
                numerics=registry.numerics,
                dimension=encoder.dimension,
                per_token=encoder.per_token,
                max_length=encoder.max_length,
                normalized=encoder.normalized,
                ready=is_ready,
            )
            for encoder in registry
        ],
        limits=wire.Limits(
            max_texts=limits.max_texts,
            max_request_bytes=limits.max_request_bytes,
            max_response_bytes=limits.max_response_bytes,
        ),
        service_version=__version__,
    ).SerializeToString()


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))


def _why_unreadable(message: bytes) -> InvalidInput:
    """Read once more with bytes in the place of strings, to say which text it is."""
    try:
        raw = _raw_request().FromString(message)
    except DecodeError:
        return InvalidInput("these bytes are no EmbedRequest message")
    for field in ("texts", "pairs"):
        for index, value in enumerate(getattr(raw, field)):
            try:
                value.decode("utf-8")
            except UnicodeDecodeError as error:
                what = f"{field.removesuffix('s')} {index}"
                return InvalidInput(f"{what} is not UTF-8 (byte {error.start}): encode it so", detail={"index": index})
    return InvalidInput("encoder or expect_fingerprint is not UTF-8")


def _raw_request() -> Any:
    """EmbedRequest with bytes fields: the same on the wire."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="raw.proto", syntax="proto3")
    message = file.message_type.add(name="RawEmbedRequest")
    for number, name in ((2, "texts"), (3, "pairs")):
        message.field.add(name=name, number=number, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("RawEmbedRequest"))
