"""The two heads that a new repository starts with, trained on the project's own sample through hop 1.

A program of its own (needs the extra `head`, nothing else of this folder): the trainer image runs it too. TF-Serving
waits for ever for a model without a version, so a repository must hold one before heads are served."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from head_service.repository.layout import version_numbers

NAMES = ("sentiment", "topic")


def sample(name: str) -> Path:
    """A file of the sample, such as `topic.train.tsv` or `examples.txt`."""
    return Path(str(resources.files("head_service.samples").joinpath(name)))


def to_train(repository: Path) -> list[str]:
    """The sample heads that a repository lacks; none where it has heads of its own."""
    present = {folder.name for folder in repository.glob("*") if version_numbers(folder)}
    return [name for name in NAMES if name not in present] if present <= set(NAMES) else []


def train_arguments(head: str, encoder: str, repository: Path) -> list[str]:
    """What follows `head-service` to train a sample head through the hop 1 at `encoder` (HOST:PORT[/NAME])."""
    data = ["--data", str(sample(f"{head}.train.tsv")), "--dev", str(sample(f"{head}.dev.tsv"))]
    return ["train", *data, "--head", head, "--encoder", encoder, "--repository", str(repository)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train those sample heads (sentiment, topic) which a repository lacks.")
    parser.add_argument("--encoder", required=True, metavar="HOST:PORT[/NAME]", help="hop 1")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("rest", nargs="*", metavar="-- FLAG…", help="further flags of `head-service train`")
    given = parser.parse_args(arguments)
    lacking = to_train(given.repository)
    if not lacking:
        print(f"{given.repository} holds heads already: nothing to train")
    program = str(Path(sys.executable).parent / "head-service")
    for head in lacking:
        code = subprocess.call([program, *train_arguments(head, given.encoder, given.repository), *given.rest])
        if code:
            return code
    return 0


if __name__ == "__main__":
    os.umask(0o022)                     # TF-Serving reads the heads as another user
    sys.exit(main())
