"""Hop 2's client: vectors in, labels out, by TF-Serving's gRPC interface. Any TF-Serving answers it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from twohop import addresses
from twohop.deadline import Deadline, deadlines
from twohop.errors import EncoderMismatch, InvalidInput, NotFound, TwoHopError
from twohop.head_replies import read_answers, read_signature, read_status
from twohop.remote import Remote
from twohop.tensors import to_proto
from twohop.transport import BlockingTransport, Method, Transport, run
from twohop.types import TLS, Classifications, HeadSignature, HeadStatus
from twohop.wire import tfserving_pb2 as wire

Input = npt.NDArray[Any] | Sequence[str]
Inputs = Mapping[str, Input]

PREDICT = Method("/tensorflow.serving.PredictionService/Predict", wire.PredictRequest, wire.PredictResponse)
GET_METADATA = Method(
    "/tensorflow.serving.PredictionService/GetModelMetadata", wire.GetModelMetadataRequest, wire.GetModelMetadataResponse
)
GET_STATUS = Method("/tensorflow.serving.ModelService/GetModelStatus", wire.GetModelStatusRequest, wire.GetModelStatusResponse)

# A batch goes out in requests that any gRPC server takes (4 MiB is the default limit of most).
REQUEST_BYTES = 7 * 512 * 1024
REQUESTS_AT_ONCE = 2

_HEAD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(-canary)?")


class HeadClient:
    """Hop 2, blocking; threads may share it. Addresses: `HOST:PORT`, one or several (then balanced over)."""

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout_s: float = 10.0,
        token: str | None = None,
        tls: TLS | None = None,
    ) -> None:
        self._calls = HeadCalls(address, timeout_s=timeout_s, transport=BlockingTransport(tls, token))

    def predict(
        self, head: str, inputs: Inputs, *, fingerprint: str, all_scores: bool = False, timeout_s: float | None = None
    ) -> Classifications:
        """Labels of B vectors, in order. `inputs` by the names of the head's signature: `embedding` [B, D], or `tokens`
        [B, T, D] with `mask` [B, T], and `text` [B] for a hybrid head. `fingerprint` says which encoder they are of.

        Raises EncoderMismatch, naming both fingerprints, for vectors of another encoder than the head's, NotFound for a
        head that is not served, InvalidInput, and what every call may raise: Unavailable, Overloaded, DeadlineExceeded,
        ModelError, Unauthenticated.
        """
        return run(
            self._calls.predict(head, inputs, fingerprint=fingerprint, all_scores=all_scores, timeout_s=timeout_s)
        )

    def signature(self, head: str, *, timeout_s: float | None = None) -> HeadSignature:
        """What the head takes. Read once, and once more when the head was found to have changed."""
        return run(self._calls.signature(head, timeout_s=timeout_s))

    def status(self, head: str, *, timeout_s: float | None = None) -> list[HeadStatus]:
        """The head's versions, newest first. Raises NotFound for a head that the server never had."""
        return run(self._calls.status(head, timeout_s=timeout_s))

    @property
    def address(self) -> str:
        return self._calls.address

    def close(self) -> None:
        run(self._calls.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class HeadCalls:
    """What both clients of hop 2 do, written once; how to wait is the transport's. `AsyncHeadClient` is this."""

    def __init__(self, address: str | Sequence[str], *, timeout_s: float, transport: Transport) -> None:
        found, named = addresses.parse(address)
        if named:
            raise InvalidInput(f"the address of hop 2 is HOST:PORT; heads are named in the call, so without '/{named}'")
        self.address = ",".join(map(str, found))
        self.timeout_s = timeout_s
        self._transport = transport
        self._remote = Remote("hop 2 (head service)", found, transport)
        self._signatures: dict[str, HeadSignature] = {}

    async def predict(
        self, head: str, inputs: Inputs, *, fingerprint: str, all_scores: bool = False, timeout_s: float | None = None
    ) -> Classifications:
        """Labels of B vectors, in order: see `HeadClient.predict`."""
        check_name(head)
        if not fingerprint:
            raise InvalidInput("fingerprint is empty: say which encoder the inputs are of, as `Embeddings.fingerprint` does")
        return await self.ask(head, inputs, fingerprint, all_scores, deadlines(timeout_s, self.timeout_s))

    async def signature(self, head: str, *, timeout_s: float | None = None) -> HeadSignature:
        """What the head takes: see `HeadClient.signature`."""
        return await self.known(head, deadlines(timeout_s, self.timeout_s)())

    async def status(self, head: str, *, timeout_s: float | None = None) -> list[HeadStatus]:
        """The head's versions, newest first. Raises NotFound for a head that the server never had."""
        check_name(head)
        request = wire.GetModelStatusRequest(model_spec=wire.ModelSpec(name=head))
        reply, _ = await self._remote.call(GET_STATUS, request, deadlines(timeout_s, self.timeout_s)())
        found = [read_status(head, version) for version in reply.model_version_status]
        return sorted(found, key=lambda status: -status.version)

    async def aclose(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- one step lower: what the chain of both hops uses too

    async def known(self, head: str, deadline: Deadline) -> HeadSignature:
        """The signature as last read; read if it never was."""
        return self._signatures.get(head) or await self.refresh(head, deadline)

    async def refresh(self, head: str, deadline: Deadline) -> HeadSignature:
        check_name(head)
        self._signatures.pop(head, None)
        request = wire.GetModelMetadataRequest(model_spec=wire.ModelSpec(name=head), metadata_field=["signature_def"])
        try:
            reply, _ = await self._remote.call(GET_METADATA, request, deadline)
        except NotFound as error:
            raise _no_such_head(head, error) from error
        self._signatures[head] = read_signature(head, reply)
        return self._signatures[head]

    async def ask(
        self, head: str, inputs: Inputs, fingerprint: str, all_scores: bool, deadline: Callable[[], Deadline]
    ) -> Classifications:
        """In as many requests as the size of the batch asks for, each with its deadline."""
        requests = _requests({name: _as_sent(value) for name, value in inputs.items()})
        return joined(await self._transport.each(
            lambda part: self._send(head, part, fingerprint, all_scores, deadline()), requests, REQUESTS_AT_ONCE
        ))

    async def _send(
        self, head: str, inputs: Inputs, fingerprint: str, all_scores: bool, deadline: Deadline
    ) -> Classifications:
        begun = time.perf_counter()
        request = wire.PredictRequest(
            model_spec=wire.ModelSpec(name=head, signature_name=fingerprint),
            inputs={name: to_proto(value) for name, value in inputs.items()},
            output_filter=["label", "score", "scores", "labels"] if all_scores else ["label", "score"],
        )
        try:
            reply, _ = await self._remote.call(PREDICT, request, deadline)
        except NotFound as error:
            raise _no_such_head(head, error) from error
        except EncoderMismatch as error:
            raise await self._explain(error, head, fingerprint, deadline) from error
        head_ms = (time.perf_counter() - begun) * 1000
        return Classifications(
            items=read_answers(reply, _length(inputs), all_scores),
            head=head,
            version=reply.model_spec.version.value,
            fingerprint=fingerprint,
            timings_ms={"embed": 0.0, "head": head_ms, "total": head_ms},
        )

    async def _explain(self, error: EncoderMismatch, head: str, fingerprint: str, deadline: Deadline) -> TwoHopError:
        """The server knows only that it has no signature of this name; the head's own fingerprint says the rest."""
        try:
            found = await self.refresh(head, deadline)
        except TwoHopError:
            return error
        return mismatch(found, fingerprint)


def mismatch(signature: HeadSignature, given: str, reason: str = "") -> EncoderMismatch:
    """The client's own refusal, naming both fingerprints."""
    wanted = f"vectors of {signature.fingerprint}" if signature.fingerprint else "vectors of an encoder that it does not name"
    return EncoderMismatch(
        f"head '{signature.head}' (version {signature.version}) takes {wanted}, and {reason or f'those of {given} were given'}",
        detail={"head": signature.head, "head_encoder": signature.fingerprint, "given_encoder": given},
    )


def check_name(head: str) -> None:
    if not isinstance(head, str) or not _HEAD_NAME.fullmatch(head):
        raise InvalidInput(
            f"{str(head)[:100]!r} is no head name: 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit",
            detail={"head": str(head)[:100]},
        )


def joined(parts: Sequence[Classifications]) -> Classifications:
    """One result of several, in order; `version` is the last one's, should the head have changed meanwhile."""
    if len(parts) == 1:
        return parts[0]
    timings = {key: sum(part.timings_ms[key] for part in parts) for key in parts[0].timings_ms}
    return replace(parts[-1], items=tuple(item for part in parts for item in part.items), timings_ms=timings)


def _requests(inputs: Inputs) -> list[Inputs]:
    """The batch in pieces along B. Raises InvalidInput for an empty one and for inputs of different B."""
    length = _length(inputs)
    row_bytes = sum(map(_row_bytes, inputs.values()))
    step = max(1, REQUEST_BYTES // max(1, row_bytes))
    if step >= length:
        return [inputs]
    return [{name: value[at : at + step] for name, value in inputs.items()} for at in range(0, length, step)]


def _row_bytes(value: Input) -> int:
    """Of one row; of texts, of the longest."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OSU":
        return value.nbytes // len(value)
    return max(len(text) if isinstance(text, bytes) else len(str(text).encode()) for text in value)


def _length(inputs: Inputs) -> int:
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and value.ndim == 0:
            raise InvalidInput(f"the input '{name}' is a single value: its first dimension is the batch")
    lengths = {name: len(value) for name, value in inputs.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise InvalidInput(f"the inputs must all hold the same number of rows, at least one; they hold {lengths}")
    return next(iter(lengths.values()))


def _as_sent(value: Input) -> Input:
    """Heads take float32, whatever the vectors travelled as."""
    array = np.asarray(value)
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else value


def _no_such_head(head: str, error: NotFound) -> NotFound:
    return NotFound(f"head '{head}' is not served ({error.message})", detail={**error.detail, "head": head})
