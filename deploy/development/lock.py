"""`make requirements`: renews requirements/*.txt, pinned with hashes and without any index address.

The resolver reads the versions already locked, so that without --upgrade only what pyproject changed moves."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

from deploy.development.tool_venv import tool_venv

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("requirements")
# Lock file -> the extras it holds beyond the base. torch is in none: its builds differ in hash.
LOCKS = {"client": (), "embedding": ("embedding",), "head": ("head",), "gateway": ("gateway",), "dev": ("dev",)}
UV = "uv==0.13.9"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject allows")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    with tool_venv(UV) as binaries:
        for name, extras in LOCKS.items():
            chosen = [flag for extra in extras for flag in ("--extra", extra)]
            compile_lock(binaries, FOLDER / f"{name}.txt", ["pyproject.toml", *chosen, *upgrade])
        compile_lock(binaries, FOLDER / "build.txt", [str(FOLDER / "build.in"), *upgrade])
        for name in ("weights", "no-deps"):
            compile_lock(binaries, FOLDER / f"{name}.txt", [str(FOLDER / f"{name}.in"), "--no-deps", *upgrade])


def compile_lock(binaries: Path, target: Path, arguments: list[str]) -> None:
    """uv writes no addresses unless asked to, and none is asked for."""
    command: list[str | Path] = [binaries / "uv", "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header"]
    subprocess.run([*command, *arguments, "-o", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    text = (ROOT / target).read_text()
    torch = re.findall(r"^(?:torch|triton|nvidia-[a-z0-9-]+)==.*$", text, re.MULTILINE)
    if torch:
        raise SystemExit(f"{target} holds {torch[0]}: some dependency asks for torch, which must be in no lock file")
    if "://" in text:
        raise SystemExit(f"{target} holds an address; look at the configuration of uv and pip")
    print(f"{target}: {len(re.findall(r'^[A-Za-z0-9]', text, re.MULTILINE))} packages")


if __name__ == "__main__":
    main()
