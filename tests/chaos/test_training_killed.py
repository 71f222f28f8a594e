"""A trainer that is killed in each of its phases leaves nothing to see, and the next one ends as if nothing had been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from services import until

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
from head_trainer import Trainer
from rule_services import EmbeddingRules

from head_service.repository.layout import version_numbers
from head_service.training.vectors import REQUESTS_AT_ONCE, TEXTS_PER_REQUEST

ROWS = 600
FITTING_S = 4.0  # of processor time: longer than TensorFlow's import, shorter than fitting
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
        kill(trainer, lambda process: len(hop_1.asked("Embed")) >= 4)
        hop_1.delay_s = 0.0
        asked_before = [text for request in hop_1.asked("Embed") for text in request.texts]
        kill(trainer, lambda process: embedded_all(hop_1) and is_fitting(process))
        kill(trainer, lambda process: list(heads(trainer).glob(".draft-*/saved_model.pb")) != [])

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


def kill(trainer: Trainer, is_time: Callable[[subprocess.Popen[bytes]], bool]) -> None:
    """Starts a trainer, kills it once it is time, and sees that nobody can see anything of it."""
    argv = trainer.argv("--data", trainer.data(rows=ROWS), "--kind", "fasttext")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_time(process) or process.poll() is not None)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert version_numbers(heads(trainer)) == []
    assert not (heads(trainer).parent / "models.config").exists()


def embedded_all(hop_1: EmbeddingRules) -> bool:
    return len({text for request in hop_1.asked("Embed") for text in request.texts}) == ROWS


def is_fitting(process: subprocess.Popen[bytes], loaded_at: dict[int, float] = {}) -> bool:  # noqa: B006  what it saw before
    """TensorFlow, which is loaded after the last text is embedded, has had time to compute."""
    if "libtensorflow_framework" not in Path(f"/proc/{process.pid}/maps").read_text():
        return False
    used_s = psutil.Process(process.pid).cpu_times().user
    return used_s > loaded_at.setdefault(process.pid, used_s) + FITTING_S


def heads(trainer: Trainer) -> Path:
    return trainer.folder / "heads" / "mood"


def manifest(path: str) -> dict[str, object]:
    fields = json.loads(Path(path, "assets.extra/head.json").read_text("utf-8"))
    return {name: value for name, value in fields.items() if name != "created"}


def folder(path: Path) -> Path:
    path.mkdir()
    return path
