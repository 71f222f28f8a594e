"""Threads follow what this process may really use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedding_service.model.cores import available_cores


@pytest.mark.parametrize(
    ("content", "cores"), [("max 100000", 4), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("", 4)]
)
def test_a_containers_quota_limits_the_cores(content: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    (tmp_path / "cpu.max").write_text(content)
    assert available_cores(tmp_path / "cpu.max") == cores
    assert available_cores(tmp_path / "absent") == 4
