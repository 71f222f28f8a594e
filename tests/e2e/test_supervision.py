"""The supervisor under `make deploy`, on small real processes: what dies comes back, what is stopped stays away."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.supervision import Program, State, Supervisor, configuration

SLEEPER = Program("sleeper", (sys.executable, "-c", "import time; time.sleep(600)"))
OTHER = Program("other", (sys.executable, "-c", "import time; time.sleep(601)"))


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    found = Supervisor(tmp_path)
    configure(tmp_path, SLEEPER)
    found.start(os.environ)
    yield found
    found.stop()


def configure(folder: Path, *programs: Program, **environment: str) -> None:
    (folder / "supervisord.conf").write_text(configuration(folder, folder, programs, environment))


def state(supervisor: Supervisor, name: str) -> State:
    return next(each for each in supervisor.states() if each.name == name)


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def running_pid(supervisor: Supervisor, name: str = "sleeper") -> int:
    eventually(lambda: state(supervisor, name).pid is not None)
    return state(supervisor, name).pid or 0


def test_a_process_that_is_killed_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    pid = running_pid(supervisor)
    eventually(lambda: (tmp_path / "sleeper.pid").exists())
    assert int((tmp_path / "sleeper.pid").read_text()) == pid
    eventually(lambda: state(supervisor, "sleeper").state == "RUNNING")
    psutil.Process(pid).kill()
    eventually(lambda: state(supervisor, "sleeper").pid not in (None, pid))
    eventually(lambda: int((tmp_path / "sleeper.pid").read_text()) == state(supervisor, "sleeper").pid)


def test_applying_changes_only_what_differs(supervisor: Supervisor, tmp_path: Path) -> None:
    pid = running_pid(supervisor)
    assert supervisor.apply() == []
    configure(tmp_path, SLEEPER, OTHER)
    assert supervisor.apply() == ["other"]
    assert running_pid(supervisor) == pid
    configure(tmp_path, SLEEPER, MARK="new")
    assert supervisor.apply() == ["sleeper"]
    assert running_pid(supervisor) != pid
    assert [each.name for each in supervisor.states()] == ["sleeper"]


def test_stopping_ends_everything_and_may_be_repeated(supervisor: Supervisor, tmp_path: Path) -> None:
    pid = running_pid(supervisor)
    supervisor.stop()
    assert not psutil.pid_exists(pid)
    assert supervisor.states() == []
    assert list(tmp_path.glob("*.pid")) == list(tmp_path.glob("*.sock")) == []
    supervisor.stop()


def test_leftovers_of_a_killed_supervisor_are_ended_and_a_new_one_starts(supervisor: Supervisor, tmp_path: Path) -> None:
    orphan = running_pid(supervisor)
    daemon = psutil.Process(int((tmp_path / "supervisord.pid").read_text()))
    daemon.kill()
    eventually(lambda: not supervisor.is_running())
    assert psutil.pid_exists(orphan)
    supervisor.stop()
    assert not psutil.pid_exists(orphan)
    supervisor.start(os.environ)
    assert running_pid(supervisor) != orphan
