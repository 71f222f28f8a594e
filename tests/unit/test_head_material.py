"""What heads train on and are judged by, without TensorFlow: arrays larger than memory, losses, progress, answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from head_service.training.answering import Answering
from head_service.training.heads import linear, objective
from head_service.training.heads.material import Material, Stacked, Tokens, joined, moments
from head_service.training.heads.portion import Portion


def rows(count: int, seed: int = 0, dimension: int = 6, classes: int = 3, shift: float = 1.0) -> Material:
    """Rows whose class shows in the vector, more or less; the third dimension never varies."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, count)
    vectors = generator.normal(size=(count, dimension)).astype(np.float32)
    vectors[np.arange(count), targets] += shift
    vectors[:, -1] = 7
    return Material([f"text {row}" for row in range(count)], targets, np.ones(count, np.float32), vectors)


def fitted(train: Material, validation: Material, classes: int = 3) -> linear.Trained:
    return linear.fit(train, validation, classes, seed=0, multi_label=train.multi_label, advance=lambda steps: None)


def test_two_matrices_read_as_one_by_slice_and_by_number() -> None:
    both = np.arange(40, dtype=np.float16).reshape(10, 4)
    stacked = Stacked(both[:3], both[3:])
    assert (len(stacked), stacked.shape) == (10, (10, 4))
    for index in (slice(None), slice(1, 2), slice(2, 5), slice(4, 9), slice(0, 0), np.array([9, 0, 2, 3, 3]), np.array([4])):
        np.testing.assert_array_equal(stacked[index], both[index])
        assert stacked[index].dtype == np.float16


def test_joined_tokens_are_those_of_either_also_of_a_part_of_a_larger_file() -> None:
    flat = np.arange(20, dtype=np.float16).reshape(10, 2)
    first = Material(["a", "b"], np.array([0, 1]), np.ones(2, np.float32), tokens=Tokens(flat[:3], np.array([0, 1, 3])))
    second = Material(["c"], np.array([1]), np.ones(1, np.float32), tokens=Tokens(flat[3:7], np.array([0, 4])))
    both = joined(first, second)
    assert both.tokens is not None
    tokens, mask = both.tokens.padded(np.array([2, 0]))
    np.testing.assert_array_equal(tokens[0], flat[3:7])
    np.testing.assert_array_equal(tokens[1], [flat[0], *np.zeros((3, 2))])
    np.testing.assert_array_equal(mask, [[1, 1, 1, 1], [1, 0, 0, 0]])
    assert list(both.texts) == ["a", "b", "c"]


def test_vectors_on_disk_give_the_same_head_as_vectors_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = rows(300), rows(60, 1)
    assert train.vectors is not None
    mapped = np.memmap(tmp_path / "vectors", np.float32, "w+", shape=train.vectors.shape)
    mapped[:] = train.vectors
    here = fitted(train, validation)
    monkeypatch.setattr(linear, "KEPT_BYTES", 0)
    there = fitted(Material(train.texts, train.targets, train.weights, mapped), validation)
    for name, array in here.model.weights.items():
        np.testing.assert_array_equal(there.model.weights[name], array)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_loss_has_the_slope_that_it_says(multi_label: bool) -> None:
    generator = np.random.default_rng(0)
    logits, weights = generator.normal(size=(4, 3)).astype(np.float32), np.array([1, 2, 0.5, 0], np.float32)
    targets = generator.integers(0, 2, (4, 3)).astype(np.float32) if multi_label else np.array([0, 2, 1, 1])
    _, slope = objective.loss_and_slope(logits, targets, weights)
    for row, column in np.ndindex(4, 3):
        nudge = np.zeros((4, 3))
        nudge[row, column] = 1e-3
        more, less = (objective.loss_and_slope(logits + sign * nudge, targets, weights)[0] for sign in (1, -1))
        assert slope[row, column] == pytest.approx((more - less) / 2e-3, abs=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_linear_reaches_the_optimum_that_scikit_learn_reaches(weighted: bool) -> None:
    from sklearn.linear_model import LogisticRegression

    train, validation = rows(400), rows(80, 1)
    if weighted:
        weights = np.where(train.targets == 0, 5, 1).astype(np.float32)
        train = Material(train.texts, train.targets, weights / weights.mean(), train.vectors)
    layer = linear.Problem(train, 3).minimise(0.01, linear.Layer(np.zeros((6, 3)), np.zeros(3)))
    assert train.vectors is not None
    assert validation.vectors is not None
    mean, deviation = moments(train.vectors)
    theirs = LogisticRegression(C=1 / (0.01 * 400), tol=1e-8, max_iter=1000)
    theirs.fit((train.vectors - mean) / deviation, train.targets, sample_weight=train.weights)
    expected = theirs.predict_proba((validation.vectors - mean) / deviation)
    np.testing.assert_allclose(objective.softmax(layer.logits(validation)), expected, atol=2e-3)


def test_linear_with_several_labels_is_a_regression_for_each() -> None:
    from sklearn.linear_model import LogisticRegression

    plain = rows(400, shift=1.5)
    targets = np.eye(3, dtype=np.float32)[plain.targets]
    targets[:, 2] = np.maximum(targets[:, 2], targets[:, 0])
    train = Material(plain.texts, targets, plain.weights, plain.vectors)
    assert train.vectors is not None
    layer = linear.Problem(train, 3).minimise(0.01, linear.Layer(np.zeros((6, 3)), np.zeros(3)))
    mean, deviation = moments(train.vectors)
    for label in range(3):
        theirs = LogisticRegression(C=1 / (0.01 * 400), tol=1e-8, max_iter=1000)
        theirs.fit((train.vectors - mean) / deviation, targets[:, label])
        expected = theirs.predict_proba((train.vectors - mean) / deviation)[:, 1]
        np.testing.assert_allclose(objective.sigmoid(layer.logits(train))[:, label], expected, atol=2e-3)


def test_progress_of_parts_adds_up_to_the_steps_promised() -> None:
    told: list[int] = []
    portion = Portion(told.append, steps=100, parts=7)
    for _ in range(3):
        portion()
    portion.more(2)
    assert sum(told) == 71
    portion.finish()
    portion.finish()
    assert sum(told) == 100
    assert min(told) >= 0


def test_an_answer_needs_its_threshold_and_is_the_best_that_reaches_one() -> None:
    thresholds = np.array([0.9, 0.2, 0.5], np.float32)
    scores = np.array([[0.8, 0.15, 0.05], [0.95, 0.03, 0.02], [0.3, 0.4, 0.3], [0.1, 0.21, 0.69]], np.float32)
    assert list(Answering(thresholds=thresholds).answers(scores)) == [-1, 0, 1, 2]
    assert list(Answering().answers(scores)) == [0, 0, 1, 2]
    several = Answering(thresholds=thresholds, multi_label=True)
    assert list(several.answers(np.array([[0.89, 0.3, 0.4], [0.95, 0.3, 0.4], [0.1, 0.1, 0.1]], np.float32))) == [1, 0, -1]
    assert list(Answering(multi_label=True).answers(np.array([[0.6, 0.7, 0.1], [0.4, 0.2, 0.1]], np.float32))) == [1, -1]


@pytest.mark.parametrize("thresholds", [None, [0.9, 0.123456789]])
def test_answering_comes_back_from_head_json_as_it_was(thresholds: list[float] | None) -> None:
    given = None if thresholds is None else np.array(thresholds, np.float32)
    answering = Answering(temperature=1.25, thresholds=given, multi_label=True)
    back = Answering.of(answering.document())
    assert (back.temperature, back.multi_label) == (1.25, True)
    np.testing.assert_array_equal(back.thresholds, given)
