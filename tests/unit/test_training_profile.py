"""What a version keeps of its training for drift: small, whole, and true to the vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from head_service.training import gaussian, profile
from head_service.training.heads.material import Tokens
from twohop.errors import Failed, NotFound


def vectors(rows: int, dimension: int = 24, seed: int = 0) -> npt.NDArray[np.float32]:
    """Correlated, and not around zero."""
    generator = np.random.default_rng(seed)
    turned = np.linalg.qr(np.random.default_rng(99).normal(size=(dimension, dimension)))[0]
    mixed = np.linspace(2, 0.1, dimension)[:, None] * turned
    return np.asarray(generator.normal(size=(rows, dimension)) @ mixed + 3, np.float32)


def scores(rows: int, classes: int = 3) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).dirichlet(np.ones(classes), rows).astype(np.float32)


def kept(rows: int = 500, dimension: int = 24) -> profile.Profile:
    some, others = np.random.default_rng(3).normal(size=(2, rows, dimension)).astype(np.float32)
    return profile.profile(some, others[:80], scores(80), ["a", "b", "ü"])


def test_coordinates_of_the_rows_it_was_fitted_to_have_mean_zero_and_deviation_one() -> None:
    rows = vectors(2000)
    found = gaussian.fit(rows).coordinates(rows)
    assert found.shape == (2000, 24)
    np.testing.assert_allclose(found.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(found.std(0), 1, atol=0.03)


def test_distances_are_those_of_mahalanobis_where_all_axes_are_kept() -> None:
    rows = vectors(3000)
    centred = rows - rows.mean(0)
    exact = np.sqrt((centred @ np.linalg.inv(np.cov(rows.T, bias=True)) * centred).sum(1))
    np.testing.assert_allclose(gaussian.fit(rows).distances(rows), exact, rtol=0.05)


def test_new_rows_are_as_far_as_the_old_ones_though_only_some_axes_are_kept() -> None:
    fitted = gaussian.fit(vectors(5000, 300))
    assert fitted.axes.shape == (64, 300)
    old, new = fitted.distances(vectors(5000, 300)), fitted.distances(vectors(5000, 300, seed=5))
    assert np.median(new) == pytest.approx(np.median(old), rel=0.05)


@pytest.mark.parametrize(("rows", "dimension"), [(1, 24), (9, 24), (40, 300)])
def test_few_rows_give_few_axes_and_finite_figures(rows: int, dimension: int) -> None:
    fitted = gaussian.fit(vectors(rows, dimension))
    assert len(fitted.axes) == max(1, rows // 10)
    assert np.isfinite(fitted.distances(vectors(5, dimension, seed=2))).all()


def test_rows_that_do_not_differ_at_all_give_finite_figures() -> None:
    same = np.ones((50, 8), np.float32)
    assert np.isfinite(gaussian.fit(same).distances(same)).all()


@pytest.mark.parametrize("dimension", [24, 1536])
def test_a_profile_takes_less_than_100_kb_and_comes_back_as_it_was(tmp_path: Path, dimension: int) -> None:
    before = kept(700, dimension)
    profile.write(tmp_path, before)
    assert (tmp_path / "assets.extra/training_profile.npz").stat().st_size < 100_000
    after = profile.read(tmp_path)
    assert (after.labels, after.rows, after.validation_rows, after.multi_label) == (["a", "b", "ü"], 700, 80, False)
    for name in ("label_counts", "confidences", "distances"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    probe = np.random.default_rng(4).normal(size=(10, dimension)).astype(np.float32)
    np.testing.assert_array_equal(after.vectors.distances(probe), before.vectors.distances(probe))


def test_of_many_rows_a_thousand_quantiles_stand_for_the_scores() -> None:
    many = np.linspace(0.5, 1, 5000, dtype=np.float32)
    found = profile.profile(vectors(50), vectors(5000), np.stack([many, 1 - many], 1), ["a", "b"])
    assert (found.validation_rows, len(found.confidences)) == (5000, 1000)
    assert found.confidences[500] == pytest.approx(0.75, abs=1e-3)


def test_rows_that_validate_in_folds_are_as_far_as_new_ones() -> None:
    found = profile.profile(vectors(400, 300), None, scores(400), ["a", "b", "c"])
    new = found.vectors.distances(vectors(400, 300, seed=7))
    assert np.median(found.distances) == pytest.approx(np.median(new), rel=0.05)
    assert (found.validation_rows, len(found.distances)) == (400, 400)


def test_labels_are_counted_once_a_text_or_each_that_is_likely() -> None:
    given = np.array([[0.6, 0.4, 0.0], [0.9, 0.8, 0.1]], np.float32)
    assert profile.count_labels(given, multi_label=False).tolist() == [2, 0, 0]
    assert profile.count_labels(given, multi_label=True).tolist() == [2, 1, 0]


def test_token_vectors_are_averaged_per_text() -> None:
    flat = np.array([[1, 0], [3, 0], [0, 5]], np.float16)
    assert profile.token_means(Tokens(flat, np.array([0, 2, 3]))).tolist() == [[2, 0], [0, 5]]


def test_a_version_without_a_profile_or_with_a_damaged_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no assets\.extra/training_profile\.npz.*train the head once more"):
        profile.read(tmp_path)
    profile.write(tmp_path, kept())
    path = tmp_path / "assets.extra/training_profile.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(Failed, match="damaged"):
        profile.read(tmp_path)
