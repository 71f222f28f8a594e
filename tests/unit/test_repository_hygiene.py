"""What is committed works on any machine: no path of one workplace, no address of a package index, pins with hashes."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Put together from halves, so that this file does not find itself.
WORKPLACES = ["/" + "work/", "/" + "tmp/gen", "/" + "root/", "/" + "home/"]
INDEXES = [
    "index" + "-url", "find" + "-links", "pypi" + ".org", "python" + "hosted.org", "pytorch" + ".org/whl",
    "registry." + "npmjs", "proxy." + "golang.org", "registry." + "yarnpkg", "crates" + ".io/api",
]
PIN = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,_-]+\])?==[^\s;]+( ; [^\\]+)?", re.IGNORECASE)


@cache
def committed() -> dict[str, str]:
    """Path -> text of every tracked file that is text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout: nothing says what is committed")
    found = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            found[name] = content.decode("utf-8", "replace")
    return found


def naming(words: list[str]) -> list[str]:
    return [
        f"{name}:{number}: {word}"
        for name, text in committed().items()
        for word in words
        if word in text
        for number, line in enumerate(text.splitlines(), 1)
        if word in line
    ]


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    assert naming(WORKPLACES) == []


def test_no_file_names_a_package_index() -> None:
    """pip's own configuration decides where packages come from, on every machine."""
    assert naming(INDEXES) == []


def requirements() -> list[Path]:
    return sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("path", requirements(), ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", path.read_text("utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        pin, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
        assert PIN.fullmatch(pin), line
        assert hashes, f"{pin} without a hash"
        assert all(re.fullmatch(r"[0-9a-f]{64}", each) for each in hashes), pin


@pytest.mark.parametrize("path", requirements(), ids=lambda path: path.name)
def test_torch_is_in_no_lock_file(path: Path) -> None:
    """Its builds differ in hash from machine to machine."""
    names = {line.split("==")[0].split("[")[0].lower() for line in path.read_text("utf-8").splitlines() if "==" in line}
    assert not {name for name in names if name == "torch" or name.startswith(("nvidia-", "triton"))}
