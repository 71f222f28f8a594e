"""Drift is told where live texts differ, and not where only chance does; what it says follows from what was found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from head_service.drift import signals
from head_service.drift.signals import Signal
from head_service.drift.verdict import verdict
from head_service.training.profile import Profile, profile

LABELS = ["a", "b", "c"]
DIMENSION = 40


def rows(count: int, seed: int, *, shift: float = 0.0, shares: tuple[float, ...] = (0.5, 0.3, 0.2), sharp: float = 6.0) -> tuple[
    npt.NDArray[np.float32], npt.NDArray[np.float32]
]:
    """Vectors and scores of texts that belong to one of three labels."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, count, p=shares)
    vectors = generator.normal(size=(count, DIMENSION)) * np.linspace(1.5, 0.2, DIMENSION) + shift
    vectors[:, 1] += labels
    weights = generator.dirichlet(np.ones(3), count) + sharp * generator.random((count, 1)) * np.eye(3)[labels]
    return vectors.astype(np.float32), (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def kept() -> Profile:
    return profile(rows(4000, 1)[0], *rows(500, 2), LABELS)


def levels(kept: Profile, live: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]) -> dict[str, str]:
    return {signal.name: signal.level for signal in signals.signals(kept, *live)}


@pytest.mark.parametrize("count", [20, 100, 1000, 10000])
def test_texts_of_the_same_distribution_are_no_drift_however_many(kept: Profile, count: int) -> None:
    for seed in range(10, 40):
        assert set(levels(kept, rows(count, seed)).values()) == {"none"}


@pytest.mark.parametrize("count", [50, 1000])
def test_texts_that_lie_elsewhere_are_drift_of_vectors_and_distance(kept: Profile, count: int) -> None:
    found = levels(kept, rows(count, 3, shift=1.0))
    assert (found["vectors"], found["distance"]) == ("much", "much")
    assert (found["labels"], found["confidence"]) == ("none", "none")


def test_other_shares_of_labels_are_drift_of_labels(kept: Profile) -> None:
    assert levels(kept, rows(1000, 3, shares=(0.2, 0.3, 0.5)))["labels"] == "much"
    assert levels(kept, rows(1000, 3, shares=(0.38, 0.38, 0.24)))["labels"] == "some"
    assert levels(kept, rows(40, 3, shares=(0.45, 0.33, 0.22)))["labels"] == "none"


def test_less_sure_answers_are_drift_of_confidence(kept: Profile) -> None:
    found = levels(kept, rows(1000, 3, sharp=1.0))
    assert (found["confidence"], found["vectors"]) == ("much", "none")


def test_many_rare_labels_are_no_drift_by_chance_and_drift_where_some_come_often_now() -> None:
    generator = np.random.default_rng(0)
    names = [str(number) for number in range(150)]
    for _ in range(20):
        before, now = (np.bincount(generator.integers(0, 150, count), minlength=150) for count in (300, 200))
        assert signals.label_shares(names, before, now).level == "none"
    often = now + np.bincount(generator.integers(0, 5, 120), minlength=150)
    assert signals.label_shares(names, before, often).level == "much"


def test_a_label_that_never_came_before_is_seen() -> None:
    found = signals.label_shares(LABELS, np.array([400, 100, 0]), np.array([300, 100, 100]))
    assert found.level == "much"
    assert "c 20.0% (was 0.0%)" in found.words


@pytest.mark.parametrize("counts", [([5, 0, 0], [7, 0, 0]), ([0, 0, 0], [3, 1, 1]), ([1, 0, 0], [0, 1, 0])])
def test_shares_of_next_to_nothing_are_no_drift(counts: tuple[list[int], list[int]]) -> None:
    assert signals.label_shares(LABELS, *map(np.array, counts)).level == "none"


def test_a_size_counts_only_where_it_is_no_chance_and_a_chance_only_where_it_matters() -> None:
    def level(size: float, p_value: float) -> str:
        return Signal("labels", "PSI", size, 0.05, 0.25, p_value, "").level

    assert [level(0.04, 1e-9), level(0.3, 0.01), level(0.05, 1e-4), level(0.25, 1e-4)] == ["none", "none", "some", "much"]


def signal(name: str, size: float) -> Signal:
    return Signal(name, "KS", size, 0.1, 0.3, 0.0, "")


def test_much_of_anything_says_retrain_and_names_what_explains_most_first() -> None:
    found = verdict([signal("labels", 0.4), signal("vectors", 0.5), signal("confidence", 0.2)], 1000)
    assert (found.drift, found.retrain) == (True, True)
    assert found.words.startswith("Retrain: the texts are of another kind than those it was trained on, and labels come in quite")
    assert "Also, the head's scores have shifted." in found.words
    assert "label some hundred of these texts" in found.words


def test_some_of_anything_says_watch_and_nothing_says_so() -> None:
    some = verdict([signal("labels", 0.2)], 1000)
    assert (some.drift, some.retrain, some.words.split(":")[0]) == (True, False, "Watch")
    none = verdict([signal("labels", 0.0)], 1000)
    assert (none.drift, none.retrain, none.words) == (False, False, "No drift: there is no need to retrain.")
    assert "only a large change would show" in verdict([signal("labels", 0.0)], 50).words
