"""`make compare` without plan 1, whose environment takes minutes to make: real services, few texts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_plans_3_and_4_are_measured_on_the_same_head_and_agree(tmp_path: Path) -> None:
    flags = ["--plans", "3,4", "--texts", "12", "--results", tmp_path / "results", "--folder", tmp_path / "run"]
    argv = [sys.executable, "-m", "loadtest.compare", *flags]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=230)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = (tmp_path / "results").glob("compare-*.json")
    report = json.loads(found.read_text())
    assert found.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert report["machine"]["cpu"]
    assert report["versions"]["twohop"]
    assert report["encoder"]["fingerprint"] == "enc-70fe41bf296e"
    for plan in ("plan3", "plan4"):
        assert report["plans"][plan]["texts"] == 12
        assert report["plans"][plan]["labels_agree"] == 1.0
        assert set(report["plans"][plan]["parts"]) == {"hop 1", "hop 2"}
    assert "plan4/plan3" in report["p50_ratios"]
    assert "plan 3: two hops" in done.stdout


def test_an_unknown_plan_is_wrong_use() -> None:
    done = subprocess.run([sys.executable, "-m", "loadtest.compare", "--plans", "7"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "choose from 1, 3, 4" in done.stderr
