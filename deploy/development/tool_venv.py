"""A throw-away environment for one pinned development tool, so that the project's own never holds it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def tool_venv(requirement: str) -> Iterator[Path]:
    """The `bin` folder of an environment with that requirement; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="twohop-tool-") as folder:
        print(f"installing {requirement} into a throw-away environment", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        binaries = Path(folder) / "bin"
        pip: list[str | Path] = [binaries / "python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-q", requirement], check=True)
        yield binaries
