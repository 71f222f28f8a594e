"""How the load test orders, counts and words what it measured."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadtest import picture, report
from loadtest.compare import spread
from loadtest.measure import WARM_UP_TEXTS, Measurement, Samples, measure, rotated
from loadtest.plans import Reply


class Echo:
    """A plan that answers with the text's first letter, and remembers what it was asked."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name = self.title = name
        self.asked = asked

    def call(self, text: str) -> Reply:
        self.asked.append(f"{self.name} {text}")
        return Reply(text[0], {"hop 1": 1.0, "hop 2": 0.5})

    def close(self) -> None: ...


def measured() -> Measurement:
    plan1 = Samples("plan 1: whole", [10.0, 12.0, 11.0, 40.0], ["a", "b", "a", "b"])
    plan3 = Samples("plan 3: two hops", [4.0, 5.0, 4.5, 6.0], ["a", "b", "a", "a"], {"hop 1": [3.0] * 4, "hop 2": [1.0] * 4})
    return Measurement({"plan1": plan1, "plan3": plan3}, 2.0, 0.5, {"embedding": 1.25}, {"embedding": 300.4})


def document() -> dict[str, Any]:
    return {
        "date": "2026-11-24T10:00:00+00:00",
        "machine": {"cpu": "a processor", "cores": 2},
        "encoder": {"name": "minilm", "numerics": "openvino-bf16"},
        "workload": {"file": "x.txt", "texts": 4},
        **report.summary(measured()),
    }


def test_every_plan_gets_every_text_and_another_one_begins_each_time() -> None:
    asked: list[str] = []
    found = measure([Echo("p", asked), Echo("q", asked)], ["one", "two"], {"self": os.getpid()})
    assert asked[-4:] == ["p one", "q one", "q two", "p two"]
    assert len(asked) == 2 * 2 + 2 * min(2, WARM_UP_TEXTS)
    assert found.samples["q"].labels == ["o", "t"]
    assert found.samples["q"].parts_ms == {"hop 1": [1.0, 1.0], "hop 2": [0.5, 0.5]}
    assert found.server_rss_mib["self"] > 1


def test_turns_go_round() -> None:
    plans = [Echo(name, []) for name in "abc"]
    turns = ["".join(plan.name for plan in rotated(plans, turn)) for turn in range(4)]
    assert turns == ["abc", "bca", "cab", "abc"]


def test_fewer_texts_are_spread_over_the_file() -> None:
    lines = ["0", "1", "", "2", "3", "4", "5"]
    assert spread(lines, 3) == ["0", "2", "4"]
    assert spread(lines, None) == spread(lines, 99) == ["0", "1", "2", "3", "4", "5"]


def test_percentiles_interpolate() -> None:
    found = report.percentiles([float(value) for value in range(101)])
    assert found == {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "mean_ms": 50.0}
    assert report.percentiles([7.0])["p99_ms"] == 7.0


def test_the_summary_says_how_plans_compare() -> None:
    found = report.summary(measured())
    assert found["p50_ratios"] == {"plan3/plan1": 0.413}
    assert found["plans"]["plan3"]["labels_agree"] == 0.75
    assert found["plans"]["plan1"]["labels_agree"] == 1.0
    assert found["load_generator_share_of_one_core"] == 0.25


def test_the_table_stands_beside_the_articles_numbers() -> None:
    console = Console(file=io.StringIO(), width=140)
    report.show(console, document())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for expected in ("V100 10.2 ms, 64-core CPU 390.0 ms", "7.3 ms", "2.8 ms", "plan3/plan1: 0.41", "75.0%", "a processor"):
        assert expected in text


@pytest.mark.filterwarnings("error")
def test_the_picture_is_a_png(tmp_path: Path) -> None:
    picture.draw(document(), measured().samples, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
