"""`make demo` as a person sees it: one command, a table worth reading, and nothing left running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "deploy.demo"]
TEXT = 'The pilot said "sorry" twice; nobody\'s bag arrived & it cost us $5'


def started_by(folder: Path) -> list[psutil.Process]:
    """Processes that write their log into this folder's."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in argument for argument in process.cmdline()) or writes_below(process, folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def writes_below(process: psutil.Process, folder: Path) -> bool:
    return any(os.path.realpath(f"/proc/{process.pid}/fd/{number}").startswith(str(folder)) for number in (1, 2))


@pytest.mark.timeout(240)
def test_the_demo_shows_labels_scores_milliseconds_and_held_out_accuracy(tmp_path: Path) -> None:
    environment = {**os.environ, "DEMO_TEXT": TEXT}
    argv = [*DEMO, "--folder", tmp_path, "--text", "Lovely soup."]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=230)
    assert done.returncode == 0, done.stdout + done.stderr
    flat = re.sub(r"[│┃\s]+", " ", done.stdout)
    assert "Lovely soup." in flat
    assert '"sorry" twice' in flat
    for expected in ("text sentiment topic", "hop 1 hop 2", "2 of 2 texts got the same labels from the gateway", "accuracy"):
        assert expected in flat, expected
    assert re.search(r"(positive|negative) [01]\.\d\d", flat)
    accuracies = [float(value) for value in re.findall(r"(?:sentiment|topic) \d+ (\d+\.\d)%", flat)]
    assert len(accuracies) == 2
    assert min(accuracies) > 60
    assert started_by(tmp_path) == []


@pytest.mark.timeout(120)
def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    argv = [*DEMO, "--folder", tmp_path]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "hop 1" in line:             # it is up, and the first head is being trained
                break
        assert len(started_by(tmp_path)) > 1
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(60) == 130
        assert "everything is stopped" in demo.stdout.read()
    deadline = time.monotonic() + 10
    while started_by(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert started_by(tmp_path) == []
