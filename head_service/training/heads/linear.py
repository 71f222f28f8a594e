"""The `linear` head: one linear layer on the sentence vector, as in FastText, trained to its optimum.

Vectors are standardised per dimension, which folds into the weights at the end. Mean cross-entropy + penalty/2 |W|^2 is
minimised by L-BFGS over all rows. Correlated dimensions make that slow, so it runs on principal axes, each scaled by the
curvature that it has there (about eigenvalue * p(1 - p) + penalty): an exact change of variables, the optimum is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads import objective
from head_service.training.heads.material import Material, joined, moments, vector_matrix
from head_service.training.heads.portion import STEPS
from head_service.training.heads.trained import Model, Trained, Trial

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)  # strong to weak: each starts from the one before
STEP = STEPS // (len(PENALTIES) + 1)
PATIENCE = 2
MAX_ITERATIONS = 200
TOLERANCE = 1e-6  # of the loss per iteration; ten times it is a third faster and chose worse penalties on clinc150
KEPT_BYTES = 2 << 30  # standardised rows stay in memory up to this size, beyond it they are read anew for each iteration

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Layer:
    """logits = x @ kernel + bias for raw vectors x; kernel [D, C], bias [C], float64."""

    kernel: Floats
    bias: Floats

    def logits(self, rows: Material) -> npt.NDArray[np.float32]:
        """[N, C]"""
        kernel, bias = self.kernel.astype(np.float32), self.bias.astype(np.float32)
        return np.concatenate([vector_matrix(rows)[part] @ kernel + bias for part in rows.chunks()])


def fit(
    train: Material, validation: Material, classes: int, *, seed: int, multi_label: bool, advance: Callable[[int], None]
) -> Trained:
    """See kinds.Kind. Nothing here is drawn by `seed`."""
    best, layer, trials = _choose(train, validation, classes, multi_label, advance)
    penalty = best.settings["penalty"]
    final = Problem(joined(train, validation), classes).minimise(penalty, start=layer)
    advance(STEP)
    return Trained(model(final), layer.logits(validation), {"penalty": penalty}, trials)


def model(layer: Layer) -> Model:
    weights = {"kernel": layer.kernel.astype(np.float32), "bias": layer.bias.astype(np.float32)}
    return Model(("embedding",), weights, logits)


def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """embedding [B, D] -> [B, C]"""
    return inputs["embedding"] @ weights["kernel"] + weights["bias"]


def _choose(
    train: Material, validation: Material, classes: int, multi_label: bool, advance: Callable[[int], None]
) -> tuple[Trial, Layer, list[Trial]]:
    """Stops once weaker penalties improve neither accuracy nor cross-entropy, twice in a row."""
    problem = Problem(train, classes)
    layer = Layer(np.zeros((problem.dimension, classes)), np.zeros(classes))
    best: tuple[Trial, Layer] | None = None
    trials: list[Trial] = []
    worse = 0
    for penalty in PENALTIES:
        layer = problem.minimise(penalty, start=layer)
        new = objective.trial({"penalty": penalty}, layer.logits(validation), validation)
        advance(STEP)
        improved = not any(old.accuracy >= new.accuracy for old in trials) or not any(
            old.cross_entropy <= new.cross_entropy for old in trials
        )
        worse = 0 if improved else worse + 1
        trials.append(new)
        if objective.is_better(new, best[0] if best else None, multi_label):
            best = new, layer
        if worse == PATIENCE:
            break
    assert best is not None
    advance(STEP * (len(PENALTIES) - len(trials)))
    return *best, trials


class Problem:
    """The rows, ready to be fitted for one penalty after another."""

    def __init__(self, rows: Material, classes: int) -> None:
        self._rows, self.dimension = rows, vector_matrix(rows).shape[1]
        self._classes = classes
        self.mean, self.deviation = moments(vector_matrix(rows))
        self._kept: list[npt.NDArray[np.float32]] | None = None
        if len(rows) * self.dimension * 4 <= KEPT_BYTES:
            self._kept = list(self._standardised())
        scatter = sum((chunk.T @ chunk).astype(np.float64) for chunk in self._standardised())
        variances, self.axes = np.linalg.eigh(scatter / len(rows))  # [D], [D, D]
        self.variances = np.maximum(variances, 0)

    def minimise(self, penalty: float, start: Layer) -> Layer:
        from scipy.optimize import minimize

        kernel = self.axes.T @ (start.kernel * self.deviation[:, None])  # [D, C] on the axes
        bias = start.bias + self.mean @ start.kernel
        spread = self._spread(kernel, bias)  # [C]
        # The step that each weight, and in the last row each bias, is measured in.
        scale = 1 / np.sqrt(np.vstack([self.variances[:, None] * spread + penalty, spread[None]]))  # [D + 1, C]

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(scale.shape) * scale
            loss, gradient = self._data_loss(weights[:-1], weights[-1])
            gradient[:-1] += penalty * weights[:-1]
            return loss + penalty / 2 * float((weights[:-1] ** 2).sum()), (gradient * scale).ravel()

        options = {"maxiter": MAX_ITERATIONS, "ftol": TOLERANCE, "gtol": 1e-6}
        first = (np.vstack([kernel, bias[None]]) / scale).ravel()
        found = minimize(loss_and_gradient, first, jac=True, method="L-BFGS-B", options=options).x.reshape(scale.shape) * scale
        raw_kernel = (self.axes @ found[:-1]) / self.deviation[:, None]
        return Layer(raw_kernel, found[-1] - self.mean @ raw_kernel)

    def _data_loss(self, kernel: Floats, bias: Floats) -> tuple[float, Floats]:
        """Mean loss over all rows and its gradient [D + 1, C] (bias last), at weights on the axes."""
        turned = (self.axes @ kernel).astype(np.float32)  # [D, C]: turning the weights is cheaper than turning the rows
        loss, by_kernel, by_bias = 0.0, np.zeros(kernel.shape), np.zeros(bias.shape)
        for part, chunk in zip(self._rows.chunks(), self._standardised(), strict=True):
            logits = chunk @ turned + bias.astype(np.float32)
            some, slope = objective.loss_and_slope(logits, self._rows.targets[part], self._rows.weights[part])
            loss += some
            by_kernel += chunk.T @ slope
            by_bias += slope.sum(0, dtype=np.float64)
        count = len(self._rows)
        return loss / count, np.vstack([self.axes.T @ by_kernel, by_bias[None]]) / count

    def _spread(self, kernel: Floats, bias: Floats) -> Floats:
        """[C] the mean of p(1 - p), the curvature of the loss by each logit."""
        turned, likelihood = (self.axes @ kernel).astype(np.float32), objective.likelihood(self._rows.multi_label)
        total = np.zeros(self._classes)
        for chunk in self._standardised():
            likely = likelihood(chunk @ turned + bias.astype(np.float32))
            total += (likely * (1 - likely)).sum(0, dtype=np.float64)
        return np.maximum(total / len(self._rows), 1e-9)

    def _standardised(self) -> Iterator[npt.NDArray[np.float32]]:
        if self._kept is not None:
            yield from self._kept
            return
        mean, deviation = self.mean.astype(np.float32), self.deviation.astype(np.float32)
        for part in self._rows.chunks():
            yield (vector_matrix(self._rows)[part] - mean) / deviation
