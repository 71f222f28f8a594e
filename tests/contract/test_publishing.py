"""Versions appear whole or not at all: trainers that die at any moment, and trainers that publish at the same time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from head_service.repository import roles, serving_config, versions

PUBLISH = """
import sys
from pathlib import Path
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.publish import draft, publish

def one(repository, promote):
    about = Manifest("h", 0, "linear", ["a"], EncoderIdentity("e", "enc-0123456789ab", "n", 4), "0", {}, {"accuracy": 1.0}, "now")
    with draft(repository, "h") as folder:
        (folder / "variables").mkdir()
        for name in ("saved_model.pb", "variables/variables.data"):
            (folder / name).write_text("x" * 1000)
        return publish(repository, folder, about, promote=promote).version
"""

# Each call that changes the disk's state counts; the process dies before the one with the given number.
DIE = """
import os
left = int(sys.argv[2])

def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return function(*arguments, **options)
    return call

for name in ("mkdir", "fsync", "rename", "replace"):
    setattr(os, name, counted(getattr(os, name)))
print(one(Path(sys.argv[1]), promote=True))
"""

MANY = "print(*[one(Path(sys.argv[1]), promote=index % 2 == 0) for index in range(5)])"


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PUBLISH + program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def check_whole(repository: Path) -> list[int]:
    """Everything that is visible is whole; the numbers of it."""
    numbers = []
    for version in versions.versions(repository, "h") if versions.heads(repository) else []:
        assert (version.path / "saved_model.pb").stat().st_size == 1000
        assert (version.path / "variables/variables.data").stat().st_size == 1000
        assert version.manifest is not None
        assert version.manifest.version == version.number
        numbers.append(version.number)
    stable = serving_config.read(repository).get("h")
    assert stable is None or stable.stable in numbers
    json.loads((repository / "ledger.json").read_text() if (repository / "ledger.json").exists() else "{}")
    return numbers


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_trainer_that_dies_anywhere_leaves_what_was_or_a_whole_version(tmp_path: Path, earlier: int) -> None:
    died = 0
    if earlier:
        assert python("print(one(Path(sys.argv[1]), False))", tmp_path / "before").communicate(timeout=60)[0] == "1\n"
    for moment in range(100):
        repository = tmp_path / str(moment)
        if earlier:
            shutil.copytree(tmp_path / "before", repository)
        process = python(DIE, repository, moment)
        output, _ = process.communicate(timeout=60)
        if process.returncode == 0:
            assert output.strip() == str(earlier + 1)
            break
        died += 1
        if repository.is_dir():
            assert len(check_whole(repository)) in (earlier, earlier + 1)
        after = python("print(one(Path(sys.argv[1]), True))", repository)
        version = int(after.communicate(timeout=60)[0])
        assert check_whole(repository)[0] == version > earlier
        assert serving_config.read(repository)["h"].stable == version
        if earlier:
            assert roles.rollback(repository, "h").after < version
    assert died > 10


def test_trainers_at_the_same_time_never_get_one_number_twice(tmp_path: Path) -> None:
    processes = [python(MANY, tmp_path / "heads") for _ in range(4)]
    given = [int(number) for process in processes for number in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(given) == list(range(1, 21))
    assert sorted(check_whole(tmp_path / "heads")) == list(range(1, 21))
    assert [entry.name for entry in (tmp_path / "heads/h").iterdir() if not entry.name.isdigit()] == []
