"""The `linear` head: one linear layer and a softmax on the sentence vector, as in FastText, trained to its optimum.

Vectors are standardised per dimension, which folds into the weights at the end. Mean cross-entropy + penalty/2 |W|^2 is
minimised by L-BFGS over all rows. Correlated dimensions make that slow, so it runs on principal axes, each scaled by the
curvature that it has there (about eigenvalue * p(1 - p) + penalty): an exact change of variables, the optimum is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.evaluation import metrics
from head_service.training.heads.runtime import runtime
from head_service.training.heads.trained import Trained, Trial

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)  # strong to weak: each starts from the one before
STEPS = len(PENALTIES) + 1
PATIENCE = 2
MAX_ITERATIONS = 200
TOLERANCE = 1e-6  # of the loss per iteration; ten times it is a third faster and chose worse penalties on clinc150
SMALLEST_DEVIATION = 1e-6

Floats = npt.NDArray[np.floating]
Vectors = npt.NDArray[np.float32]
Classes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Layer:
    """logits = x @ kernel + bias for raw vectors x; kernel [D, C], bias [C], float64."""

    kernel: Floats
    bias: Floats

    def probabilities(self, vectors: Vectors) -> Vectors:
        return _softmax(vectors @ self.kernel.astype(np.float32) + self.bias.astype(np.float32))


def train(
    vectors: Vectors, classes: Classes, validation_vectors: Vectors, validation_classes: Classes, count: int,
    advance: Callable[[int], None] = lambda steps: None,
) -> Trained:  # fmt: skip
    """Chooses the penalty on the validation rows, then trains on all rows with it. vectors [N, D], classes [N] below
    `count`; `advance` is told of each penalty that is done, and of the last fit (STEPS in all)."""
    penalty, layer, trials = _choose(vectors, classes, validation_vectors, validation_classes, count, advance)
    everything = np.concatenate([vectors, validation_vectors]), np.concatenate([classes, validation_classes])
    final = _Problem(*everything, count).minimise(penalty, start=layer)
    advance(1)
    return Trained(_as_keras(final), layer.probabilities(validation_vectors), {"penalty": penalty}, trials)


def _choose(
    vectors: Vectors, classes: Classes, validation_vectors: Vectors, validation_classes: Classes, count: int,
    advance: Callable[[int], None],
) -> tuple[float, Layer, list[Trial]]:  # fmt: skip
    """By validation accuracy, then cross-entropy. Stops once weaker penalties improve neither, twice in a row."""
    problem = _Problem(vectors, classes, count)
    layer = Layer(np.zeros((vectors.shape[1], count)), np.zeros(count))
    best: tuple[tuple[float, float], float, Layer] | None = None
    trials: list[Trial] = []
    worse = 0
    for penalty in PENALTIES:
        layer = problem.minimise(penalty, start=layer)
        probabilities = layer.probabilities(validation_vectors)
        accuracy = metrics.accuracy(validation_classes, probabilities.argmax(1))
        entropy = metrics.cross_entropy(validation_classes, probabilities)
        advance(1)
        improved = not trials or accuracy > max(t.accuracy for t in trials) or entropy < min(t.cross_entropy for t in trials)
        worse = 0 if improved else worse + 1
        trials.append(Trial({"penalty": penalty}, accuracy, entropy))
        if best is None or (accuracy, -entropy) > best[0]:
            best = (accuracy, -entropy), penalty, layer
        if worse == PATIENCE:
            break
    assert best is not None
    advance(len(PENALTIES) - len(trials))
    return best[1], best[2], trials


class _Problem:
    """The rows on their principal axes, ready to be fitted for one penalty after another."""

    def __init__(self, vectors: Vectors, classes: Classes, count: int) -> None:
        self.count = count
        self.mean = vectors.mean(0, dtype=np.float64)
        self.deviation = np.maximum(vectors.std(0, dtype=np.float64), SMALLEST_DEVIATION)
        standardised = ((vectors - self.mean) / self.deviation).astype(np.float32)
        variances, self.axes = np.linalg.eigh((standardised.T @ standardised).astype(np.float64) / len(vectors))  # [D], [D, D]
        self.variances = np.maximum(variances, 0)
        self.rows = standardised @ self.axes.astype(np.float32)  # [N, D]
        self.data_loss = _keras_loss(self.rows, classes, count)

    def minimise(self, penalty: float, start: Layer) -> Layer:
        from scipy.optimize import minimize

        kernel = self.axes.T @ (start.kernel * self.deviation[:, None])  # [D, C] on the axes
        bias = start.bias + self.mean @ start.kernel
        likely = _softmax(self.rows @ kernel.astype(np.float32) + bias.astype(np.float32))
        spread = np.maximum((likely * (1 - likely)).mean(0, dtype=np.float64), 1e-9)  # [C] the mean of p(1 - p)
        # The step that each weight, and in the last row each bias, is measured in.
        scale = 1 / np.sqrt(np.vstack([self.variances[:, None] * spread + penalty, spread[None]]))  # [D + 1, C]

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(scale.shape) * scale
            loss, gradient = self.data_loss(weights)
            gradient[:-1] += penalty * weights[:-1]
            return loss + penalty / 2 * float((weights[:-1] ** 2).sum()), (gradient * scale).ravel()

        options = {"maxiter": MAX_ITERATIONS, "ftol": TOLERANCE, "gtol": 1e-6}
        first = (np.vstack([kernel, bias[None]]) / scale).ravel()
        found = minimize(loss_and_gradient, first, jac=True, method="L-BFGS-B", options=options).x.reshape(scale.shape) * scale
        raw_kernel = (self.axes @ found[:-1]) / self.deviation[:, None]
        return Layer(raw_kernel, found[-1] - self.mean @ raw_kernel)


def _keras_loss(rows: Vectors, classes: Classes, count: int) -> Callable[[Floats], tuple[float, Floats]]:
    """Mean cross-entropy of a Keras Dense layer over all rows, and its gradient, at weights [D + 1, C] (bias last)."""
    tf, keras = runtime()
    dense = keras.layers.Dense(count)
    dense.build(rows.shape)
    inputs, targets = tf.constant(rows), tf.constant(classes)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(targets, dense(inputs), from_logits=True)
            loss = tf.reduce_mean(tf.cast(losses, tf.float64))
        return loss, *tape.gradient(loss, [dense.kernel.value, dense.bias.value])

    def loss_and_gradient(weights: Floats) -> tuple[float, Floats]:
        dense.set_weights([weights[:-1].astype(np.float32), weights[-1].astype(np.float32)])
        loss, kernel, bias = step()
        return float(loss), np.vstack([kernel.numpy(), bias.numpy()[None]]).astype(np.float64)

    return loss_and_gradient


def _as_keras(layer: Layer) -> Any:
    """embedding [B, D] -> probabilities [B, C]"""
    _, keras = runtime()
    dimension, count = layer.kernel.shape
    model = keras.Sequential([keras.Input((dimension,), name="embedding"), keras.layers.Dense(count, activation="softmax")])
    model.set_weights([layer.kernel.astype(np.float32), layer.bias.astype(np.float32)])
    return model


def _softmax(logits: Vectors) -> Vectors:
    shifted: Vectors = np.exp(logits - logits.max(1, keepdims=True))
    shifted /= shifted.sum(1, keepdims=True)
    return shifted
