"""Environments of what is measured beside us: their packages never meet ours. Made once, made anew when pins change."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from deploy.development.pip_progress import pip

ROOT = Path(__file__).resolve().parents[1]

# Nothing is reported to anyone, and nothing is looked up on a hub.
OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def ready(name: str, requirements: Path, why: str) -> Path:
    """The Python of `.venv-NAME`, made first if it does not match `requirements`. Raises SetupFailed."""
    venv = ROOT / f".venv-{name}"
    python, stamp = venv / "bin" / "python", venv / f"{name}-requirements.sha256"
    digest = hashlib.sha256(requirements.read_bytes() + str(venv).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"{why}: an environment of its own is made once, a few minutes")
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    pip(python, ["install", "-r", str(requirements)], cwd=ROOT)
    stamp.write_text(digest)
    return python


def environment() -> dict[str, str]:
    return {**os.environ, **OFFLINE}
