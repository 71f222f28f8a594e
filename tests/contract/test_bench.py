"""`embedding-service bench`, as people and programs run it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from services import PROGRAM

from embedding_service.tools.bench.table import table

CONTRACT = {"engine", "precision", "one_p50_ms", "texts_per_s", "tokens_per_s", "gemm_peak_gflops", "share_of_peak",
            "padding_waste", "min_cosine_to_f32"}
QUICK = ("--rounds", "1", "--seconds", "0.05", "--threads", "1", "--engine", "openvino")


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "bench", *flags], capture_output=True, text=True, timeout=120, check=False)


def test_the_document_has_the_contracts_keys_and_its_share_can_be_checked_by_hand(tmp_path: Path) -> None:
    picture = tmp_path / "bench.png"
    done = bench(*QUICK, "--precision", "f32", "--plot", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["encoder"], report["fingerprint"]) == ("minilm", "enc-70fe41bf296e")
    assert isinstance(report["machine"], str)
    [run] = report["runs"]
    assert run.keys() >= CONTRACT
    assert (run["engine"], run["precision"], run["streams"]) == ("openvino", "f32", 1)
    by_hand = run["tokens_per_s"] * report["linear_flops_per_token"] / (run["gemm_peak_gflops"] * 1e9)
    assert run["share_of_peak"] == pytest.approx(by_hand, abs=0.002)
    assert run["min_cosine_to_f32"] == pytest.approx(1.0, abs=1e-6)
    assert 0 <= run["padding_waste"] < 0.5
    assert "round 1 of 1: openvino-f32" in done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_random_weights_run_at_fixed_lengths_and_claim_no_accuracy() -> None:
    done = bench(*QUICK, "--precision", "f32", "--random", "minilm", "--tokens", "16,64", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [run["tokens"] for run in report["runs"]] == [16, 64]
    assert {run["min_cosine_to_f32"] for run in report["runs"]} == {None}
    assert (report["random_weights"], report["linear_flops_per_token"]) == ("minilm", 21_233_664)
    lines = table(report).splitlines()
    assert "speed only" in lines[0]
    assert sum(line.startswith("openvino-f32 ") for line in lines) == 2
    assert any("21.23 MFLOP a token" in line for line in lines)


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--file", "/nowhere/texts.txt"], 2, "/nowhere/texts.txt"),
        (["--file", "EMPTY"], 1, "holds no text"),
        (["--file", "BINARY"], 1, "cannot read texts"),
        (["--precision", "f8"], 2, "unknown precision 'f8'"),
        (["--engine", "abacus"], 2, "unknown engine 'abacus'"),
        (["--tokens", "16,no"], 2, "--tokens 16,no"),
        (["--tokens", "9999"], 1, "takes 1 to 256 tokens"),
        (["--tokens", "16", "--file", "EMPTY"], 2, "leave out --file"),
        (["--random", "minilm", "--model", "minilm"], 2, "leave out --model"),
        (["--plot", "/nowhere/at/all.png"], 1, "there is no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    flags: list[str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "EMPTY").write_text("\n \n")
    (tmp_path / "BINARY").write_bytes(b"\xff\xfe")
    named = [str(tmp_path / flag) if flag in ("EMPTY", "BINARY") else flag for flag in flags]
    done = bench(*named, "--json")
    assert (done.returncode, done.stdout) == (code, "")
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert said in error["message"]
