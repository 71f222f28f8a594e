"""A regression on hashed n-grams of the text: the part of `hybrid` that sees words as they are written.

A text's logits are the sum over its n-grams of their rows in a table, divided by the square root of their number, for words
and for characters each; beside a bias. Inverse document frequencies are folded into the table. Buckets are as many as keep it
small: 4096 served 150 classes as well as 32768 did.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads import objective
from head_service.training.heads.material import Material
from head_service.training.heads.ngrams import Grams, grams
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.trained import Trial

PENALTIES = (3e-3, 1e-3, 3e-4, 1e-4, 3e-5)  # strong to weak: each starts from the one before
FEWEST_BITS, MOST_BITS = 11, 17
TABLE_BYTES = 2 << 20
MOST_ROWS = 100_000  # beyond, evenly spread ones: their n-grams are counted in memory
MAX_ITERATIONS = 80
TOLERANCE = 1e-5  # of the loss per iteration
CHUNK_TEXTS = 2048

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Choice:
    """The penalty that did best on the validation rows, the logits [V, C] that it gave, and the weights to start from."""

    trial: Trial
    validation: npt.NDArray[np.float32]
    start: Floats
    trials: list[Trial]


class Regression:
    """Of the same rows whoever asks: chosen once, trained once."""

    def __init__(self) -> None:
        self._choice: Choice | None = None
        self._trained: tuple[Floats, Floats] | None = None

    def choice(self, train: Material, validation: Material, classes: int, told: Callable[[], None]) -> Choice:
        """`told` is called after each penalty that is tried now."""
        self._choice = self._choice or _choose(train, validation, classes, told)
        return self._choice

    def trained(self, rows: Material, classes: int) -> tuple[Floats, Floats]:
        """On all rows with the penalty of the `choice`: the table [2 * 2^bits, C], words first, and the bias [C]."""
        assert self._choice is not None
        self._trained = self._trained or _train(rows, classes, self._choice)
        return self._trained


def _choose(train: Material, validation: Material, classes: int, told: Callable[[], None]) -> Choice:
    """Stops at the first penalty that does worse."""
    counted = Counted(train, bits_for(classes))
    unseen = counts(validation.texts, counted.bits)
    weights, best, trials = np.zeros((2 * 2**counted.bits + 1, classes), np.float32), None, []
    for penalty in PENALTIES:
        weights = counted.minimise(penalty, weights)
        logits = np.asarray(unseen @ (counted.rarity[:, None] * weights[:-1]) + weights[-1], np.float32)
        new = objective.trial({"ngram_penalty": penalty}, logits, validation)
        trials.append(new)
        told()
        if best is not None and new.cross_entropy > best.trial.cross_entropy:
            break
        best = Choice(new, logits, weights, trials)
    assert best is not None
    return best


def _train(rows: Material, classes: int, choice: Choice) -> tuple[Floats, Floats]:
    counted = Counted(rows, bits_for(classes))
    weights = counted.minimise(choice.trial.settings["ngram_penalty"], choice.start)
    return counted.rarity[:, None] * weights[:-1], weights[-1]


def bits_for(classes: int) -> int:
    """As many as a table of half-precision numbers of TABLE_BYTES has room for, and FEWEST_BITS at least: with many labels the
    table is larger."""
    most = TABLE_BYTES // (2 * 2 * classes)
    return int(np.clip(most.bit_length() - 1, FEWEST_BITS, MOST_BITS))


class Counted:
    """The n-grams of labelled rows, ready to be fitted for one penalty after another. rarity: float32 [2 * 2^bits], the
    inverse document frequencies that weights are for."""

    def __init__(self, rows: Material, bits: int) -> None:
        import scipy.sparse as sparse

        some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(int))
        self.bits = bits
        self._targets, self._weights = rows.targets[some], rows.weights[some]
        found = counts([rows.texts[row] for row in some], bits)
        having = np.bincount(found.indices, minlength=found.shape[1])  # texts that have it
        self.rarity = np.where(having > 0, np.log((1 + len(some)) / (1 + having)) + 1, 0).astype(np.float32)
        # Most buckets may be empty: their weights are zero, and not worth a step.
        self._used = np.flatnonzero(having)
        self._features = (found[:, self._used] @ sparse.diags(self.rarity[self._used])).tocsr()
        self._turned = self._features.T.tocsr()

    def minimise(self, penalty: float, start: Floats) -> Floats:
        """Mean cross-entropy + penalty/2 |W|^2, the bias free: weights [2 * 2^bits + 1, C], the bias last."""
        from scipy.optimize import minimize

        count, rows = len(self._targets), np.append(self._used, len(start) - 1)
        shape = (len(rows), start.shape[1])

        def loss_and_gradient(flat: Floats) -> tuple[float, Floats]:
            weights = flat.astype(np.float32).reshape(shape)
            logits = self._features @ weights[:-1] + weights[-1]
            loss, slope = objective.loss_and_slope(logits, self._targets, self._weights)
            slope /= count
            gradient = np.vstack([self._turned @ slope + penalty * weights[:-1], slope.sum(0)])
            return loss / count + penalty / 2 * float(np.vdot(weights[:-1], weights[:-1])), gradient.ravel().astype(np.float64)

        options = {"maxiter": MAX_ITERATIONS, "ftol": TOLERANCE, "gtol": 1e-5}
        found = minimize(loss_and_gradient, start[rows].ravel(), jac=True, method="L-BFGS-B", options=options).x
        weights = np.zeros(start.shape, np.float32)
        weights[rows] = found.reshape(shape)
        return weights


def counts(texts: Sequence[str], bits: int) -> Any:
    """Sparse float32 [N, 2 * 2^bits]: how often each n-gram occurs / sqrt(all of the text), of words and then of characters."""
    import scipy.sparse as sparse

    tf = tensorflow()
    read, parts = _reader(bits), []
    for start in range(0, len(texts), CHUNK_TEXTS):
        some = texts[start : start + CHUNK_TEXTS]
        parts.append(sparse.hstack([_matrix(found, len(some), bits) for found in read(tf.constant(some, tf.string))]))
    return sparse.vstack(parts, format="csr")


@functools.cache
def _reader(bits: int) -> Any:
    """`grams` of that many bits as one call of TensorFlow's."""
    tf = tensorflow()
    return tf.function(lambda text: grams(text, bits), input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def _matrix(found: Grams, texts: int, bits: int) -> Any:
    import scipy.sparse as sparse

    buckets, owner = found.buckets.numpy(), found.owner.numpy()
    number = np.bincount(owner, minlength=texts)
    scale = sparse.diags((1 / np.sqrt(np.maximum(number, 1))).astype(np.float32))
    matrix = scale @ sparse.csr_matrix((np.ones(len(owner), np.float32), (owner, buckets)), (texts, 2**bits))
    matrix.sum_duplicates()
    return matrix


def stored(table: Floats, multi_label: bool) -> npt.NDArray[np.float16]:
    """The table [2 * 2^bits, C] as the graph takes it. A softmax sees differences only: what the first class has goes off all,
    and its column with it."""
    return (table if multi_label else table[:, 1:] - table[:, :1]).astype(np.float16)


def logits(table: Any, text: Any, classes: int) -> Any:
    """table: as `stored`; text string [B] -> [B, C]"""
    tf = tensorflow()
    half = table.shape[0] // 2
    words, characters = grams(text, half.bit_length() - 1)
    total = _sums(table, words.buckets, words.owner, tf.size(text))
    total += _sums(table, characters.buckets + half, characters.owner, tf.size(text))
    return tf.pad(total, [[0, 0], [classes - table.shape[1], 0]])


def _sums(table: Any, places: Any, owner: Any, texts: Any) -> Any:
    """[B, columns]: of each text, its rows' sum / sqrt(their number); nothing of them is copied."""
    tf = tensorflow()
    sums = tf.raw_ops.SparseSegmentSqrtNWithNumSegments(data=table, indices=places, segment_ids=owner, num_segments=texts)
    return tf.cast(sums, tf.float32)
