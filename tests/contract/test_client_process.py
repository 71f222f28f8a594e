"""`twohop` as a process of its own, against both services by rule."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from rule_services import POOLED, EmbeddingRules, HeadRules

from twohop.errors import ModelError

TWOHOP = [sys.executable, "-c", "from twohop.cli import main; main()"]


def twohop(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # An ASCII locale: what is printed is UTF-8 all the same.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWOHOP_")}
    return subprocess.run([*TWOHOP, *args], input=stdin, capture_output=True, env=environment | {"LC_ALL": "C"}, timeout=60)


def classify(hop_1: EmbeddingRules, hop_2: HeadRules, *heads: str) -> list[str]:
    named = [part for head in heads for part in ("--head", head)]
    return ["classify", "--embedding", hop_1.address, "--heads", hop_2.address, *named]


def test_classify_prints_one_document_per_text_and_head(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    done = twohop(*classify(hop_1, hop_2, "sentiment", "hybrid"), "--json", "--all-scores", "日本語", "two words")
    assert done.returncode == 0, done.stderr
    documents = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [(each["text"], each["head"]) for each in documents] == [
        ("日本語", "sentiment"), ("日本語", "hybrid"), ("two words", "sentiment"), ("two words", "hybrid"),
    ]
    assert list(documents[0]) == [
        "text", "head", "version", "label", "score", "scores", "fingerprint", "tokens", "truncated", "timings_ms",
    ]
    assert {key: documents[0][key] for key in ("version", "label", "scores", "fingerprint", "tokens")} == {
        "version": 3, "label": "odd", "scores": {"even": 0.375, "odd": 0.625}, "fingerprint": POOLED, "tokens": 3,
    }
    assert set(documents[0]["timings_ms"]) == {"embed", "head", "total"}


def test_a_large_file_goes_through_in_pieces(hop_1: EmbeddingRules, hop_2: HeadRules, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"text number {index}\n" for index in range(20_000)) + "\n\n")
    done = twohop(*classify(hop_1, hop_2, "sentiment"), "--json", "--file", str(path))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == [f"text number {i}" for i in range(20_000)]
    assert b"blank lines skipped: 2" in done.stderr


def test_people_get_a_table_and_the_milliseconds_of_each_hop(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    done = twohop(*classify(hop_1, hop_2, "sentiment", "topic"), stdin="fein ü\nab\n".encode())
    assert done.returncode == 0, done.stderr
    header, first, second = done.stdout.decode().splitlines()
    assert header.split() == ["text", "sentiment", "topic"]
    assert first.split() == ["fein", "ü", "even", "0.750", "even", "0.750"]
    assert len(first) == len(second)
    assert b"hop 1" in done.stderr
    assert b"topic" in done.stderr


def test_a_failure_after_the_first_piece_still_leaves_stdout_empty(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    done = twohop(*classify(hop_1, hop_2, "sentiment"), "--json", stdin=b"fine text\n" * 20_000 + b"\xff\n")
    assert (done.returncode, done.stdout) == (1, b"")
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (error["type"], error["detail"]["line"]) == ("InvalidInput", 20_001)


def test_a_text_that_the_service_refuses_is_named_by_its_line(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    done = twohop(*classify(hop_1, hop_2, "sentiment"), "--json", stdin=b"fine\n\npoison\n")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "standard input, line 3" in json.loads(done.stderr.splitlines()[-1])["error"]["message"]


def test_one_head_that_fails_fails_the_command(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    hop_2.faults.extend([ModelError("broken")])
    for head in ("sentiment", "nobody"):
        done = twohop(*classify(hop_1, hop_2, head), "--json", "a")
        assert (done.returncode, done.stdout) == (1, b"")


def test_embed_prints_vectors_and_for_a_token_encoder_lists_of_them(hop_1: EmbeddingRules) -> None:
    done = twohop("embed", "--embedding", hop_1.address, "--json", "ab")
    assert json.loads(done.stdout) == {
        "text": "ab", "vector": [109, 2, 1, 2], "fingerprint": POOLED, "numerics": "rule-f32", "tokens": 3, "truncated": False,
    }
    done = twohop("embed", "--embedding", f"{hop_1.address}/tokens", "--json", "ab")
    assert json.loads(done.stdout)["vector"] == [[116, 2, 1, 2]]
    assert b"4 tokens" in twohop("embed", "--embedding", hop_1.address, "a b").stdout


def test_status_exits_with_0_only_if_all_is_ready(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    both = ["status", "--json", "--embedding", hop_1.address, "--heads", hop_2.address]
    hop_1.wait_us = 2500
    done = twohop(*both, "--head", "sentiment")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["ready"]
    assert found["embedding"]["estimated_wait_ms"] == 2.5
    assert [encoder["name"] for encoder in found["embedding"]["encoders"]] == ["minilm", "rich", "tokens"]
    assert found["heads"]["heads"] == [
        {"name": "sentiment", "version": 3, "state": "AVAILABLE", "fingerprint": POOLED, "matches": True}
    ]
    assert twohop(*both).returncode == 0
    done = twohop(*both, "--head", "nobody")
    assert (done.returncode, json.loads(done.stdout)["heads"]["ready"]) == (1, False)
    del hop_1.encoders["minilm"]
    done = twohop(*both, "--head", "sentiment")
    assert (done.returncode, json.loads(done.stdout)["heads"]["heads"][0]["matches"]) == (1, False)


def test_status_blames_no_head_for_a_hop_1_that_does_not_answer(hop_2: HeadRules) -> None:
    done = twohop("status", "--json", "--embedding", "127.0.0.1:9", "--heads", hop_2.address, "--head", "sentiment")
    found = json.loads(done.stdout)
    assert (done.returncode, found["embedding"]["error"]["type"]) == (1, "Unavailable")
    assert found["heads"]["heads"] == [
        {"name": "sentiment", "version": 3, "state": "AVAILABLE", "fingerprint": POOLED, "matches": None}
    ]


def test_status_waits_for_what_becomes_ready(hop_1: EmbeddingRules) -> None:
    hop_1.ready = False
    asked = [*TWOHOP, "status", "--embedding", hop_1.address, "--wait", "30"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
        while not hop_1.calls:
            time.sleep(0.01)
        hop_1.ready = True
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "ready" in out


def test_status_tells_of_a_service_that_is_down() -> None:
    done = twohop("status", "--json", "--embedding", "127.0.0.1:1", "--heads", "127.0.0.1:1", "--timeout", "0.2")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["embedding"]["error"]["type"] == found["heads"]["error"]["type"] == "Unavailable"


def test_ctrl_c_ends_it_cleanly(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    hop_1.delay_s = 30
    asked = [*TWOHOP, *classify(hop_1, hop_2, "sentiment"), "--timeout", "30", "a"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not hop_1.calls:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "error: interrupted"


def test_a_reader_that_leaves_is_no_traceback(hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    asked = [*TWOHOP, *classify(hop_1, hop_2, "sentiment")]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"text")
        assert process.stdout.readline().startswith(b"a"), "a pipe that trickles is answered at once"
        process.stdout.close()
        for _ in range(3):
            try:
                process.stdin.write(b"b\n")
                process.stdin.flush()
                time.sleep(0.1)
            except BrokenPipeError:
                break
        with suppress(BrokenPipeError):
            process.stdin.close()
        assert b"Traceback" not in process.stderr.read()
