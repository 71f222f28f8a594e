"""A trained head as a SavedModel that any TF-Serving serves: the contract's inputs, outputs and signatures, stock
operations only, and warm-up requests, so that the first caller does not pay for the first run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from head_service.repository.layout import EXTRA, WARMUP
from head_service.training.heads.runtime import runtime
from twohop.wire import tfserving_pb2 as wire

DEFAULT_SIGNATURE = "serving_default"
WARMUP_BATCHES = (1, 2, 8, 64)


def export(model: Any, labels: Sequence[str], head: str, fingerprint: str, folder: Path) -> None:
    """Writes the Keras `model` (embedding [B, D] -> probabilities [B, C]) into `folder`. Raises OSError."""
    tf, _ = runtime()
    dimension = model.input_shape[1]
    module = tf.Module()
    # Variables of the module's own: those of a Keras 3 model are not restored by TF-Serving's kind of session.
    module.weights = [tf.Variable(variable.numpy()) for variable in model.trainable_variables]
    module.fixed = [tf.Variable(variable.numpy()) for variable in model.non_trainable_variables]
    names = tf.constant(np.array([label.encode() for label in labels], dtype=object))  # [C]

    @tf.function(input_signature=[tf.TensorSpec([None, dimension], tf.float32, name="embedding")])  # type: ignore[untyped-decorator]
    def classify(embedding: Any) -> dict[str, Any]:
        scores, _ = model.stateless_call(module.weights, module.fixed, embedding)  # [B, C]
        return {
            "label": tf.gather(names, tf.argmax(scores, axis=1)),  # [B]
            "score": tf.reduce_max(scores, axis=1),  # [B]
            "scores": scores,
            "labels": tf.tile(names[tf.newaxis], [tf.shape(embedding)[0], 1]),  # [B, C]
        }

    signatures = (DEFAULT_SIGNATURE, fingerprint)
    module.classify = classify
    tf.saved_model.save(module, str(folder), signatures=dict.fromkeys(signatures, classify))
    (folder / EXTRA).mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
        for signature in signatures:
            for batch in WARMUP_BATCHES:
                writer.write(_warmup(head, signature, batch, dimension).SerializeToString(deterministic=True))


def _warmup(head: str, signature: str, batch: int, dimension: int) -> wire.PredictionLog:
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=size) for size in (batch, dimension)])
    # One value stands for all: TensorFlow repeats the last one, so the file stays small.
    tensor = wire.TensorProto(dtype=wire.DT_FLOAT, tensor_shape=shape, float_val=[0.1])
    request = wire.PredictRequest(
        model_spec=wire.ModelSpec(name=head, signature_name=signature), inputs={"embedding": tensor}
    )
    return wire.PredictionLog(predict_log=wire.PredictLog(request=request))
