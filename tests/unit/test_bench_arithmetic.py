"""The figures of `embedding-service bench` that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from embedding_service.model.checkpoint import Architecture
from embedding_service.tools.bench.arithmetic import cosines, linear_flops_per_token, percentile, share_of_peak
from embedding_service.tools.bench.gemm import Gemm, Shape
from embedding_service.tools.bench.measure import together
from embedding_service.tools.bench.workload import Workload

MINILM = Architecture(6, 384, 12, 1536, 30522, 512, 2, "gelu", 1e-12)
BERT_BASE = Architecture(12, 768, 12, 3072, 30522, 512, 2, "gelu", 1e-12)


def item(length: int) -> tuple[int, np.ndarray, None]:
    return 0, np.ones(length, np.int32), None


def test_linear_layers_of_minilm_are_21_megaflop_a_token_and_those_of_bert_base_170() -> None:
    assert linear_flops_per_token(MINILM, 6) == 2 * 6 * (4 * 384 * 384 + 2 * 384 * 1536) == 21_233_664
    assert linear_flops_per_token(BERT_BASE, 12) == 169_869_312


def test_layers_that_are_not_computed_do_not_count() -> None:
    assert linear_flops_per_token(MINILM, 4) * 6 == linear_flops_per_token(MINILM, 6) * 4


def test_the_share_is_what_tokens_times_flops_make_of_the_peak() -> None:
    assert share_of_peak(10_000, 21_233_664, 424.67328) == pytest.approx(0.5)


def test_percentiles_lie_between_order_statistics() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([0.0, 100.0], 99) == 99.0


def test_cosines_take_a_token_encoders_rows_as_one_vector_and_zeros_agree_with_zeros_only() -> None:
    one, zero = np.array([[1, 0], [0, 1]], np.float32), np.zeros((2, 2), np.float32)
    assert cosines([one, zero, one], [2 * one, zero, zero]).tolist() == pytest.approx([1.0, 1.0, 0.0])


def test_the_best_shape_in_its_best_round_is_the_peak() -> None:
    slow, fast = Shape(1, 1, 1), Shape(2, 2, 2)
    assert fast.flops == 16
    assert Gemm({}, {slow: [1.0, 4.0, 2.0], fast: [3.0, 1.0, 5.0]}).best == (fast, 5.0)


def test_packs_hold_every_text_within_the_budget_and_are_as_many_as_were_asked_for() -> None:
    work = Workload("texts", [item(length) for length in (5, 60, 64, 10, 33)])
    packs = work.packs(512, at_least=6)
    assert len(packs) >= 6
    assert max(sum(len(ids) for _, ids, _ in pack) for pack in packs) <= 512
    tokens = sum(len(ids) for pack in packs for _, ids, _ in pack)
    assert tokens % work.tokens == 0
    assert work.mean_tokens == 172 / 5


def test_steps_run_side_by_side_and_their_rates_add_up() -> None:
    """Both threads have to be there before either goes on; each does its step at least once, however short the time."""
    one, other = together([lambda: np.array([1.0, 2.0])] * 2, 0.0)
    assert other == pytest.approx(2 * one)
    assert one > 0


def test_what_a_step_raises_ends_the_measurement() -> None:
    def broken() -> np.ndarray:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        together([broken, lambda: np.ones(1)], 0.0)
