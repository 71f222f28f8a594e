"""Predict: TF-Serving's checks in TF-Serving's order, around one run of the model. Knows no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from head_service.model_server.model import DEFAULT_SIGNATURE, Array, Model
from head_service.model_server.requests.tensor_codec import decode, encode
from head_service.model_server.settings import AnswerSettings
from head_service.model_server.status import Code, ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")

Given = TypeVar("Given")


def predict(
    model: Model, request: wire.PredictRequest, version: int, timeout_ms: int, answers: AnswerSettings
) -> wire.PredictResponse:
    """The whole of Predict once the version is found. Raises ServingError."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if answers.check_method_name:
        _check_method(signature)
    outputs = run(model, signature, request.inputs, decode, request.output_filter, timeout_ms)
    response = wire.PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = name
    response.model_spec.version.value = version
    for alias, array in outputs.items():
        encode(array, response.outputs[alias], as_content=answers.as_content)
    return response


def run(
    model: Model,
    signature: wire.SignatureDef,
    inputs: Mapping[str, Given],
    read: Callable[[Given], Array],
    output_filter: Sequence[str],
    timeout_ms: int,
) -> dict[str, Array]:
    """One run by a signature: `read` makes an array of what was given for an input, or raises ValueError. The outputs by
    alias, in the order of the filter, else of their names. Raises ServingError."""
    _check_size(signature, inputs)
    feeds = _feeds(signature, inputs, read)
    aliases = _outputs(signature, output_filter)
    fetched = model.run(feeds, [signature.outputs[alias].name for alias in aliases], timeout_ms)
    return dict(zip(aliases, fetched, strict=True))


def _check_method(signature: wire.SignatureDef) -> None:
    if signature.method_name not in METHODS:
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(METHODS)}}}. Was: {signature.method_name}",
        )


def _check_size(signature: wire.SignatureDef, inputs: Mapping[str, Given]) -> None:
    too_few = len(inputs) < len(signature.inputs) and not signature.defaults
    if len(inputs) > len(signature.inputs) or too_few:
        given, wanted = set(inputs), set(signature.inputs)
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} len({{{_joined(given)}}}) != "
            f"len({{{_joined(wanted)}}}). Sent extra: {{{_joined(given - wanted)}}}. "
            f"Missing but required: {{{_joined(wanted - given)}}}."
        )


def _feeds(signature: wire.SignatureDef, inputs: Mapping[str, Given], read: Callable[[Given], Array]) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    used = set()
    for alias, info in signature.inputs.items():
        try:
            if alias in inputs:
                feeds[info.name] = read(inputs[alias])
                used.add(alias)
            elif alias in signature.defaults:
                feeds[info.name] = decode(signature.defaults[alias])
            else:
                raise invalid(
                    f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value "
                    f"provided. Inputs expected to be in the request {{{_joined(inputs)}}}, or default input alias set: "
                    f"{_joined(signature.defaults)}"
                )
        except (ValueError, MemoryError):
            raise invalid(f"tensor parsing error: {alias}") from None
    if len(used) != len(inputs):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {_joined(used)}, request input: {_joined(inputs)}"
        )
    return feeds


def _outputs(signature: wire.SignatureDef, output_filter: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_joined(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or sorted(signature.outputs)


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
