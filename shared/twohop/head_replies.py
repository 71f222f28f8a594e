"""What TF-Serving answers about our heads, read into our values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from twohop.errors import ModelError
from twohop.tensors import dtype_name, from_proto
from twohop.types import Classification, HeadSignature, HeadStatus, TensorSpec
from twohop.wire import tfserving_pb2 as wire

_FINGERPRINT = re.compile(r"enc-[0-9a-f]{12}")


def read_answers(reply: wire.PredictResponse, rows: int, all_scores: bool) -> tuple[Classification, ...]:
    """One answer per row. Raises ModelError for outputs that are not those of the contract."""
    try:
        outputs = {name: from_proto(tensor) for name, tensor in reply.outputs.items()}
        shapes = {name: outputs[name].shape for name in ("label", "score")}
        if set(shapes.values()) != {(rows,)}:
            raise ValueError(f"{rows} rows were asked, and these shapes came: {shapes}")
        labels = [label.decode() or None for label in outputs["label"].tolist()]
        scores = outputs["score"].tolist()
        if not np.isfinite(outputs["score"]).all():
            raise ValueError("a score is not a number")
        each = _all_scores(outputs) if all_scores else [None] * rows
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"the head's answer is not that of a classifier of ours: {error!r}") from error
    return tuple(Classification(*answer) for answer in zip(labels, scores, each, strict=True))


def read_signature(head: str, reply: wire.GetModelMetadataResponse) -> HeadSignature:
    # An Any whose type is TensorFlow's SignatureDefMap: ours has another name and the same bytes.
    signatures = wire.SignatureDefMap.FromString(reply.metadata["signature_def"].value).signature_def
    fingerprints = sorted(name for name in signatures if _FINGERPRINT.fullmatch(name))
    name = fingerprints[0] if fingerprints else "serving_default"
    inputs = {key: _read_spec(info) for key, info in signatures[name].inputs.items()} if name in signatures else {}
    vectors = inputs.get("embedding") or inputs.get("tokens")
    return HeadSignature(
        head=head,
        version=reply.model_spec.version.value,
        fingerprint=fingerprints[0] if fingerprints else None,
        inputs=inputs,
        dimension=vectors.shape[-1] if vectors and vectors.shape else None,
    )


def read_status(head: str, version: wire.ModelVersionStatus) -> HeadStatus:
    state = wire.ModelVersionStatus.State.Name(version.state)
    return HeadStatus(head, version.version, state, version.status.error_message)


def _all_scores(outputs: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, float] | None]:
    return [
        {label.decode(): score for label, score in zip(labels, scores, strict=True)}
        for labels, scores in zip(outputs["labels"].tolist(), outputs["scores"].tolist(), strict=True)
    ]


def _read_spec(info: wire.TensorInfo) -> TensorSpec:
    sizes = tuple(dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim)
    return TensorSpec(dtype_name(info.dtype), None if info.tensor_shape.unknown_rank else sizes)
