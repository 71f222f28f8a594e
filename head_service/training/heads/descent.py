"""Training a small network by gradient descent: several members side by side on the same batches, whose logits are averaged.

AdamW (Loshchilov and Hutter 2019) with a learning rate that falls linearly to zero. The epoch that does best on the validation
rows counts; training on all rows then ends after the same epoch. Every draw comes from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads import objective
from head_service.training.heads.material import Material, Matrix, joined, moments, token_vectors, vector_matrix
from head_service.training.heads.portion import STEPS, Portion
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.trained import Model, Trained, Trial

MEMBERS = 3
BATCH_ROWS = 64
READING_ROWS = 256
FEWEST_STEPS, MOST_STEPS = 500, 30_000
PATIENCE = 0.25  # of the planned epochs, but two at least, may improve nothing
LENGTH_JITTER = 6  # tokens; batches are of texts of about one length, so that little is padding
ADAM = 0.9, 0.999, 1e-7  # decay of the mean, of the square; smallest divisor

Floats = npt.NDArray[np.floating]
Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Network:
    """`initial` draws weights of all members. `logits(weights, inputs, noise)`: [B, S, C] of S members, with dropout drawn
    by `noise`, an int32 pair, or without (None). `inputs` are its tensors by name, for some rows of a material."""

    initial: Callable[[np.random.Generator], Weights]
    logits: Callable[[Mapping[str, Any], Mapping[str, Any], Any], Any]
    inputs: Callable[[Material, npt.NDArray[np.integer]], dict[str, npt.NDArray[np.float32]]]


@dataclass(frozen=True)
class Form:
    """A kind of head that is descended to. `network(mean, deviation, classes)` reads vectors that it standardises by the
    training rows' mean [D] and deviation [D]; `folded(weights, mean, deviation)`: its members as one head on raw vectors."""

    plans: Sequence[Plan]
    network: Callable[[Floats, Floats, int], Network]
    folded: Callable[[Weights, Floats, Floats], Model]

    def fit(
        self, vectors: Matrix, train: Material, validation: Material, classes: int, seed: int, advance: Callable[[int], None]
    ) -> Trained:
        """See kinds.Kind. `vectors` [N, D]: all of the training rows."""
        mean, deviation = moments(vectors)
        weights, best, trials = descend(self.network(mean, deviation, classes), self.plans, train, validation, seed, advance)
        return Trained(self.folded(weights, mean, deviation), best.validation, best.trial.settings, trials)


@dataclass(frozen=True)
class Plan:
    """How to descend: the first learning rate, how often all rows are seen, and AdamW's decay of the weights."""

    rate: float
    epochs: int
    decay: float = 0.01

    def fitting(self, rows: int) -> Plan:
        """The same for so many rows: few are seen more often, very many less, as what counts are steps."""
        steps = -(-rows // BATCH_ROWS)
        return replace(self, epochs=max(1, min(max(self.epochs, FEWEST_STEPS // steps), MOST_STEPS // steps)))


@dataclass(frozen=True, eq=False)
class Course:
    """One descent: validation logits [V, C] after its best epoch (from 1), and how that did."""

    plan: Plan
    epoch: int
    validation: npt.NDArray[np.float32]
    trial: Trial


def descend(
    network: Network, plans: Sequence[Plan], train: Material, validation: Material, seed: int, advance: Callable[[int], None]
) -> tuple[Weights, Course, list[Trial]]:
    """Tries each plan, then trains on all rows by the best. Gives the weights, the best course, and how each plan did;
    `advance` is told of STEPS in all."""
    plans = [plan.fitting(len(train)) for plan in plans]
    planned = sum(plan.epochs for plan in plans)
    told = Portion(advance, STEPS, planned + max(plan.epochs for plan in plans))
    descent = _Descent(network, seed)
    courses = []
    for done, plan in enumerate(plans, 1):
        courses.append(_course(descent, plan, train, validation, told))
        told.reach(sum(plan.epochs for plan in plans[:done]))
    best = min(courses, key=lambda course: course.trial.cross_entropy)
    descent.begin(best.plan, joined(train, validation))
    for _ in range(best.epoch):
        descent.epoch()
        told()
    told.finish()
    return descent.weights(), best, [course.trial for course in courses]


def _course(descent: _Descent, plan: Plan, train: Material, validation: Material, told: Callable[[], None]) -> Course:
    """Until the planned epochs are over, or validation has not improved for some."""
    descent.begin(plan, train)
    best: Course | None = None
    for epoch in range(1, plan.epochs + 1):
        descent.epoch()
        told()
        logits = descent.read(validation)
        new = objective.trial({"rate": plan.rate, "epochs": epoch}, logits, validation)
        if best is None or new.cross_entropy < best.trial.cross_entropy:
            best = Course(plan, epoch, logits, new)
        elif epoch - best.epoch >= max(2, PATIENCE * plan.epochs):
            break
    assert best is not None
    return best


def token_inputs(rows: Material, some: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.float32]]:
    """What networks on tokens read."""
    tokens, mask = token_vectors(rows).padded(some)
    return {"tokens": tokens, "mask": mask}


def vector_inputs(rows: Material, some: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.float32]]:
    """What networks on sentence vectors read."""
    return {"embedding": np.asarray(vector_matrix(rows)[some], np.float32)}


def dropout(x: Any, rate: float, noise: Any) -> Any:
    """As it is without `noise`."""
    return x if noise is None else tensorflow().nn.experimental.stateless_dropout(x, rate, seed=noise)


class _Descent:
    """A network's weights on their way; `begin` puts them back to where `seed` draws them."""

    def __init__(self, network: Network, seed: int) -> None:
        tf = tensorflow()
        self._network, self._seed = network, seed
        self._variables = {name: tf.Variable(array) for name, array in network.initial(np.random.default_rng(seed)).items()}
        self._moments = {name: (_zeros_like(it), _zeros_like(it)) for name, it in self._variables.items()}
        self._step = tf.function(self._one_step, reduce_retracing=True, autograph=False)
        self._read = tf.function(self._mean_logits, reduce_retracing=True, autograph=False)

    def begin(self, plan: Plan, rows: Material) -> None:
        self._plan, self._rows, self._steps_done = plan, rows, 0
        self._generator = np.random.default_rng(self._seed)
        for name, array in self._network.initial(self._generator).items():
            self._variables[name].assign(array)
            for moment in self._moments[name]:
                moment.assign(np.zeros_like(array))

    def epoch(self) -> None:
        batches = list(_batches(self._rows, BATCH_ROWS, self._generator))
        planned = len(batches) * self._plan.epochs
        for rows in batches:
            rate = self._plan.rate * (1 - self._steps_done / planned)
            self._steps_done += 1
            self._step(
                self._tensors(self._rows, rows),
                tensorflow().constant(self._rows.targets[rows]),
                tensorflow().constant(self._rows.weights[rows]),
                tensorflow().constant(rate, "float32"),
                tensorflow().constant([self._seed, self._steps_done], "int32"),
            )

    def read(self, rows: Material) -> npt.NDArray[np.float32]:
        """Mean logits of the members [N, C]."""
        order = np.argsort(_lengths(rows), kind="stable")
        parts = [order[start : start + READING_ROWS] for start in range(0, len(order), READING_ROWS)]
        found = np.concatenate([self._read(self._tensors(rows, part)).numpy() for part in parts])
        logits = np.empty_like(found)
        logits[order] = found
        return logits

    def weights(self) -> Weights:
        return {name: variable.numpy() for name, variable in self._variables.items()}

    def _tensors(self, rows: Material, some: npt.NDArray[np.integer]) -> dict[str, Any]:
        return {name: tensorflow().constant(array) for name, array in self._network.inputs(rows, some).items()}

    def _mean_logits(self, inputs: Mapping[str, Any]) -> Any:
        return tensorflow().reduce_mean(self._network.logits(self._variables, inputs, None), 1)

    def _one_step(self, inputs: Mapping[str, Any], targets: Any, weights: Any, rate: Any, noise: Any) -> None:
        tf = tensorflow()
        with tf.GradientTape() as tape:
            loss = _loss(self._network.logits(self._variables, inputs, noise), targets, weights)
        names = list(self._variables)
        slopes = tape.gradient(loss, [self._variables[name] for name in names])
        fade_mean, fade_square, smallest = ADAM
        step = tf.cast(noise[1], tf.float32)
        for name, slope in zip(names, slopes, strict=True):
            variable, (mean, square) = self._variables[name], self._moments[name]
            mean.assign(fade_mean * mean + (1 - fade_mean) * slope)
            square.assign(fade_square * square + (1 - fade_square) * slope * slope)
            size = tf.sqrt(square / (1 - fade_square**step)) + smallest
            variable.assign_sub(rate * (mean / (1 - fade_mean**step) / size + self._plan.decay * variable))


def _zeros_like(variable: Any) -> Any:
    return tensorflow().Variable(tensorflow().zeros_like(variable))


def _loss(logits: Any, targets: Any, weights: Any) -> Any:
    """Of a batch: the mean over rows, summed over members. logits [B, S, C], weights [B]."""
    tf = tensorflow()
    if targets.shape.rank == 2:
        truth = tf.broadcast_to(targets[:, tf.newaxis], tf.shape(logits))
        losses = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(truth, logits), 2)  # [B, S]
    else:
        truth = tf.broadcast_to(targets[:, tf.newaxis], tf.shape(logits)[:2])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
    return tf.reduce_sum(losses * weights[:, tf.newaxis]) / tf.cast(tf.shape(logits)[0], tf.float32)


def _batches(rows: Material, size: int, generator: np.random.Generator) -> Iterator[npt.NDArray[np.integer]]:
    """Each row once: those of about one length together, in any order."""
    order = np.argsort(_lengths(rows) + generator.random(len(rows)) * LENGTH_JITTER, kind="stable")
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    for place in generator.permutation(len(parts)):
        yield parts[place]


def _lengths(rows: Material) -> npt.NDArray[np.int64]:
    return rows.tokens.lengths if rows.tokens is not None else np.zeros(len(rows), np.int64)
