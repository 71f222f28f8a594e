"""`head-service train` as a process against a hop 1 that answers by rule, and its versions as TF-Serving loads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rule_services import EmbeddingRules

PROGRAM = Path(sys.executable).parent / "head-service"
LABELS = ["Ärger", "Zorn", "freude", "neutral"]  # not sorted by code point: "Ä" comes last
WORDS = ["a", "an old", "the one two", "we are all of four"]


@dataclass
class Trainer:
    """Runs `head-service train` as a process against one hop 1 that answers by rule."""

    hop_1: EmbeddingRules
    folder: Path

    def data(self, name: str = "data.tsv", rows: int = 120) -> Path:
        """Rows whose label shows in the number and the length of the words, which the rule puts into the vector."""
        generator = np.random.default_rng(len(name))
        kinds = generator.integers(0, len(LABELS), rows)
        lines = [f"{WORDS[kind]} {'x' * int(generator.integers(1, 9))}{row}\t{LABELS[kind]}" for row, kind in enumerate(kinds)]
        path = self.folder / name
        path.write_text("text\tlabel\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return path

    def argv(self, *arguments: object, head: str = "mood", encoder: str = "") -> list[str]:
        fixed = ["--head", head, "--encoder", self.hop_1.address + encoder, "--repository", self.folder / "heads"]
        return [str(part) for part in (PROGRAM, "train", *fixed, "--vectors", self.folder / "vectors", *arguments)]

    def run(self, *arguments: object, **names: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*arguments, **names), capture_output=True, text=True, timeout=120, check=False)

    def document(self, *arguments: object, **names: str) -> dict[str, Any]:
        done = self.run(*arguments, "--json", **names)
        assert done.returncode == 0, done.stderr
        [line] = done.stdout.splitlines()
        return json.loads(line)  # type: ignore[no-any-return]

    def error(self, *arguments: object, **names: str) -> dict[str, Any]:
        done = self.run(*arguments, "--json", **names)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        return json.loads(done.stderr.splitlines()[-1])["error"]  # type: ignore[no-any-return]


class Served:
    """A version as TF-Serving loads it: in a TF1 session."""

    def __init__(self, path: str) -> None:
        graph = tensorflow().Graph()
        self.session = tensorflow().compat.v1.Session(graph=graph)
        with graph.as_default():
            loader = tensorflow().compat.v1.saved_model.loader
            self.meta_graph = loader.load(self.session, ["serve"], path)
        self.signatures = self.meta_graph.signature_def

    def run(self, signature: str, vectors: np.ndarray, **more: np.ndarray) -> dict[str, np.ndarray]:
        wanted = self.signatures[signature]
        outputs = {name: tensor.name for name, tensor in wanted.outputs.items()}
        given = {"tokens" if "tokens" in wanted.inputs else "embedding": vectors, **more}
        feed = {wanted.inputs[name].name: values for name, values in given.items()}
        return self.session.run(outputs, feed)  # type: ignore[no-any-return]


def tensorflow() -> Any:
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import tensorflow as tf

    return tf
