"""supervisord, which keeps local services alive: its configuration as text, and what we ask of it over its socket.

A process that dies is started again; one that dies at once is tried again after 1, 2, 3 … seconds, about eight
minutes long, and is FATAL then."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

START_S = 15.0
STOP_S = 60.0
LONGEST_SOCKET_PATH = 90                # the system's limit is 108 bytes, and supervisord appends its process id
# Writes the process id beside the log, then becomes the program: right after every restart.
RECORD_PID = 'echo $$ > "$0" && exec "$@"'

DAEMON = """\
[supervisord]
logfile={folder}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={folder}/supervisord.pid
childlogdir={folder}
directory={root}
umask=022
silent=true

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """
[program:{name}]
command={command}
environment={environment}
autostart=true
autorestart=true
startsecs=2
startretries=30
stopsignal=TERM
stopwaitsecs=45
killasgroup=true
redirect_stderr=true
stdout_logfile={folder}/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""


@dataclass(frozen=True)
class Program:
    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """One process as supervisord sees it."""

    name: str
    state: str              # STARTING, RUNNING, BACKOFF, FATAL, STOPPING, STOPPED, EXITED
    pid: int | None
    uptime_s: float | None


def configuration(folder: Path, root: Path, programs: Iterable[Program], environment: Mapping[str, str]) -> str:
    """supervisord's file. Its `%` is a sign of its own and doubled here."""
    variables = ",".join(f'{name}="{value}"' for name, value in sorted(environment.items()))
    text = DAEMON.format(folder=_escaped(str(folder)), root=_escaped(str(root)), socket=_escaped(str(socket_path(folder))))
    for each in programs:
        command = shlex.join(["/bin/sh", "-c", RECORD_PID, str(folder / f"{each.name}.pid"), *each.argv])
        text += PROGRAM.format(
            name=each.name, command=_escaped(command), environment=_escaped(variables), folder=_escaped(str(folder))
        )
    return text


def socket_path(folder: Path) -> Path:
    """In the folder; for a folder deep down, in the system's temporary one, under a name of its own."""
    path = folder / "supervisor.sock"
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    return Path(tempfile.gettempdir()) / f"twohop-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.sock"


class Supervisor:
    """The supervisord of one folder, running or not. Leftovers of one that was killed do no harm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._url = f"unix://{socket_path(folder)}"

    def is_running(self) -> bool:
        try:
            return bool(self._ask("getState")["statename"] == "RUNNING")
        except (OSError, Fault):
            return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Starts the daemon, which starts its programs. Raises OSError if it does not come up."""
        argv = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(self.folder / "supervisord.conf")]
        done = subprocess.run(argv, capture_output=True, text=True, env=dict(environment), stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self.is_running():
            if done.returncode or time.monotonic() > deadline:
                raise OSError(f"supervisord did not start: {done.stdout}{done.stderr} (see {self.folder / 'supervisord.log'})")
            time.sleep(0.1)

    def apply(self) -> list[str]:
        """Reads the configuration again, as `supervisorctl update` does. Returns the names that were (re)started."""
        [[added, changed, removed]] = self._ask("reloadConfig")
        for name in [*removed, *changed]:
            self._ask("stopProcessGroup", name)
            self._ask("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._ask("addProcessGroup", name)
        stopped = [each.name for each in self.states() if each.state in ("FATAL", "STOPPED", "EXITED", "UNKNOWN")]
        for name in stopped:
            self._ask("startProcess", name, False)
        return sorted({*added, *changed, *stopped})

    def states(self) -> list[State]:
        """Empty where nothing runs."""
        if not self.is_running():
            return []
        return [
            State(
                each["name"],
                each["statename"],
                each["pid"] or None,
                float(each["now"] - each["start"]) if each["statename"] == "RUNNING" else None,
            )
            for each in self._ask("getAllProcessInfo")
        ]

    def stop(self) -> None:
        """Ends the programs and then the daemon, if it runs, and whatever an earlier one left behind."""
        daemon = self._daemon()
        if daemon and self.is_running():
            with contextlib.suppress(OSError, Fault):
                self._ask("shutdown")
            with contextlib.suppress(psutil.TimeoutExpired):
                daemon.wait(STOP_S)
        self.end_orphans()
        for path in (*self.folder.glob("*.pid"), socket_path(self.folder)):
            path.unlink(missing_ok=True)

    def end_orphans(self) -> None:
        """Ends processes of this folder whose supervisord was killed (SIGKILL, out of memory)."""
        orphans = [each for each in psutil.process_iter() if self.owns(each)]
        for each in orphans:
            with contextlib.suppress(psutil.Error):
                each.terminate()
        _, alive = psutil.wait_procs(orphans, timeout=20)
        for each in alive:
            with contextlib.suppress(psutil.Error):
                each.kill()

    def owns(self, process: psutil.Process) -> bool:
        """supervisord tells its programs its address, and they tell their children: that is how we know our own."""
        try:
            return bool(process.environ().get("SUPERVISOR_SERVER_URL") == self._url)
        except psutil.Error:
            return False

    def _ask(self, method: str, *arguments: object) -> Any:
        """One call of supervisord's XML-RPC. Raises OSError where none listens, Fault where it refuses."""
        transport = SupervisorTransport(None, None, serverurl=self._url)
        try:
            return getattr(ServerProxy("http://127.0.0.1", transport=transport).supervisor, method)(*arguments)
        finally:
            transport.close()

    def _daemon(self) -> psutil.Process | None:
        try:
            pid = int(self._ask("getPID"))
            return psutil.Process(pid)
        except (OSError, Fault, psutil.Error):
            return None


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
