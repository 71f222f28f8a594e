"""What a head should be compared with: the most frequent label, and scikit-learn's LogisticRegression on the same vectors
and on tf-idf of words. Each gives its label for every test row."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.progress import Advance, progress
from head_service.training import metrics

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)  # scikit-learn's C, from strong penalty to weak
TFIDF_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
PATIENCE = 2
MAX_ITERATIONS = 1000

# A word, or one character of a script that puts no blanks between words; pairs of neighbours count as well.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+"

Features = Any  # [N, D]: vectors, or a sparse matrix


@dataclass(frozen=True)
class Fitted:
    """`predicted` [T]: a label for each test row. `strength`: the C that was chosen."""

    predicted: npt.NDArray[np.str_]
    strength: float


def majority(train_labels: Sequence[str], rows: int) -> npt.NDArray[np.str_]:
    """The most frequent of `train_labels` for every row (of equals the first by code point)."""
    counts = Counter(train_labels)
    return np.full(rows, min(counts, key=lambda label: (-counts[label], label)))


def logistic_regression(
    vectors: npt.NDArray[np.float32], labels: Sequence[str], validation: Sequence[int], test_vectors: npt.NDArray[np.float32]
) -> Fitted:
    """C is chosen on the `validation` rows (indices into `labels`) by accuracy, then likelihood; then it is fitted on all.
    vectors [N, D]. Stops once a larger C improves neither, twice in a row."""
    with progress("fitting logistic regression", len(STRENGTHS) + 1, unit="fits") as advance:
        return _chosen(vectors, labels, validation, test_vectors, STRENGTHS, advance)


def tfidf_logistic_regression(
    texts: Sequence[str], labels: Sequence[str], validation: Sequence[int], test_texts: Sequence[str]
) -> Fitted:
    """The same on words and pairs of words: what needs no encoder at all."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, sublinear_tf=True, min_df=1 if len(texts) < 1000 else 2)
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:  # not one word in any text: every text looks the same
        return Fitted(majority(labels, len(test_texts)), TFIDF_STRENGTHS[0])
    with progress("fitting logistic regression on tf-idf", len(TFIDF_STRENGTHS) + 1, unit="fits") as advance:
        return _chosen(features, labels, validation, vectorizer.transform(test_texts), TFIDF_STRENGTHS, advance)


def fitted(features: Features, truth: npt.NDArray[np.str_], strength: float) -> Any:
    """A LogisticRegression on all rows. Several labels needed among them."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")  # few rows of many labels: that is so
        # Each from zero: started from the fit before, it stops early, and is a weaker baseline than it can be.
        return LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(features, truth)


def _chosen(
    features: Features, labels: Sequence[str], validation: Sequence[int], test: Features, strengths: Sequence[float],
    advance: Advance,
) -> Fitted:  # fmt: skip
    truth = np.array(labels)
    held = np.zeros(len(truth), bool)
    held[list(validation)] = True
    best: tuple[tuple[float, float], float] | None = None
    tried: list[tuple[float, float]] = []
    worse = 0
    for strength in strengths:
        model = fitted(features[~held], truth[~held], strength)
        figures = _figures(model, features[held], truth[held])
        improved = any(figures[at] > max((old[at] for old in tried), default=-np.inf) for at in (0, 1))
        worse = 0 if improved else worse + 1
        tried.append(figures)
        if best is None or figures > best[0]:
            best = figures, strength
        advance(1)
        if worse == PATIENCE:
            break
    assert best is not None
    predicted = fitted(features, truth, best[1]).predict(test)
    advance(len(strengths) - len(tried) + 1)
    return Fitted(predicted, best[1])


def _figures(model: Any, features: Features, truth: npt.NDArray[np.str_]) -> tuple[float, float]:
    """Accuracy and mean log-likelihood: more of either is better."""
    known = list(model.classes_)
    probabilities = model.predict_proba(features)
    seen = np.isin(truth, known)
    places = np.searchsorted(model.classes_, truth[seen])
    accuracy = metrics.accuracy(truth, model.classes_[probabilities.argmax(1)])
    return accuracy, -metrics.cross_entropy(places, probabilities[seen])
