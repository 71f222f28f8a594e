"""What a head should be compared with: the most frequent label, and scikit-learn's LogisticRegression on the same vectors."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.evaluation import metrics
from head_service.progress import progress

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # scikit-learn's C, from strong penalty to weak
PATIENCE = 2
MAX_ITERATIONS = 1000

Vectors = npt.NDArray[np.float32]


def majority(train_labels: Sequence[str], labels: Sequence[str]) -> float:
    """Accuracy on `labels` of always answering the most frequent of `train_labels` (of equals the first by code point)."""
    counts = Counter(train_labels)
    answer = min(counts, key=lambda label: (-counts[label], label))
    return sum(label == answer for label in labels) / len(labels)


def logistic_regression(
    vectors: Vectors, labels: Sequence[str], validation: Sequence[int], test_vectors: Vectors, test_labels: Sequence[str]
) -> float:
    """Accuracy on the test rows. C is chosen on the `validation` rows (indices into `labels`) by accuracy, then
    likelihood; then it is fitted on all. vectors [N, D]. Stops once a larger C improves neither, twice in a row."""
    truth = np.array(labels)
    held = np.zeros(len(truth), bool)
    held[list(validation)] = True
    best: tuple[tuple[float, float], float] | None = None
    tried: list[tuple[float, float]] = []
    worse = 0
    with progress("fitting logistic regression", len(STRENGTHS) + 1, unit="fits") as advance:
        for strength in STRENGTHS:
            model = _fitted(vectors[~held], truth[~held], strength)
            figures = _figures(model, vectors[held], truth[held])
            improved = any(figures[at] > max((old[at] for old in tried), default=-np.inf) for at in (0, 1))
            worse = 0 if improved else worse + 1
            tried.append(figures)
            if best is None or figures > best[0]:
                best = figures, strength
            advance(1)
            if worse == PATIENCE:
                break
        assert best is not None
        final = _fitted(vectors, truth, best[1])
        advance(len(STRENGTHS) - len(tried) + 1)
    return metrics.accuracy(np.array(test_labels), final.predict(test_vectors))


def _fitted(vectors: Vectors, truth: npt.NDArray[np.str_], strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Each from zero: started from the fit before, it stops early, and is a weaker baseline than it can be.
        return LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(vectors, truth)


def _figures(model: Any, vectors: Vectors, truth: npt.NDArray[np.str_]) -> tuple[float, float]:
    """Accuracy and mean log-likelihood: more of either is better."""
    known = list(model.classes_)
    probabilities = model.predict_proba(vectors)
    seen = np.isin(truth, known)
    places = np.searchsorted(model.classes_, truth[seen])
    accuracy = metrics.accuracy(truth, model.classes_[probabilities.argmax(1)])
    return accuracy, -metrics.cross_entropy(places, probabilities[seen])
