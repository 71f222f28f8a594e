"""Weights in int8: how far off they may be, and that smoothing moves a channel's size without changing the product."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedding_service.model.cores import multiplies_int8
from embedding_service.model.quantize import group_of, quantize, smoothing

RANDOM = np.random.default_rng(11)


def matrix(rows: int, columns: int) -> np.ndarray:
    return RANDOM.normal(size=(rows, columns)).astype(np.float32)


@pytest.mark.parametrize("group", [0, 32, 96])
def test_every_weight_is_off_by_at_most_half_its_scale(group: int) -> None:
    weight = matrix(7, 192)
    found = quantize(weight, group)
    assert found.values.dtype == np.int8
    assert found.values.shape == (7, 192 // (group or 192), group or 192)
    assert np.abs(found.values).max(2).min() == 127
    off = np.abs(found.restored() - weight).reshape(found.values.shape)
    assert (off <= found.scales * 0.5001).all()


def test_smaller_groups_lose_less() -> None:
    weight = matrix(64, 192)
    off = [np.abs(quantize(weight, group).restored() - weight).mean() for group in (0, 96, 32)]
    assert off[0] > off[1] > off[2]


def test_a_group_of_zeros_stays_zeros() -> None:
    weight = matrix(3, 64)
    weight[1, :32] = 0
    assert np.array_equal(quantize(weight, 32).restored()[1, :32], np.zeros(32))


def test_the_group_divides_every_width_of_an_encoder() -> None:
    assert group_of([384, 1536]) == group_of([768, 3072]) == 96
    assert group_of([1024, 4096]) == 64
    assert group_of([16, 32]) == 0


def test_smoothing_keeps_the_product_and_an_outlier_channel_costs_less() -> None:
    weight, x = matrix(48, 64) / 8, matrix(200, 64)
    x[:, 5] *= 30
    scales = smoothing(np.abs(x).max(0), [weight])
    assert scales.dtype == np.float32
    assert scales[5] == scales.max() > 4
    want = x @ weight.T
    assert np.abs((x / scales) @ (weight * scales).T - want).max() < 1e-4

    def error(rows: np.ndarray, columns: np.ndarray) -> float:
        return float(np.abs(quantize(rows, 0).restored() @ quantize(columns, 64).restored().T - want).mean())

    assert error(x / scales, weight * scales) < error(x, weight) / 1.5


def test_channels_that_are_always_zero_or_that_nobody_reads_do_not_spoil_the_others() -> None:
    weight, largest = matrix(8, 16), np.ones(16, np.float32)
    weight[:, 3], largest[7] = 0, 0
    scales = smoothing(largest, [weight])
    assert np.isfinite(scales).all()
    assert (scales > 0).all()
    assert 0.3 < np.median(scales) < 3
    assert np.isfinite(smoothing(np.zeros(16, np.float32), [weight])).all()


@pytest.mark.parametrize(("flags", "able"), [("fpu avx512_vnni", True), ("avx_vnni sse", True), ("avx2", False)])
def test_int8_arithmetic_is_what_the_kernel_says(flags: str, able: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    assert multiplies_int8(tmp_path / "cpuinfo") is able
    assert multiplies_int8(tmp_path / "absent") is False
