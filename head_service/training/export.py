"""A trained head as a SavedModel that any TF-Serving serves: the contract's inputs, outputs and signatures, stock
operations only, and warm-up requests, so that the first caller does not pay for the first run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from head_service.repository.layout import EXTRA, WARMUP
from head_service.training.answering import MULTI_LABEL_THRESHOLD, WARM, Answering
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.trained import Model
from twohop.wire import tfserving_pb2 as wire

DEFAULT_SIGNATURE = "serving_default"
WARMUP_BATCHES = (1, 2, 8, 64)
WARMUP_TOKENS = (8, 32, 128)
WARMUP_TEXT = "Some words, as people write them."


def export(
    model: Model, answering: Answering, labels: Sequence[str], head: str, fingerprint: str, dimension: int, folder: Path
) -> None:
    """Writes `model` into `folder`; it reads vectors of `dimension` numbers. Raises OSError."""
    tf = tensorflow()
    module = tf.Module()
    # Variables and not constants: all that training decided lies in their one file.
    module.variables_by_name = {name: tf.Variable(array, name=name) for name, array in model.weights.items()}
    names = tf.constant(np.array([label.encode() for label in labels], dtype=object))  # [C]
    inputs = {name: tf.TensorSpec([*shape], type_, name=name) for name, shape, type_ in _inputs(model, dimension)}

    @tf.function(input_signature=list(inputs.values()), autograph=False)  # type: ignore[untyped-decorator]
    def classify(*tensors: Any) -> dict[str, Any]:
        weights = {name: variable.read_value() for name, variable in module.variables_by_name.items()}
        logits = model.logits(weights, dict(zip(inputs, tensors, strict=True)))
        return _answers(logits, answering, names)

    signatures = (DEFAULT_SIGNATURE, fingerprint)
    module.classify = classify
    tf.saved_model.save(module, str(folder), signatures=dict.fromkeys(signatures, classify))
    (folder / EXTRA).mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
        for request in _warmups(head, signatures, model, dimension):
            log = wire.PredictionLog(predict_log=wire.PredictLog(request=request))
            writer.write(log.SerializeToString(deterministic=True))


def _inputs(model: Model, dimension: int) -> Iterator[tuple[str, tuple[int | None, ...], Any]]:
    """Name, shape and type of what the model reads, in its order."""
    tf = tensorflow()
    known = {
        "embedding": ((None, dimension), tf.float32),
        "tokens": ((None, None, dimension), tf.float32),
        "mask": ((None, None), tf.float32),
        "text": ((None,), tf.string),
    }
    for name in model.inputs:
        yield name, *known[name]


def _answers(logits: Any, answering: Answering, names: Any) -> dict[str, Any]:
    """What `Answering` says, as the contract's outputs. logits [B, C], names string [C]."""
    tf = tensorflow()
    scaled = logits / answering.temperature if answering.temperature != 1 else logits
    if answering.multi_label:
        scores = tf.sigmoid(scaled)  # [B, C]
    else:
        scores = tf.nn.softmax(scaled) if answering.sharpness is None else _sharpened(logits, scaled, answering.sharpness)
    labels = tf.tile(names[tf.newaxis], [tf.shape(scores)[0], 1])  # [B, C]
    if answering.thresholds is None and not answering.multi_label:
        best, score = tf.argmax(scores, axis=1), tf.reduce_max(scores, axis=1)  # [B], [B]
        return {"label": tf.gather(names, best), "score": score, "scores": scores, "labels": labels}
    needed = tf.constant(MULTI_LABEL_THRESHOLD if answering.thresholds is None else answering.thresholds, tf.float32)
    enough = scores >= needed  # [B, C]
    # Several may be true: the likeliest of those that are. One is true: the likeliest, if that is enough.
    rank = tf.where(enough, scores + 1, scores) if answering.multi_label else scores
    best = tf.argmax(rank, axis=1)
    answers = tf.gather(enough, best, axis=1, batch_dims=1)
    return {
        "label": tf.where(answers, tf.gather(names, best), ""),
        "score": tf.gather(scores, best, axis=1, batch_dims=1),
        "scores": scores,
        "labels": labels,
    }


def _sharpened(logits: Any, scaled: Any, sharpness: float) -> Any:
    """Scores as `Answering.scores` makes them with a sharpness. [B, C] each."""
    tf = tensorflow()
    count = logits.shape[1]
    is_best = tf.one_hot(tf.argmax(logits, axis=1), count, on_value=True, off_value=False)
    warm = logits / WARM
    others = [tf.where(is_best, -1e30, some) for some in (scaled, warm)]
    odds = tf.reduce_max(warm, axis=1) - tf.reduce_logsumexp(others[1], axis=1)  # [B]
    score = tf.sigmoid(sharpness * odds + (sharpness - 1) * np.log(count - 1))[:, tf.newaxis]  # [B, 1]
    rest = tf.nn.softmax(others[0])
    rest = tf.where(score > (1 - score) * tf.reduce_max(rest, axis=1, keepdims=True), rest, tf.nn.softmax(others[1]))
    return tf.where(is_best, score, (1 - score) * rest)


def _warmups(head: str, signatures: Sequence[str], model: Model, dimension: int) -> Iterator[wire.PredictRequest]:
    lengths = WARMUP_TOKENS if "tokens" in model.inputs else (0,)
    for signature, batch, length in product(signatures, WARMUP_BATCHES, lengths):
        request = wire.PredictRequest(model_spec=wire.ModelSpec(name=head, signature_name=signature))
        known = {
            "embedding": _filled((batch, dimension), 0.1),
            "tokens": _filled((batch, length, dimension), 0.1),
            "mask": _filled((batch, length), 1.0),
            "text": _filled((batch,), WARMUP_TEXT),
        }
        for name in model.inputs:
            request.inputs[name].CopyFrom(known[name])
        yield request


def _filled(sizes: Sequence[int], value: float | str) -> wire.TensorProto:
    """One value stands for all: TensorFlow repeats the last one, so the file stays small."""
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=size) for size in sizes])
    if isinstance(value, str):
        return wire.TensorProto(dtype=wire.DT_STRING, tensor_shape=shape, string_val=[value.encode()])
    return wire.TensorProto(dtype=wire.DT_FLOAT, tensor_shape=shape, float_val=[value])
