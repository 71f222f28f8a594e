"""Pooling against bert-as-service's formulas, written out here on padded arrays as its graph computes them."""

from __future__ import annotations

import numpy as np
import pytest

from embedding_service.model.pooling import counted_tokens, normalized, pool, pool_classifier

RANDOM = np.random.default_rng(3)


def padded_formula(pooling: str, states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """graph.py lines 87-127: states [T, D] and mask [T] with two columns of padding behind."""
    states = np.concatenate([states, RANDOM.normal(size=(2, states.shape[1])).astype(np.float32)])
    mask = np.concatenate([mask.astype(np.float32), np.zeros(2, np.float32)])
    mean = (states * mask[:, None]).sum(0) / (mask.sum() + 1e-10)
    highest = (states - (1 - mask[:, None]) * 1e30).max(0)
    if pooling == "mean-max":
        return np.concatenate([mean, highest])
    return {"mean": mean, "max": highest, "cls": states[0], "sep": states[int(mask.sum()) - 1]}[pooling]


@pytest.mark.parametrize("pooling", ["mean", "max", "mean-max", "cls", "sep"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_every_pooling_is_bert_as_services_formula(pooling: str, masked: bool, layers: int) -> None:
    states = [RANDOM.normal(size=(9, 6)).astype(np.float32) for _ in range(layers)]
    counted = counted_tokens(9, None) if masked else None
    want = padded_formula(pooling, np.concatenate(states, axis=1), np.ones(9) if counted is None else counted)
    got = pool(pooling, states, counted)
    assert got.shape == (1, len(want))
    assert np.abs(got[0] - want).max() <= 1e-6


def test_no_pooling_keeps_every_row_and_zeros_those_that_do_not_count() -> None:
    states = [RANDOM.normal(size=(5, 4)).astype(np.float32)]
    assert np.array_equal(pool("none", states), states[0])
    masked = pool("none", states, counted_tokens(5, None))
    assert not masked[[0, 4]].any()
    assert np.array_equal(masked[1:4], states[0][1:4])


def test_a_text_of_which_nothing_counts_has_the_mean_zero_and_the_maximum_far_below() -> None:
    states, counted = [np.ones((2, 3), np.float32)], counted_tokens(2, None)
    assert not pool("mean", states, counted).any()
    assert (pool("max", states, counted) == np.float32(-1e30)).all()
    assert np.isfinite(pool("sep", states, counted)).all()


def test_the_special_tokens_of_a_pair_are_the_first_the_middle_and_the_last() -> None:
    counted = counted_tokens(7, np.array([0, 0, 0, 0, 1, 1, 1], np.int32))
    assert counted.tolist() == [False, True, True, False, True, True, False]


def test_normalising_gives_length_one_and_leaves_zeros_alone() -> None:
    first, second = normalized([np.array([[3, 4], [0, 0]], np.float32), np.array([[0, 2]], np.float32)])
    assert np.allclose(first, [[0.6, 0.8], [0, 0]])
    assert np.allclose(second, [[0, 1]])


def test_what_is_normalised_beside_a_text_moves_no_bit_of_it() -> None:
    each = [RANDOM.normal(size=(1, 384)).astype(np.float32) for _ in range(70)]
    together = normalized(each)
    assert all(np.array_equal(one, *normalized([alone])) for one, alone in zip(together, each, strict=True))


def test_the_classifiers_pooling_is_tanh_of_a_dense_layer_over_the_first_token() -> None:
    states, weight, bias = (RANDOM.normal(size=shape).astype(np.float32) for shape in ((4, 3), (3, 3), (3,)))
    assert np.allclose(pool_classifier(states, weight, bias)[0], np.tanh(weight @ states[0] + bias), atol=1e-6)
