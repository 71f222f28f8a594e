"""`head-service evaluate` against both services by rule: which version is asked, and what the exit code says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_services import POOLED, EmbeddingRules, HeadRules

from head_service.evaluation.contenders import Wanted, contenders
from head_service.repository import serving_config
from twohop.errors import InvalidInput, NotFound
from twohop.tensors import from_proto, to_proto
from twohop.types import TLS

PROGRAM = Path(sys.executable).parent / "head-service"


class TwoVersions(HeadRules):
    """Version 3 is stable and right about all texts of an even length; the canary, version 4, is right about half of them."""

    def reset(self) -> None:
        super().reset()
        self.heads |= {"sentiment-canary": (POOLED, 4, ("embedding",))}

    def predict(self, request: Any) -> Any:
        reply = super().predict(request)
        if request.model_spec.name == "sentiment-canary":
            words = from_proto(request.inputs["embedding"])[:, 2]
            labels = from_proto(reply.outputs["label"])
            wrong = np.array([b"odd"] * len(labels), object)
            reply.outputs["label"].CopyFrom(to_proto(np.where(words % 2 == 0, wrong, labels)))
        return reply


@pytest.fixture(scope="module")
def hop_2() -> Iterator[TwoVersions]:
    service = TwoVersions()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def run(hop_1: EmbeddingRules, hop_2: TwoVersions, tmp_path: Path) -> Any:
    """Runs the command on 40 texts, all of an even length, half of them with an even number of words."""
    texts = [f"{'a ' if row % 2 else 'ab'}{row:02}xx" for row in range(40)]
    data = tmp_path / "data.tsv"
    data.write_text("text\tlabel\n" + "".join(f"{text}\teven\n" for text in texts), "utf-8")

    def call(*arguments: object, heads: bool = True) -> subprocess.CompletedProcess[str]:
        at = ["--heads", hop_2.address] if heads else []
        fixed = ["--data", data, "--head", "sentiment", "--encoder", hop_1.address, "--vectors", tmp_path / "vectors", *at]
        argv = [str(part) for part in (PROGRAM, "evaluate", *fixed, *arguments)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    return call


def test_what_hop_2_serves_is_measured_unless_a_candidate_is_named(hop_2: TwoVersions) -> None:
    with contenders(Wanted("sentiment", None, hop_2.address, None)) as found:
        assert (found.hop_2, found.name, found.version, found.stable) == (hop_2.address, "sentiment", 3, None)
    for candidate in ("canary", "4"):
        with contenders(Wanted("sentiment", candidate, hop_2.address, None)) as found:
            assert (found.name, found.version, found.stable, found.stable_version) == ("sentiment-canary", 4, "sentiment", 3)


def test_a_version_that_cannot_be_asked_is_refused_with_the_remedy(hop_2: TwoVersions, tmp_path: Path) -> None:
    served = "sentiment is version 3, sentiment-canary is version 4"
    for candidate, says in (("5", f"{served}.*give --repository"), ("newest", "--repository")):
        with pytest.raises(InvalidInput, match=says), contenders(Wanted("sentiment", candidate, hop_2.address, None)):
            pass
    with pytest.raises(NotFound, match="'nobody' is not served"), contenders(Wanted("nobody", None, hop_2.address, None)):
        pass
    for number in (3, 5):
        (tmp_path / "sentiment" / str(number)).mkdir(parents=True)
    with pytest.raises(NotFound, match="no stable version"), contenders(Wanted("sentiment", None, None, tmp_path)):
        pass
    with pytest.raises(NotFound, match="has no version 7"), contenders(Wanted("sentiment", "7", None, tmp_path)):
        pass
    with pytest.raises(InvalidInput, match="speaks no TLS"), contenders(Wanted("sentiment", "5", None, tmp_path, tls=TLS())):
        pass


def test_the_gate_fails_where_the_stable_version_is_better_and_the_page_says_so(run: Any, tmp_path: Path) -> None:
    done = run("--candidate", "canary", "--no-worse-than", "stable", "--page", tmp_path / "page.html", "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["accuracy"], document["rows"]) == (4, 0.5, 40)
    assert document["gate"] == {"passed": False, "failed": ["no-worse-than stable"]}
    compared = document["comparison"]
    assert (compared["version"], compared["accuracy"], compared["gained"], compared["lost"]) == (3, 1.0, 0, 20)
    assert compared["verdict"] == "worse"
    assert "Gate failed" in (tmp_path / "page.html").read_text("utf-8")
    assert run("--candidate", "canary").returncode == 0


def test_the_stable_version_is_no_worse_than_itself(run: Any) -> None:
    done = run("--no-worse-than", "stable", "--require", "accuracy=1", "--require", "coverage=1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["comparison"], document["gate"]["passed"]) == (3, None, True)
    assert "nothing that it could be worse than" in done.stderr


def test_the_gate_fails_where_the_stable_version_cannot_be_asked(run: Any, tmp_path: Path) -> None:
    (tmp_path / "heads" / "sentiment" / "9").mkdir(parents=True)
    serving_config.write(tmp_path / "heads", {"sentiment": serving_config.Roles(stable=9)}, serve_root=None)
    done = run("--repository", tmp_path / "heads", "--no-worse-than", "stable", "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["comparison"], document["gate"]["failed"]) == (3, None, ["no-worse-than stable"])
    assert "hop 2 serves another repository" in done.stderr


def test_wrong_use_exits_2(run: Any, tmp_path: Path) -> None:
    for arguments, says in (
        (["--candidate", "latest"], "no version"),
        (["--require", "speed=1"], "bad requirement"),
        (["--no-worse-than", "3"], "stable"),
        (["--dev", tmp_path / "data.tsv"], "--dev goes with --train"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert says in done.stderr
    done = run(heads=False)
    assert (done.returncode, "--heads" in done.stderr, "--repository" in done.stderr) == (2, True, True)
    assert run("--page", tmp_path / "gone" / "page.html").returncode == 1
