"""How the table of what kinds of heads cost is counted and worded."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtest import head_costs
from loadtest.measure import Measurement, Samples

ROOT = Path(__file__).parents[2]


def found() -> dict[str, Any]:
    samples = {
        head_costs.PLAIN: Samples(head_costs.PLAIN, [1.0, 2.0, 1.5]),
        "attention on tokens": Samples("attention on tokens", [3.0, 3.0, 2.0]),
        "hybrid on tokens": Samples("hybrid on tokens", [2.25, 2.5, 2.0]),
    }
    sizes = {name: {"graph": 21900, "variables": 3700, "all": 25600} for name in samples}
    trained: dict[str, dict[str, Any]] = {name: {"encoder": {"name": "e"}} for name in samples}
    heads = head_costs.summary(Measurement(samples, 1.0, 0.1, {"heads": 0.2}, {"heads": 300.4}), sizes, trained)
    machine = {"cpu": "Abacus", "cores": 2}
    absent = {"mlp on minilm": "train-mlp-on-minilm failed with exit code 1. The end of its log:\nerror: no such kind"}
    return {"heads": heads, "machine": machine, "workload": {"texts": 3}, "absent": absent}


def test_each_head_is_compared_with_linear_on_the_plain_vector_by_medians() -> None:
    heads = found()["heads"]
    assert {name: each["times_plain"] for name, each in heads.items()} == {
        head_costs.PLAIN: 1.0, "attention on tokens": 2.0, "hybrid on tokens": 1.5,
    }  # fmt: skip
    assert [each["aim"] for each in heads.values()] == [None, 1.7, 1.9]


def test_the_table_has_aims_sizes_and_reasons() -> None:
    console = Console(file=io.StringIO(), width=130)
    head_costs.show(console, found())
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "3 texts in turns; Abacus, 2 cores" in said
    assert "2.00" in said
    assert "1.7" in said
    assert "21.9" in said
    assert "not measured: mlp on minilm: error: no such kind" in said


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"x" * 10)
    (tmp_path / "variables/variables.data").write_bytes(b"x" * 5)
    assert head_costs.size_bytes(tmp_path) == {"graph": 10, "variables": 5, "all": 15}


def test_an_unknown_head_is_wrong_use() -> None:
    argv = [sys.executable, "-m", "loadtest.head_costs", "--heads", "svm on minilm"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "choose from linear on minilm" in done.stderr
