"""What a caller installs: the base alone, in an environment that held nothing, without a model, TensorFlow or torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 130 * 1000 * 1000
SERVICES = ("torch", "tensorflow", "openvino", "keras", "fastapi", "starlette", "sklearn", "tokenizers")
CLIENT = (
    "twohop", "twohop.aio", "twohop.chain", "twohop.cli", "twohop.embedding", "twohop.head_inputs", "twohop.heads",
    "twohop.lines", "twohop.readiness", "twohop.status", "twohop.table", "twohop.tensors", "twohop.types",
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with pip, and the base of this package installed from its wheel."""
    folder = tmp_path_factory.mktemp("light")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, text=True, timeout=120)
    (wheel,) = folder.glob("twohop-*.whl")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    found = folder / "venv" / "bin" / "python"
    install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        if "No matching distribution" in done.stderr or "Connection" in done.stderr or "Temporary failure" in done.stderr:
            pytest.skip("no package index can be reached: the base's dependencies cannot be installed")
        pytest.fail(done.stderr)
    return found


def run(python: Path, *args: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([python, *args], capture_output=True, text=True, timeout=60, cwd=python.parent, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_base_brings_its_four_dependencies_and_nothing_of_the_services(python: Path) -> None:
    listed = json.loads(run(python, "-m", "pip", "list", "--format=json"))
    installed = {each["name"].lower().replace("_", "-") for each in listed}
    assert {"twohop", "numpy", "grpcio", "protobuf", "click"} <= installed
    assert installed <= {"twohop", "numpy", "grpcio", "protobuf", "click", "typing-extensions", "pip", "setuptools"}


def test_the_base_with_pip_stays_under_130_mb(python: Path) -> None:
    size = sum(path.stat().st_size for path in python.parents[1].rglob("*") if path.is_file() and not path.is_symlink())
    assert size < MOST_BYTES, f"{size / 1e6:.0f} MB"


def test_every_module_of_the_client_is_imported_without_anything_else(python: Path) -> None:
    code = (
        "import importlib, json, sys\n"
        f"for name in {CLIENT!r}: importlib.import_module(name)\n"
        "files = {name: getattr(module, '__file__', None) or '' for name, module in sys.modules.items()}\n"
        "print(json.dumps(sorted({name.split('.')[0] for name, file in files.items() if 'site-packages' in file})))"
    )
    loaded = set(json.loads(run(python, "-c", code)))
    assert not loaded & set(SERVICES)
    loaded.discard("_distutils_hack")           # setuptools puts itself into every start of the interpreter
    assert loaded <= {"twohop", "numpy", "grpc", "google", "click", "typing_extensions"}


def test_the_types_travel_with_the_wheel(python: Path) -> None:
    code = "import twohop, pathlib; print((pathlib.Path(twohop.__file__).parent / 'py.typed').exists())"
    assert run(python, "-c", code) == "True\n"


def test_the_command_line_is_there_and_helps(python: Path) -> None:
    begun = time.monotonic()
    done = subprocess.run([python.parent / "twohop", "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "classify" in done.stdout
    assert time.monotonic() - begun < 10


def test_a_command_of_a_service_names_the_extra_that_it_needs(python: Path) -> None:
    done = subprocess.run([python.parent / "embedding-service", "serve"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'twohop[embedding]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
