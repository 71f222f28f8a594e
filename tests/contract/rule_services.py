"""Both services, honest and small: real gRPC servers on ports of their own that speak the wire protocol and answer by
rule. An encoder's vector of a text is made of its length and words; a head's label says whether the first number is even.

What a test wants to go wrong it puts into `faults`: an error to raise before the next answers, one each, or for ever.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf.any_pb2 import Any as AnyMessage

from twohop.errors import EncoderMismatch, InvalidInput, NotFound, TooLarge, TwoHopError
from twohop.status import to_trailers
from twohop.tensors import from_proto, to_proto
from twohop.wire import embedding_pb2 as hop_1
from twohop.wire import tfserving_pb2 as hop_2

POOLED, RICH, TOKENS = "enc-aaaaaaaaaaaa", "enc-bbbbbbbbbbbb", "enc-cccccccccccc"


class Foreign(Exception):
    """A status made by gRPC or TF-Serving: no trailers of ours."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass
class Service:
    """One server; `calls` are (method, request, metadata, seconds left) in order."""

    port: int = 0
    faults: deque[TwoHopError | Foreign] = field(default_factory=deque)
    always: TwoHopError | Foreign | None = None
    delay_s: float = 0.0
    calls: list[tuple[str, Any, dict[str, Any], float | None]] = field(default_factory=list)
    cancelled: int = 0
    server: grpc.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def asked(self, method: str) -> list[Any]:
        return [request for name, request, _, _ in self.calls if name == method]

    def start(self, host: str = "127.0.0.1", credentials: grpc.ServerCredentials | None = None) -> None:
        self.server = grpc.server(
            ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        )
        for service, methods in self.methods().items():
            rpcs = {name: self._rpc(name, answer, kind) for name, (answer, kind) in methods.items()}
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, rpcs),))
        place = f"{host}:{self.port}"
        bind = self.server.add_insecure_port
        self.port = bind(place) if credentials is None else self.server.add_secure_port(place, credentials)
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop(None).wait()

    def methods(self) -> dict[str, dict[str, tuple[Callable[[Any], Any], Any]]]:
        raise NotImplementedError

    def reset(self) -> None:
        self.faults.clear()
        self.calls.clear()
        self.always, self.delay_s, self.cancelled = None, 0.0, 0

    def _rpc(self, name: str, answer: Callable[[Any], Any], kind: Any) -> Any:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            left_s = context.time_remaining()
            self.calls.append((name, request, dict(context.invocation_metadata()), left_s))
            fault = self.faults.popleft() if self.faults else self.always
            until = time.monotonic() + self.delay_s
            while time.monotonic() < until:
                if not context.is_active():
                    self.cancelled += 1
                    return kind()
                time.sleep(0.005)
            try:
                if fault is not None:
                    raise fault
                return answer(request)
            except Foreign as error:
                context.abort(error.code, error.message)
            except TwoHopError as error:
                context.set_trailing_metadata(to_trailers(error))
                context.abort(grpc.StatusCode[error.grpc_code], error.message)

        requests = {"Embed": hop_1.EmbedRequest, "ListEncoders": hop_1.ListEncodersRequest, "Predict": hop_2.PredictRequest,
                    "GetModelMetadata": hop_2.GetModelMetadataRequest, "GetModelStatus": hop_2.GetModelStatusRequest}
        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=requests[name].FromString, response_serializer=kind.SerializeToString
        )


@dataclass
class EmbeddingRules(Service):
    max_texts: int = 2048
    max_request_bytes: int = 8 << 20
    max_response_bytes: int = 64 << 20
    encoders: dict[str, str] = field(default_factory=lambda: {"minilm": POOLED, "rich": RICH, "tokens": TOKENS})
    dimension: int = 4
    ready: bool = True
    wait_us: int = 0

    def methods(self) -> dict[str, dict[str, tuple[Callable[[Any], Any], Any]]]:
        return {"twohop.embedding.v1.EmbeddingService": {
            "Embed": (self.embed, hop_1.EmbedResponse), "ListEncoders": (self.list, hop_1.ListEncodersResponse),
        }}

    def reset(self) -> None:
        super().reset()
        self.encoders = {"minilm": POOLED, "rich": RICH, "tokens": TOKENS}
        self.max_texts, self.max_request_bytes, self.max_response_bytes = 2048, 8 << 20, 64 << 20
        self.ready, self.wait_us = True, 0

    def vectors(self, name: str, text: str) -> np.ndarray:
        """[1, D], or [tokens, D]: the encoder's letter, the text's length, its words, and a number of the word."""
        words = text.split()
        rows = [(ord(name[0]), len(text), len(words), len(word)) for word in (words if name == "tokens" else [text])]
        return np.array(rows, np.float32)

    def embed(self, request: Any) -> Any:
        name = request.encoder or next(iter(self.encoders))
        if name not in self.encoders:
            raise NotFound(f"no encoder '{name}'")
        fingerprint = self.encoders[name]
        if request.expect_fingerprint not in ("", fingerprint):
            raise EncoderMismatch("expected another", detail={"expected": request.expect_fingerprint})
        if not 0 < len(request.texts) <= self.max_texts:
            raise InvalidInput(f"{len(request.texts)} texts")
        for index, text in enumerate(request.texts):
            if text == "poison":
                raise InvalidInput(f"text {index} is poison", detail={"index": index})
        if request.ByteSize() > self.max_request_bytes:
            raise TooLarge("request above max_request_bytes")
        vectors = [self.vectors(name, text) for text in request.texts]
        kind = "<f2" if request.dtype == hop_1.DTYPE_FLOAT16 else "<f4"
        raw = np.concatenate(vectors).astype(kind).tobytes()
        if len(raw) > self.max_response_bytes:
            raise TooLarge("reply above max_response_bytes")
        tokens = [len(text.split()) + 2 for text in request.texts]
        return hop_1.EmbedResponse(
            encoder=name, fingerprint=fingerprint, numerics="rule-f32", dimension=self.dimension,
            dtype=request.dtype or hop_1.DTYPE_FLOAT32, vectors=raw, rows=[len(rows) for rows in vectors],
            tokens=[min(count, 8) for count in tokens], tokens_total=tokens,
            timings=hop_1.ServerTimings(tokenize_us=10, queue_us=20, compute_us=30, total_us=60), estimated_wait_us=self.wait_us,
        )

    def list(self, request: Any) -> Any:
        return hop_1.ListEncodersResponse(
            encoders=[
                hop_1.Encoder(name=name, aliases=[f"{name}-alias"], fingerprint=fingerprint, identity_json='{"format":1}',
                              numerics="rule-f32", dimension=self.dimension, per_token=name == "tokens", ready=self.ready)
                for name, fingerprint in self.encoders.items()
            ],
            limits=hop_1.Limits(max_texts=self.max_texts, max_request_bytes=self.max_request_bytes,
                                max_response_bytes=self.max_response_bytes),
            service_version="rule",
        )


@dataclass
class HeadRules(Service):
    """Heads by name: the fingerprint that names their signature, their version and their inputs."""

    heads: dict[str, tuple[str, int, tuple[str, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.heads = {
            "sentiment": (POOLED, 3, ("embedding",)),
            "topic": (RICH, 1, ("embedding",)),
            "hybrid": (TOKENS, 2, ("tokens", "mask", "text")),
        }

    def methods(self) -> dict[str, dict[str, tuple[Callable[[Any], Any], Any]]]:
        return {
            "tensorflow.serving.PredictionService": {
                "Predict": (self.predict, hop_2.PredictResponse),
                "GetModelMetadata": (self.metadata, hop_2.GetModelMetadataResponse),
            },
            "tensorflow.serving.ModelService": {"GetModelStatus": (self.status, hop_2.GetModelStatusResponse)},
        }

    def _head(self, spec: Any) -> tuple[str, int, tuple[str, ...]]:
        if spec.name not in self.heads:
            raise Foreign(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        return self.heads[spec.name]

    def predict(self, request: Any) -> Any:
        fingerprint, version, names = self._head(request.model_spec)
        if request.model_spec.signature_name not in (fingerprint, "serving_default"):
            raise Foreign(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{request.model_spec.signature_name}" not found.'
            )
        if set(request.inputs) != set(names):
            raise Foreign(grpc.StatusCode.INVALID_ARGUMENT, f"input size does not match signature: {sorted(request.inputs)}")
        inputs = {name: from_proto(tensor) for name, tensor in request.inputs.items()}
        values = inputs["embedding"][:, 1] if "embedding" in inputs else inputs["tokens"][:, 0, 1]
        even = [value % 2 == 0 for value in values.tolist()]
        outputs = {
            "label": np.array([b"" if value == 13 else b"even" if is_even else b"odd"
                               for value, is_even in zip(values.tolist(), even, strict=True)], object),
            "score": np.where(even, 0.75, 0.625).astype(np.float32),
            "scores": np.array([[0.75, 0.25] if is_even else [0.375, 0.625] for is_even in even], np.float32),
            "labels": np.array([[b"even", b"odd"]] * len(even), object),
        }
        spec = hop_2.ModelSpec(name=request.model_spec.name, signature_name=request.model_spec.signature_name)
        spec.version.value = version
        # As TF-Serving sends floats: in the typed fields.
        tensors = {name: to_proto(outputs[name]) for name in request.output_filter}
        for tensor in tensors.values():
            if tensor.dtype == hop_2.DT_FLOAT:
                tensor.float_val.extend(from_proto(tensor).ravel().tolist())
                tensor.ClearField("tensor_content")
        return hop_2.PredictResponse(model_spec=spec, outputs=tensors)

    def metadata(self, request: Any) -> Any:
        fingerprint, version, names = self._head(request.model_spec)
        shapes = {"embedding": [-1, 4], "tokens": [-1, -1, 4], "mask": [-1, -1], "text": [-1]}
        dim = hop_2.TensorShapeProto.Dim
        signature = hop_2.SignatureDef(inputs={
            name: hop_2.TensorInfo(
                name=f"{name}:0", dtype=hop_2.DT_STRING if name == "text" else hop_2.DT_FLOAT,
                tensor_shape=hop_2.TensorShapeProto(dim=[dim(size=size) for size in shapes.get(name, [-1])]),
            )
            for name in names
        })
        named = hop_2.SignatureDefMap(signature_def={key: signature for key in ("serving_default", fingerprint) if key})
        reply = hop_2.GetModelMetadataResponse(model_spec=hop_2.ModelSpec(name=request.model_spec.name), metadata={
            "signature_def": AnyMessage(
                type_url="type.googleapis.com/tensorflow.serving.SignatureDefMap", value=named.SerializeToString()
            )
        })
        reply.model_spec.version.value = version
        return reply

    def status(self, request: Any) -> Any:
        if request.model_spec.name not in self.heads:
            raise Foreign(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        version = self.heads[request.model_spec.name][1]
        status = hop_2.ModelVersionStatus
        return hop_2.GetModelStatusResponse(model_version_status=[
            status(version=version - 1, state=status.END), status(version=version, state=status.AVAILABLE),
        ])

