"""How `make peers` orders, counts and compares what it measured."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from rich.console import Console
from services import until

from deploy.development.pip_progress import SetupFailed
from deploy.services import Service
from loadtest.peers import picture, report
from loadtest.peers.callers import PLAIN
from loadtest.peers.contenders import ALL, Contender
from loadtest.peers.measure import BATCH_TEXTS, PHASES, Amount, Turn, batches, texts_of_round
from loadtest.peers.running import Running, all_running, awake, rehearse, rest, wake

AMOUNT = Amount(rounds=3, texts=2, settle_s=0.0, window_s=1.0, batches=2)


def contender(name: str, *argv: str) -> Contender:
    return Contender(name, f"title of {name}", Service(name, argv, (), ()), "127.0.0.1:1", PLAIN)


def turns(ms: list[float]) -> dict[str, list[Turn]]:
    """Three rounds in which a request takes so many milliseconds in every part."""
    return {part: [Turn(2.0, int(2000 / each), [each] * 3, 0.1, 3.0) for each in ms] for part in PHASES}


def document() -> dict[str, Any]:
    names = {"plain": [20.0, 40.0, 20.0], "twohop-bf16": [4.0, 5.0, 5.0], "twohop-f32": [10.0, 10.0, 10.0]}
    running = {name: Running(contender(name), 1, 2.0) for name in names}
    exact = np.eye(2, dtype=np.float32)
    vectors = {"plain": exact, "twohop-f32": exact, "twohop-bf16": np.float32([[1, 0], [0.6, 0.8]])}
    found = report.summary(running, dict.fromkeys(names, 100.4), {name: turns(ms) for name, ms in names.items()}, vectors)
    return {
        "date": "2026-11-24T10:00:00+00:00", "machine": {"cpu": "a processor", "cores": 2},
        "workload": {"file": "x.txt", "texts": 4}, "amount": {"rounds": 3}, "absent": {"infinity-f32": "no disk\nis left"},
        **found,
    }


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Rounds give 5, 8 and 4: the ratio of the medians would be 4."""
    [first, *_] = document()["ratios"]
    assert first == {"ours": "twohop-bf16", "peer": "plain", "what": "one at a time", "ratio": 5.0, "target": 4, "met": True}


def test_only_those_that_were_measured_are_compared() -> None:
    assert {each["peer"] for each in document()["ratios"]} == {"plain"}


def test_every_target_is_between_two_contenders_that_exist() -> None:
    assert {name for pair in (*report.TARGETS, report.MORE_EXACT) for name in pair} <= set(ALL)


def test_accuracy_is_the_smallest_cosine_to_our_float32() -> None:
    found = document()["contenders"]
    assert found["twohop-bf16"]["cosine_to_f32"] == {"smallest": 0.8, "mean": 0.9}
    assert found["plain"]["cosine_to_f32"]["smallest"] == 1.0


def test_distances_to_float32_are_compared_not_cosines() -> None:
    cosines = {"twohop-int8": {"cosine_to_f32": {"smallest": 0.999}}, "infinity-int8": {"cosine_to_f32": {"smallest": 0.98}}}
    [found] = report.exactness(cosines)
    assert (found["ratio"], found["met"]) == (20.0, True)
    assert report.exactness({"twohop-int8": cosines["twohop-int8"]}) == []


def test_processor_time_is_told_in_cores() -> None:
    found = document()["contenders"]["plain"]["one"]
    assert (found["generator_cores"], found["server_cores"]) == (0.05, 1.5)


def test_the_tables_name_who_is_absent_and_why_and_the_document_is_json() -> None:
    console = Console(file=io.StringIO(), width=160)
    report.show(console, document())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for expected in ("not measured: infinity-f32: no disk is left", "title of plain", "0.80000", "0.05 + 1.50", "met", "missed"):
        assert expected in text
    json.dumps(document())


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    picture.draw(document(), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_each_round_begins_elsewhere_in_the_file() -> None:
    assert [texts_of_round(["a", "b", "c"], number, AMOUNT) for number in range(3)] == [
        ["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"],
    ]


def test_batches_are_full_even_of_a_short_file() -> None:
    assert [len(each) for each in batches(["a", "b", "c"], 2)] == [BATCH_TEXTS] * 2
    assert batches(["a", "b", "c"], 2)[1][0] == "bca"[(BATCH_TEXTS - 1) % 3]


def test_who_cannot_be_had_is_absent_with_the_reason_and_the_rest_starts(tmp_path: Path) -> None:
    def unbuildable(_: Path) -> Contender:
        raise SetupFailed("no network")

    # A service without probes is ready at once, even if it is about to end: so b has one that nothing answers.
    ends = Contender("b", "b", Service("b", ("false",), (), ("http://127.0.0.1:1/",)), "", PLAIN)
    makers = {"a": unbuildable, "b": lambda _: ends, "c": lambda _: contender("c", "sleep", "60")}
    started: list[str] = []
    found, absent = rehearse(makers, tmp_path, started.append)
    assert list(found) == ["c"]
    assert started == ["a", "b", "c"]
    assert absent["a"] == "no network"
    assert "ended with exit code 1" in absent["b"]


def test_contenders_rest_until_they_are_asked_and_end_with_the_block(tmp_path: Path) -> None:
    with all_running({"c": contender("c", "sleep", "60")}, tmp_path, lambda _: None) as (running, absent):
        process = psutil.Process(running["c"].pid)
        assert absent == {}
        until(lambda: rests(process))
        with awake(process.pid):
            until(lambda: not rests(process))
        until(lambda: rests(process))
    assert not process.is_running()


def rests(process: psutil.Process) -> bool:
    """A signal takes its time: ask until it is so."""
    return bool(process.status() == psutil.STATUS_STOPPED)


@pytest.fixture
def parent() -> Iterator[psutil.Process]:
    """A process with a child."""
    argv = ["sh", "-c", "sleep 60 & echo up; wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = psutil.Process(process.pid)
        children = found.children()
        yield found
        for each in (*children, found):
            each.kill()


def test_children_rest_and_wake_too(parent: psutil.Process) -> None:
    family = [parent, *parent.children()]
    assert len(family) == 2
    rest(parent.pid)
    until(lambda: all(map(rests, family)))
    wake(parent.pid)
    until(lambda: not any(map(rests, family)))


def test_one_that_is_gone_neither_rests_nor_wakes() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    rest(gone.pid)
    wake(gone.pid)
