"""What validation rows decide about answers: a temperature only where it helps, thresholds that keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from head_service.training import thresholds
from head_service.training.answering import WARM, Answering
from head_service.training.calibration import calibrated
from head_service.training.figures import validated
from head_service.training.metrics import calibration_error


def drawn(rows: int, seed: int, *, classes: int = 2, sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that mean what they say, and classes drawn by them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * sharpness
    likely = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return logits.astype(np.float32), (likely.cumsum(1) > generator.random((rows, 1))).argmax(1)


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_scores_that_say_too_much_or_too_little_get_a_temperature(factor: float) -> None:
    logits, truth = drawn(1000, seed=0, classes=5)
    found = calibrated(logits * factor, truth)
    assert found.fitted == pytest.approx(factor, rel=0.15)
    assert found.temperature == pytest.approx(factor, rel=0.15)
    assert found.gain > found.gain_needed
    scores = Answering(found.temperature).scores(logits * factor)
    assert scores.max(1).mean() == pytest.approx((scores.argmax(1) == truth).mean(), abs=1e-3)


def test_a_few_rows_that_are_surely_wrong_do_not_make_all_others_unsure() -> None:
    logits, truth = drawn(900, seed=1)
    truth[:9] = logits[:9].argmin(1)
    logits[:9] *= 4
    found = calibrated(logits, truth)
    assert found.fitted > 1.1
    assert 1 <= found.temperature < found.fitted - 0.05
    scores = Answering(found.temperature).scores(logits).max(1)
    assert scores.mean() == pytest.approx((logits.argmax(1) == truth).mean(), abs=1e-3)


def test_a_head_that_errs_on_no_row_is_not_said_to_be_never_wrong() -> None:
    logits = np.full((100, 2), 0.0)
    logits[:, 0] = 1.0
    found = calibrated(logits, np.zeros(100, int))
    assert Answering(found.temperature).scores(logits).max(1).mean() == pytest.approx(100.5 / 101, abs=1e-3)


def test_scores_that_mean_what_they_say_keep_them() -> None:
    kept = [calibrated(*drawn(500, seed)).temperature for seed in range(40)]
    assert sum(value == 1 for value in kept) >= 28  # chance alone: 34 of 40


def test_several_labels_are_calibrated_by_each_yes_and_no() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(500, 4)) * 2
    truth = (generator.random((500, 4)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert calibrated(logits * 2, truth).temperature == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("sharpness", [2.0, 4.0])
def test_a_stated_precision_holds_on_new_rows(sharpness: float) -> None:
    fresh, truth = drawn(50_000, seed=999, sharpness=sharpness)
    reached, coverages = [], []
    for seed in range(40):
        found = validated(*drawn(700, seed, sharpness=sharpness), ["a", "b"], 0.95)
        answers = found.answering.answers(found.answering.scores(fresh))
        reached.append((answers == truth)[answers >= 0].mean())
        coverages.append((answers >= 0).mean())
    assert np.mean(np.array(reached) >= 0.95) >= 0.9
    assert min(coverages) > 0.05
    assert np.mean(coverages) > 0.2


def test_labels_with_many_rows_have_thresholds_of_their_own() -> None:
    generator = np.random.default_rng(1)
    truth = generator.choice(4, 2000, p=[0.45, 0.45, 0.05, 0.05])
    scores = np.full((2000, 4), 0.05, np.float32)
    scores[np.arange(2000), truth] = generator.uniform(0.5, 0.85, 2000)
    wrong = (truth == 1) & (generator.random(2000) < 0.3)
    scores[wrong] = scores[wrong][:, [1, 0, 2, 3]]  # what is truly 1 is often taken for 0
    found = thresholds.for_precision(scores, truth, 0.9, ["a", "b", "rare", "rarer"])
    assert found.values[0] > found.values[1]
    assert found.values[2] == found.values[3]
    assert found.precision >= 0.9


def test_what_no_threshold_reaches_is_never_answered() -> None:
    generator = np.random.default_rng(2)
    scores = generator.dirichlet([1, 1], 600).astype(np.float32)
    found = thresholds.for_precision(scores, generator.integers(0, 2, 600), 0.95, ["a", "b"])
    assert (found.silent, found.coverage, found.values.tolist()) == (["a", "b"], 0.0, [thresholds.NEVER] * 2)


def test_a_few_rows_all_right_do_not_prove_much() -> None:
    assert thresholds.lowest(np.full(15, 0.99), np.ones(15, bool), 0.95) == thresholds.NEVER
    assert thresholds.lowest(np.full(500, 0.99), np.ones(500, bool), 0.95) == 0.0
    assert thresholds.lowest(np.array([]), np.array([], bool), 0.5) == thresholds.NEVER


def test_rows_of_one_score_are_answered_together() -> None:
    scores = np.repeat([0.9, 0.6], 300)
    hits = np.concatenate([np.ones(300, bool), np.arange(300) % 2 == 0])
    assert thresholds.lowest(scores, hits, 0.9) == pytest.approx(0.75)


def test_several_labels_each_need_their_threshold() -> None:
    generator = np.random.default_rng(3)
    scores = generator.random((3000, 2)).astype(np.float32)
    truth = (generator.random((3000, 2)) < scores).astype(np.float32)
    found = thresholds.for_precision(scores, truth, 0.9, ["x", "y"])
    assert np.all((found.values > 0.75) & (found.values < 0.95))  # of all above 0.8, nine in ten are right
    assert found.precision == pytest.approx(0.92, abs=0.03)
    assert found.document(["x", "y"]).keys() == {"x", "y"}


def test_figures_of_several_labels_count_a_row_only_where_all_are_right() -> None:
    logits = np.array([[9, 9], [9, -9], [-9, -9], [9, -9]], np.float32)
    truth = np.array([[1, 1], [1, 1], [0, 0], [1, 0]], np.float32)
    figures = validated(logits, truth, ["x", "y"], None).metrics
    assert figures["accuracy"] == 0.75
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert figures.keys() == {"accuracy", "macro_f1", "cross_entropy", "calibration_error"}


@pytest.mark.parametrize("factor", [0.3, 1.0])
def test_scores_of_many_labels_fall_for_texts_that_no_label_likes(factor: float) -> None:
    """Calibration and order stay; texts out of scope, whose logits are all low, score below others as they do when warm."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2000, 20))
    logits[np.arange(2000), generator.integers(0, 20, 2000)] += generator.uniform(2, 12, 2000)
    likely = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (likely.cumsum(1) > generator.random((2000, 1))).argmax(1)
    logits *= factor
    answering = validated(logits, truth, [str(number) for number in range(20)], None).answering
    assert answering.sharpness is not None
    plain = Answering(answering.temperature)
    scores, before = answering.scores(logits), plain.scores(logits)
    assert scores.max(1).mean() == pytest.approx(before.max(1).mean(), abs=1e-3)
    assert calibration_error(scores.max(1), scores.argmax(1) == truth) < 0.03
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(scores.argmax(1), logits.argmax(1))
    warm = Answering(WARM).scores(logits).max(1)
    assert np.all(np.diff(scores.max(1)[np.argsort(warm)]) >= 0)


def test_a_sharpness_that_costs_calibration_is_left_out() -> None:
    logits, truth = drawn(2000, seed=0, classes=20, sharpness=5.0)  # several labels likely in most rows
    assert calibrated(logits, truth).sharpness is None


def test_two_labels_and_several_true_ones_need_no_sharpness() -> None:
    assert calibrated(*drawn(500, 0)).sharpness is None
    assert calibrated(np.zeros((50, 3)), np.zeros((50, 3), np.float32)).sharpness is None
