"""Figures of an evaluation, held against scikit-learn where it has them; baselines and the gate."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from head_service.evaluation import baselines, chain, gate, metrics
from head_service.evaluation.evaluate import measure
from twohop.errors import InvalidInput


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("count", [2, 7])
def test_figures_agree_with_scikit_learn(generator: np.random.Generator, count: int) -> None:
    truth, predicted = generator.integers(0, count, (2, 200))
    probabilities = generator.dirichlet(np.ones(count), 200)
    assert metrics.accuracy(truth, predicted) == accuracy_score(truth, predicted)
    assert metrics.macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics.confusion(truth, predicted, count).tolist() == confusion_matrix(truth, predicted).tolist()
    assert metrics.cross_entropy(truth, probabilities) == pytest.approx(log_loss(truth, probabilities, labels=range(count)))


def test_calibration_error_is_the_gap_between_score_and_accuracy() -> None:
    scores = np.array([0.9] * 10 + [0.6] * 10)
    assert metrics.calibration_error(scores, np.array([True] * 9 + [False] + [True] * 6 + [False] * 4)) == pytest.approx(0)
    assert metrics.calibration_error(scores, np.array([False] * 20)) == pytest.approx(0.75)
    assert metrics.calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert metrics.calibration_error(np.array([]), np.array([], bool)) == 0


def test_abstained_rows_and_unknown_labels_count_as_wrong() -> None:
    answers = chain.Answers(1, "enc-0123456789ab", ["a", "b"], ["a", None, "b", "a"], np.array([0.9, 0.3, 0.8, 0.9]))
    figures, labels, counts = measure(["a", "a", "b", "strange"], answers)
    assert figures["accuracy"] == 0.5
    assert labels == ["a", "b", "strange"]
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_the_majority_baseline_answers_the_most_frequent_training_label() -> None:
    assert baselines.majority(["b", "a", "b"], ["a", "b", "b", "b"]) == 0.75
    assert baselines.majority(["b", "a"], ["a", "b", "b", "b"]) == 0.25


def test_logistic_regression_is_chosen_on_validation_rows_and_fitted_on_all(generator: np.random.Generator) -> None:
    centres = generator.normal(size=(3, 8)) * 2
    classes = np.arange(90) % 3
    vectors = (centres[classes] + generator.normal(size=(90, 8))).astype(np.float32)
    labels = [f"label {kind}" for kind in classes]
    accuracy = baselines.logistic_regression(vectors[:60], labels[:60], range(50, 60), vectors[60:], labels[60:])
    assert accuracy > 0.9


@pytest.mark.parametrize(
    ("requirement", "met"),
    [("accuracy=0.8", True), ("accuracy=0.81", False), ("macro_f1=0.5", True), ("calibration_error=0.05", True),
     ("calibration_error=0.01", False)],
)  # fmt: skip
def test_a_requirement_is_a_bound_on_a_figure(requirement: str, met: bool) -> None:
    figures = {"accuracy": 0.8, "macro_f1": 0.7, "calibration_error": 0.02}
    assert gate.failed([gate.parse(requirement)], figures) == ([] if met else [requirement])


@pytest.mark.parametrize("text", ["accuracy", "accuracy=", "accuracy=much", "accuracy=90", "speed=1", "accuracy=nan"])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="bad requirement"):
        gate.parse(text)
