"""Makes .venv-plan1 once: torch, sentence-transformers and TensorFlow, which our own environment never holds together."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from deploy.development.pip_progress import pip

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-plan1"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
STAMP = VENV / "plan1-requirements.sha256"

# Nothing is reported to anyone, and nothing is looked up on a hub.
OFFLINE = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TF_CPP_MIN_LOG_LEVEL": "2",
}


def ready() -> Path:
    """The environment's Python, made first if need be. Raises SetupFailed."""
    python = VENV / "bin" / "python"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + str(VENV).encode()).hexdigest()
    if python.exists() and STAMP.exists() and STAMP.read_text() == digest:
        return python
    print("plan 1 needs an environment of its own (torch, sentence-transformers, Flask, TensorFlow): made once, a few minutes")
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip(python, ["install", "-r", str(REQUIREMENTS)], cwd=ROOT)
    STAMP.write_text(digest)
    return python


def environment() -> dict[str, str]:
    return {**os.environ, **OFFLINE}
