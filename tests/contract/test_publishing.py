"""Versions appear and go whole or not at all: processes that are killed before any of their steps, and many at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from head_service.repository import ledger, serving_config, versions
from head_service.repository.drafts import draft
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.publish import publish

ABOUT = Manifest("h", 0, "linear", ["a"], EncoderIdentity("e", "enc-0123456789ab", "n", 4), "0", {}, {}, "now")

PROGRAM = """
import os, shutil, signal, sys
from pathlib import Path
from head_service.repository import roles
from head_service.repository.drafts import draft
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.prune import prune
from head_service.repository.publish import publish

def one(repository, promote):
    about = Manifest("h", 0, "linear", ["a"], EncoderIdentity("e", "enc-0123456789ab", "n", 4), "0", {}, {"accuracy": 1.0}, "now")
    with draft(repository, "h") as folder:
        (folder / "variables").mkdir()
        for name in ("saved_model.pb", "variables/variables.data"):
            (folder / name).write_text("x" * 1000)
        return publish(repository, folder, about, promote=promote).version
"""

# Each call that changes what is on the disk counts, and before the one with the given number the process is killed. One
# process forks for each moment and prints how far it got: "killed", or "done" when there was no such moment any more.
KILLED = """
ACTS = {
    "publish": lambda repository: one(repository, promote=True),
    "promote": lambda repository: roles.promote(repository, "h"),
    "rollback": lambda repository: roles.rollback(repository, "h"),
    "canary": lambda repository: roles.promote_canary(repository, "h", 2),
    "end": lambda repository: roles.end_canary(repository, "h"),
    "prune": lambda repository: prune(repository, "h", keep=1),
}

def counted(function, left):
    def call(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

act, start, folder = ACTS[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3])
for moment in range(200):
    repository = folder / str(moment)
    shutil.copytree(start, repository)
    child = os.fork()
    if child == 0:
        left = [moment]
        for name in ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir"):
            setattr(os, name, counted(getattr(os, name), left))
        act(repository)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else "done" if status == 0 else "failed")
    if status == 0:
        break
"""

START = """
repository = Path(sys.argv[1])
repository.mkdir(exist_ok=True)
for _ in range(int(sys.argv[2])):
    one(repository, promote=True)
if sys.argv[2] != "0":
    one(repository, promote=False)
    roles.promote_canary(repository, "h", 1)
"""

MANY = "print(*[one(Path(sys.argv[1]), promote=index % 2 == 0) for index in range(5)])"

PRUNES = """
removed = set()
while not Path(sys.argv[2]).exists():
    try:
        removed.update(prune(Path(sys.argv[1]), "h", keep=2).removed)
    except Exception as error:
        assert "no repository" in str(error) or "no head" in str(error), error
print(*removed)
"""


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM + program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> list[str]:
    said = process.communicate(timeout=120)[0].split()
    assert process.returncode == 0
    return said


class State(NamedTuple):
    numbers: set[int]
    roles: serving_config.Roles


def state(repository: Path) -> State:
    """What is visible; checks that all of it is whole, and that what models.config names is visible."""
    numbers: set[int] = set()
    if not repository.is_dir():
        return State(numbers, serving_config.Roles())
    for version in versions.versions(repository, "h") if versions.heads(repository) else []:
        assert (version.path / "saved_model.pb").stat().st_size == 1000
        assert (version.path / "variables/variables.data").stat().st_size == 1000
        assert version.manifest is not None
        assert version.manifest.version == version.number
        numbers.add(version.number)
    assert serving_config.named(repository, "h") <= numbers
    ledger.read(repository)
    return State(numbers, serving_config.roles_of(repository, "h"))


@pytest.mark.parametrize(("act", "earlier"), [
    ("publish", 0), ("publish", 2), ("promote", 2), ("rollback", 2), ("canary", 3), ("end", 2), ("prune", 5),
])  # fmt: skip
def test_a_process_killed_before_any_step_leaves_what_was_or_what_was_to_be(tmp_path: Path, act: str, earlier: int) -> None:
    output(python(START, tmp_path / "start", earlier))
    told = output(python(KILLED, act, tmp_path / "start", tmp_path / "killed"))
    assert told == ["killed"] * (len(told) - 1) + ["done"]
    assert len(told) > 3
    before, *found = [state(tmp_path / name) for name in ("start", *(f"killed/{moment}" for moment in range(len(told))))]
    after = found[-1]
    assert after != before
    for moment, (numbers, roles) in enumerate(found):
        assert before.numbers & after.numbers <= numbers <= before.numbers | after.numbers, moment
        assert roles in (before.roles, after.roles), moment
    for moment in range(len(told)):
        clean_up(tmp_path / "killed" / str(moment))


def clean_up(repository: Path) -> None:
    """The next trainer publishes as ever, and nothing of the dead one is left."""
    with draft(repository, "h") as folder:
        (folder / "variables").mkdir()
        for name in ("saved_model.pb", "variables/variables.data"):
            (folder / name).write_text("x" * 1000)
        published = publish(repository, folder, ABOUT, promote=True)
    numbers, roles = state(repository)
    assert published.version == max(numbers)
    assert roles.stable == published.version
    assert [entry.name for entry in (repository / "h").iterdir() if not entry.name.isdigit()] == []
    assert {entry.name for entry in repository.iterdir()} == {".lock", "ledger.json", "models.config", "h"}


def test_trainers_at_once_never_get_one_number_twice_and_prunes_beside_them_take_none_that_serves(tmp_path: Path) -> None:
    repository, end = tmp_path / "heads", tmp_path / "end"
    pruners = [python(PRUNES, repository, end) for _ in range(2)]
    trainers = [python(MANY, repository) for _ in range(4)]
    while any(trainer.poll() is None for trainer in trainers):
        if repository.is_dir():
            check_served(repository)
    given = [int(number) for trainer in trainers for number in output(trainer)]
    end.touch()
    removed = [int(number) for pruner in pruners for number in output(pruner)]
    assert sorted(given) == list(range(1, 21))
    left, _ = state(repository)
    assert sorted([*left, *removed]) == list(range(1, 21))
    assert [entry.name for entry in (repository / "h").iterdir() if not entry.name.isdigit()] == []


def check_served(repository: Path) -> None:
    """As a polling server: what is stable is there, unless it was moved meanwhile."""
    stable = serving_config.roles_of(repository, "h").stable
    there = stable is None or (repository / "h" / str(stable) / "saved_model.pb").is_file()
    assert there or serving_config.roles_of(repository, "h").stable != stable
