"""Threads follow what this process may really use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedding_service.model.cores import available_cores, has_matrix_units, multiplies_int8


@pytest.mark.parametrize(
    ("content", "cores"), [("max 100000", 4), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("", 4)]
)
def test_a_containers_quota_limits_the_cores(content: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    (tmp_path / "cpu.max").write_text(content)
    assert available_cores(tmp_path / "cpu.max") == cores
    assert available_cores(tmp_path / "absent") == 4


@pytest.mark.parametrize(
    ("flags", "dot_products", "matrix_units"),
    [("fpu avx2 avx512f", False, False), ("fpu avx512_vnni avx512_bf16", True, False),
     ("fpu avx_vnni avx512_bf16 amx_bf16 amx_tile", True, True), ("", False, False)],
)
def test_what_the_cores_can_do_is_read_from_the_kernels_flags(
    flags: str, dot_products: bool, matrix_units: bool, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    for file, expected in (("cpuinfo", (dot_products, matrix_units)), ("absent", (False, False))):
        assert (multiplies_int8(tmp_path / file), has_matrix_units(tmp_path / file)) == expected
