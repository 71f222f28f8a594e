"""Figures of an evaluation, held against scikit-learn and scipy where they have them; baselines and the gate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from head_service.evaluation import baselines, calibration, gate, learning_curve, mistakes, selective, words
from head_service.evaluation.answers import Answers
from head_service.evaluation.intervals import Paired, mcnemar, paired, wilson
from head_service.evaluation.judgement import Judgement, judge
from head_service.training import metrics
from twohop.errors import InvalidInput

ENCODER = "enc-0123456789ab"


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def answers(predicted: list[str | None], scores: list[list[float]], labels: tuple[str, ...] = ("a", "b")) -> Answers:
    table = np.array(scores, np.float32)
    return Answers(1, ENCODER, list(labels), predicted, table.max(1).astype(np.float64), table)


@pytest.fixture
def judged() -> Judgement:
    """Right, abstained, right, wrong and sure of it, and one whose label the head does not know."""
    given = answers(["a", None, "b", "a", "a"], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.95, 0.05], [0.7, 0.3]])
    return judge([("a",), ("a",), ("b",), ("b",), ("strange",)], given)


@pytest.mark.parametrize("count", [2, 7])
def test_figures_agree_with_scikit_learn(generator: np.random.Generator, count: int) -> None:
    truth, predicted = generator.integers(0, count, (2, 200))
    probabilities = generator.dirichlet(np.ones(count), 200)
    assert metrics.accuracy(truth, predicted) == accuracy_score(truth, predicted)
    assert metrics.macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert metrics.cross_entropy(truth, probabilities) == pytest.approx(log_loss(truth, probabilities, labels=range(count)))
    labels = tuple(f"label {at}" for at in range(count))
    given = answers([labels[at] for at in predicted], probabilities.tolist(), labels)
    whole = judge([(labels[at],) for at in truth], given)
    assert whole.accuracy == metrics.accuracy(truth, predicted)
    assert whole.macro_f1 == pytest.approx(metrics.macro_f1(truth, predicted))
    assert whole.counts().tolist() == confusion_matrix(truth, predicted).tolist()


def test_an_area_under_the_curve_is_scikit_learns(generator: np.random.Generator) -> None:
    high, low = generator.integers(0, 9, (2, 50)) + np.array([[2], [0]])
    assert metrics.auroc(high, low) == pytest.approx(roc_auc_score([1] * 50 + [0] * 50, [*high, *low]))


def test_calibration_error_is_the_gap_between_score_and_accuracy() -> None:
    scores = np.array([0.9] * 10 + [0.6] * 10)
    assert metrics.calibration_error(scores, np.array([True] * 9 + [False] + [True] * 6 + [False] * 4)) == pytest.approx(0)
    assert metrics.calibration_error(scores, np.array([False] * 20)) == pytest.approx(0.75)
    assert metrics.calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert metrics.calibration_error(np.array([]), np.array([], bool)) == 0


def test_exact_scores_show_about_the_calibration_error_that_chance_is_said_to_give(generator: np.random.Generator) -> None:
    scores = generator.uniform(0.5, 1, 2000)
    right = generator.random(2000) < scores
    given = answers(["a"] * 2000, np.stack([scores, 1 - scores], 1).tolist())
    exact = calibration.calibration(judge([("a" if hit else "b",) for hit in right], given))
    assert 0.005 < exact.by_chance[0] < exact.by_chance[1] < 0.05
    assert exact.error < 2 * exact.by_chance[0]
    assert "taken at their word" in words.calibrated(exact)
    sure = calibration.calibration(judge([("b",)] * 2000, given))
    assert "too sure" in words.calibrated(sure)


@pytest.mark.parametrize(("successes", "rows"), [(0, 10), (7, 10), (1488, 1821), (500, 500)])
def test_an_accuracys_interval_is_wilsons(successes: int, rows: int) -> None:
    known = binomtest(successes, rows).proportion_ci(method="wilson")
    assert wilson(successes, rows) == pytest.approx((known.low, known.high), abs=1e-6)
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (0, 5), (0, 6), (9, 1), (30, 41), (4000, 4200)])
def test_the_paired_test_is_the_exact_binomial_one(gained: int, lost: int) -> None:
    known = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(known, rel=1e-6)


def test_two_versions_are_told_apart_only_where_chance_does_not_explain_it() -> None:
    hits, others = np.array([True] * 20 + [False] * 80), np.array([True] * 12 + [False] * 88)
    better = paired(hits, others)
    assert (better.gained, better.lost, better.difference, better.verdict) == (8, 0, 0.08, "better")
    assert paired(others, hits).verdict == "worse"
    assert Paired(100, 5, 8).verdict == "no difference seen"
    low, high = better.interval
    assert 0 < low < 0.08 < high
    assert Paired(100, 0, 6).smallest_loss_seen == 0.06
    assert np.isnan(Paired(100, 0, 5).smallest_loss_seen)
    assert "too few" in words.blind_spot(Paired(100, 2, 3))
    assert "very same rows" in words.compared(Paired(100, 0, 0), "it")


def test_abstained_rows_and_unknown_labels_count_as_wrong(judged: Judgement) -> None:
    assert (judged.accuracy, judged.coverage, judged.precision) == (0.4, 0.8, 0.5)
    assert judged.labels == ["a", "b", "strange"]
    assert judged.counts().tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert [(pair.true, pair.given, pair.count) for pair in judged.confusions()] == [("b", "a", 1), ("strange", "a", 1)]
    by_label = {each.label: each for each in judged.per_label()}
    assert (by_label["a"].precision, by_label["a"].recall, by_label["strange"].precision) == (1 / 3, 0.5, None)


def test_several_labels_a_text_are_right_only_all_together() -> None:
    given = answers(["a", None, "b"], [[0.9, 0.6], [0.4, 0.2], [0.1, 0.8]])
    truth = [("a", "b"), (), ("a",)]
    judged = judge(truth, given, multi_label=True)
    assert judged.hits.tolist() == [True, True, False]
    assert judged.coverage == 1
    assert judged.counts().tolist() == [[1, 1], [0, 1]]
    assert judged.decisions()[0].shape == (6,)
    stricter = judge(truth, given, multi_label=True, thresholds={"b": 0.7})
    assert stricter.given.tolist() == [[True, False], [False, False], [False, True]]
    single = judge(truth, answers(["a", "a", "b"], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), multi_label=True)
    assert single.given.sum(1).tolist() == [1, 1, 1]


def test_answering_only_sure_rows_trades_coverage_for_precision(judged: Judgement) -> None:
    points = selective.curve(judged)
    assert [(point.score, point.coverage) for point in points] == [
        (pytest.approx(score), coverage) for score, coverage in ((0.95, 0.2), (0.9, 0.4), (0.8, 0.6), (0.7, 0.8), (0.6, 1.0))
    ]
    assert [point.precision for point in points] == pytest.approx([0, 0.5, 2 / 3, 0.5, 0.6])
    best = selective.widest(points, 0.6)
    assert best is not None
    assert best.coverage == 1.0
    assert selective.widest(points, 0.9) is None
    outside = selective.out_of_scope(judged)
    assert outside is not None
    assert (outside.rows, outside.abstained, outside.auroc) == (1, 0, 0.75)


def test_the_surest_mistakes_come_first_with_their_texts(judged: Judgement) -> None:
    worst = mistakes.worst(judged, ["one", "two", "three", "four", "five"])
    told = [(each.row, each.text, each.label, each.given) for each in worst]
    assert told == [(4, "four", "b", "a"), (5, "five", "strange", "a")]
    assert (worst[0].label_score, worst[0].given_score) == (pytest.approx(0.05), pytest.approx(0.95))


def test_labels_that_were_made_wrong_are_suspected(generator: np.random.Generator) -> None:
    truth = np.arange(300) % 3
    vectors = (np.eye(3)[truth] * 3 + 0.6 * generator.normal(size=(300, 3))).astype(np.float32)
    told = truth.copy()
    told[:15] = (told[:15] + 1) % 3
    names = ("x", "y", "z")
    exponents = np.exp(vectors.astype(np.float64))
    scores = exponents / exponents.sum(1, keepdims=True)
    given = answers([names[at] for at in scores.argmax(1)], scores.tolist(), names)
    labels = np.array([names[at] for at in told])
    judged = judge([(label,) for label in labels], given)
    found = mistakes.suspects(judged, [f"text {row}" for row in range(300)], mistakes.Known(vectors, labels), None)
    rows = {suspect.mistake.row - 1 for suspect in found}
    assert len(rows & set(range(15))) >= 10
    assert len(rows - set(range(15))) <= 2
    assert all(suspect.neighbours == 10 and suspect.with_given > suspect.with_label for suspect in found)


def test_the_majority_baseline_answers_the_most_frequent_training_label() -> None:
    assert baselines.majority(["b", "a", "b"], 2).tolist() == ["b", "b"]
    assert baselines.majority(["b", "a"], 1).tolist() == ["a"]


def clusters(generator: np.random.Generator, rows: int, width: float = 1.0) -> tuple[np.ndarray, list[str]]:
    centres = generator.normal(size=(3, 8)) * 2
    classes = np.arange(rows) % 3
    return (centres[classes] + width * generator.normal(size=(rows, 8))).astype(np.float32), [f"label {kind}" for kind in classes]


def test_logistic_regression_is_chosen_on_validation_rows_and_fitted_on_all(generator: np.random.Generator) -> None:
    vectors, labels = clusters(generator, 90)
    fitted = baselines.logistic_regression(vectors[:60], labels[:60], range(50, 60), vectors[60:])
    assert metrics.accuracy(fitted.predicted, np.array(labels[60:])) > 0.9
    assert fitted.strength in baselines.STRENGTHS


def test_tf_idf_reads_words_and_the_characters_of_scripts_without_blanks() -> None:
    texts = ["good fun", "bad taste", "好看的电影", "难看的电影"] * 10
    labels, asked = ["yes", "no", "yes", "no"] * 10, ["fun", "taste", "好看", "难看"]
    fitted = baselines.tfidf_logistic_regression(texts, labels, range(36, 40), asked)
    assert fitted.predicted.tolist() == ["yes", "no", "yes", "no"]
    nothing = baselines.tfidf_logistic_regression(["?", "!", "?!"], ["a", "b", "b"], [2], ["…"])
    assert nothing.predicted.tolist() == ["b"]


def test_a_learning_curve_says_what_twice_the_rows_bring(generator: np.random.Generator) -> None:
    vectors, labels = clusters(generator, 2400, width=2.5)
    curve = learning_curve.curve(vectors[:800], labels[:800], 1.0, vectors[1600:], labels[1600:])
    assert curve is not None
    assert [point.rows for point in curve.points] == [50, 100, 200, 400, 800]
    assert curve.points[0].accuracy < curve.points[-1].accuracy <= curve.expected
    assert curve.likely[0] <= curve.expected <= curve.likely[1]
    assert "1,600 training rows in place of 800" in words.learned(curve)
    twice = baselines.fitted(vectors[:1600], np.array(labels[:1600]), 1.0)
    really = metrics.accuracy(twice.predict(vectors[1600:]), np.array(labels[1600:]))
    assert curve.likely[0] - 0.01 <= really <= curve.likely[1] + 0.01
    assert learning_curve.curve(vectors[:60], labels[:60], 1.0, vectors[1600:], labels[1600:]) is None


@pytest.mark.parametrize(
    ("requirement", "met"),
    [("accuracy=0.8", True), ("accuracy=0.81", False), ("macro_f1=0.5", True), ("calibration_error=0.05", True),
     ("calibration_error=0.01", False), ("coverage=0.9", True), ("precision=0.95", False)],
)  # fmt: skip
def test_a_requirement_is_a_bound_on_a_figure(requirement: str, met: bool) -> None:
    figures = {"accuracy": 0.8, "macro_f1": 0.7, "calibration_error": 0.02, "coverage": 0.9, "precision": 0.89}
    assert gate.failed([gate.parse(requirement)], figures) == ([] if met else [requirement])


@pytest.mark.parametrize("text", ["accuracy", "accuracy=", "accuracy=much", "accuracy=90", "speed=1", "accuracy=nan"])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="bad requirement"):
        gate.parse(text)
