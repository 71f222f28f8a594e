"""A trainer that is killed in each of its phases leaves nothing to see, and the next one ends as if nothing had been."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from services import until

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
from head_trainer import Trainer
from rule_services import EmbeddingRules

from head_service.repository.layout import version_numbers
from head_service.repository.locking import locked
from head_service.training.vectors import REQUESTS_AT_ONCE, TEXTS_PER_REQUEST

ROWS = 600
BEGUN_FITTING = re.compile(rb"fitting fasttext.*\b[1-9]\d*/\d+")  # what the progress bar says
WEIGHTS = "variables/variables.data-00000-of-00001"


def test_killed_in_embedding_in_training_and_in_export_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    hop_1 = EmbeddingRules()
    hop_1.start()
    try:
        undisturbed = Trainer(hop_1, folder(tmp_path / "undisturbed"))
        expected = undisturbed.document("--data", undisturbed.data(rows=ROWS), "--kind", "fasttext")
        hop_1.reset()

        trainer = Trainer(hop_1, folder(tmp_path / "killed"))
        hop_1.delay_s = 0.3
        kill(trainer, lambda said: len(hop_1.asked("Embed")) >= 4)
        hop_1.delay_s = 0.0
        asked_before = [text for request in hop_1.asked("Embed") for text in request.texts]
        kill(trainer, lambda said: BEGUN_FITTING.search(said))
        assert embedded_all(hop_1)
        with locked(trainer.folder / "heads"):  # so that it cannot publish before it is killed
            kill(trainer, lambda said: list(heads(trainer).glob(".draft-*/saved_model.pb")))

        said = trainer.document("--data", trainer.data(rows=ROWS), "--kind", "fasttext")
        asked = [text for request in hop_1.asked("Embed") for text in request.texts]
    finally:
        hop_1.stop()
    assert (said["version"], said["embedded"], said["reused"]) == (1, 0, ROWS)
    assert Path(said["path"], WEIGHTS).read_bytes() == Path(expected["path"], WEIGHTS).read_bytes()
    assert manifest(said["path"]) == manifest(expected["path"])
    # What was under way at the kill is asked for again; nothing that had been answered and kept.
    assert len(asked_before) >= REQUESTS_AT_ONCE * TEXTS_PER_REQUEST
    assert len(asked) - len(set(asked)) <= REQUESTS_AT_ONCE * TEXTS_PER_REQUEST


def kill(trainer: Trainer, is_time: Callable[[bytes], object]) -> None:
    """Starts a trainer on a terminal, kills it once `is_time` of what it said, and sees that nobody sees anything of it."""
    argv = trainer.argv("--data", trainer.data(rows=ROWS), "--kind", "fasttext")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=theirs)
    said = b""

    def ended_or_is_time() -> object:
        nonlocal said
        said += read(ours)
        return process.poll() is not None or is_time(said)

    os.set_blocking(ours, False)
    try:
        until(ended_or_is_time)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(theirs)
        os.close(ours)
    assert version_numbers(heads(trainer)) == []
    assert not (heads(trainer).parent / "models.config").exists()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except BlockingIOError:
        return b""


def embedded_all(hop_1: EmbeddingRules) -> bool:
    return len({text for request in hop_1.asked("Embed") for text in request.texts}) == ROWS


def heads(trainer: Trainer) -> Path:
    return trainer.folder / "heads" / "mood"


def manifest(path: str) -> dict[str, object]:
    fields = json.loads(Path(path, "assets.extra/head.json").read_text("utf-8"))
    return {name: value for name, value in fields.items() if name != "created"}


def folder(path: Path) -> Path:
    path.mkdir()
    return path
