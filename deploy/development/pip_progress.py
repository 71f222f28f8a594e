"""Runs pip with its progress in one line, and its last words where it fails (standard library only)."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class SetupFailed(Exception):
    """Building an environment failed; the message says what to do."""


def pip(python: Path, arguments: Sequence[str], *, cwd: Path, expected: int = 0) -> None:
    """Raises SetupFailed with the end of pip's output. `expected`: how many packages, for the progress line."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    last = collections.deque[str](maxlen=30)
    seen = 0
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                seen += 1
                name = line.removeprefix("Collecting ").removeprefix("Requirement already satisfied: ").split(" ")[0]
                _show(f"{seen}/{expected} {name.split('==')[0]}" if expected else name.split("==")[0], often=seen % 25 == 0)
            elif line.startswith("Installing collected packages"):
                _show("installing", often=True)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)
    if process.returncode:
        raise SetupFailed(f"pip failed (exit {process.returncode}):\n{''.join(last)}")


def requirement_count(lock_file: Path) -> int:
    return sum("==" in line and not line.startswith((" ", "#")) for line in lock_file.read_text().splitlines())


def _show(what: str, *, often: bool) -> None:
    """A terminal gets one line that changes; a log gets a line now and then."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K       {what[:70]}", end="", flush=True)
    elif often:
        print(f"       {what}", flush=True)
