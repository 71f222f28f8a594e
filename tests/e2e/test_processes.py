"""Processes of the demo and the load test: started, awaited and, whatever happens, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from deploy.ports import free_ports
from deploy.processes import Processes, ProcessFailed
from deploy.services import Service

ROOT = Path(__file__).parents[2]


def service(name: str, *argv: str, port: int = 0) -> Service:
    return Service(name, argv, (), (f"http://127.0.0.1:{port}/",))


def ended(pid: int) -> bool:
    """A kill takes effect a moment later."""
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not psutil.pid_exists(pid)


def test_a_service_that_ends_at_once_fails_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = service("broken", sys.executable, "-c", "raise SystemExit('no such thing')", port=free_ports(1)[0])
    with Processes(tmp_path) as processes:
        processes.start(broken)
        with pytest.raises(ProcessFailed, match=r"(?s)broken ended with exit code 1.*no such thing"):
            processes.wait_ready(broken, 20)


def test_a_service_that_is_never_ready_fails_in_time_and_is_stopped(tmp_path: Path) -> None:
    idle = service("idle", sys.executable, "-c", "import time; time.sleep(600)", port=free_ports(1)[0])
    with Processes(tmp_path) as processes:
        pid = processes.start(idle)
        with pytest.raises(ProcessFailed, match=r"was not ready after"):
            processes.wait_ready(idle, 0.3)
    assert not psutil.pid_exists(pid)


def test_a_service_is_ready_once_it_answers_and_its_children_end_with_it(tmp_path: Path) -> None:
    [port] = free_ports(1)
    code = f"""
        import http.server, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid, flush=True)
        http.server.HTTPServer(("127.0.0.1", {port}), http.server.SimpleHTTPRequestHandler).serve_forever()
    """
    web = service("web", sys.executable, "-c", textwrap.dedent(code), port=port)
    with Processes(tmp_path) as processes:
        processes.start(web)
        processes.wait_ready(web, 20)
        processes.check()
        child = int((tmp_path / "web.log").read_text().split()[0])
    assert ended(child)


def test_a_command_that_fails_shows_what_it_said(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        assert processes.run("good", [sys.executable, "-c", "print('result')"]) == "result\n"
        with pytest.raises(ProcessFailed, match=r"(?s)bad failed with exit code 3.*why"):
            processes.run("bad", [sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_process(tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from deploy.processes import Processes, ended_by_signals
        from deploy.services import Service
        try:
            with ended_by_signals(), Processes(Path({str(tmp_path)!r})) as processes:
                sleeper = Service("s", (sys.executable, "-c", "import time; time.sleep(600)"), (), ())
                print(processes.start(sleeper), flush=True)
                time.sleep(600)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        started = int(program.stdout.readline())
        os.kill(program.pid, number)
        assert program.wait(30) == 130
    assert ended(started)


def test_a_signal_while_a_process_is_born_does_not_leave_it_behind(tmp_path: Path) -> None:
    code = f"""
        import signal, subprocess, sys
        from pathlib import Path
        from deploy.processes import Processes, ended_by_signals
        from deploy.services import Service

        class Interrupted(subprocess.Popen):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                print(self.pid, flush=True)
                signal.raise_signal(signal.SIGINT)      # the child runs, and nobody has noted it yet

        subprocess.Popen = Interrupted
        try:
            with ended_by_signals(), Processes(Path({str(tmp_path)!r})) as processes:
                processes.start(Service("s", (sys.executable, "-c", "import time; time.sleep(600)"), (), ()))
        except KeyboardInterrupt:
            sys.exit(130)
    """
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    program = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert program.returncode == 130
    assert ended(int(program.stdout))
