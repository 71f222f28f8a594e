"""Processes that live as long as a `with` block: started, awaited, stopped in reverse order, whatever happens.

Each gets a session of its own, so that Ctrl-C in the terminal reaches us alone and the order of stopping is ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from deploy.services import Service, is_ready

STOP_S = 20.0
POLL_S = 0.1
TAIL_LINES = 25
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessFailed(Exception):
    """A process ended or did not become ready; the message ends with the last lines of its log."""


class Processes:
    """Several processes with a log file each in one folder. Use as a context manager."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Processes:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, service: Service, environment: Mapping[str, str] | None = None) -> int:
        """Returns the process id. It gets our environment unless another is given."""
        return self._spawn(service.name, service.argv, subprocess.DEVNULL, environment).pid

    def wait_ready(self, service: Service, timeout_s: float = 120.0) -> None:
        """Raises ProcessFailed if it ends before it is ready, or is not ready in time."""
        process = dict(self._running)[service.name]
        deadline = time.monotonic() + timeout_s
        while not is_ready(service):
            if process.poll() is not None:
                raise self._failure(service.name, f"ended with exit code {process.returncode} before it was ready")
            if time.monotonic() > deadline:
                raise self._failure(service.name, f"was not ready after {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def run(self, name: str, argv: Sequence[str]) -> str:
        """Runs a command to its end; what it prints is returned, what it logs goes to its log. Raises ProcessFailed."""
        process = self._spawn(name, argv, subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read()
        if process.wait():
            raise self._failure(name, f"failed with exit code {process.returncode}")
        self._running.remove((name, process))
        return output.decode()

    def pid(self, name: str) -> int:
        return dict(self._running)[name].pid

    def check(self) -> None:
        """Raises ProcessFailed if one has ended by itself."""
        for name, process in self._running:
            if process.poll() is not None:
                raise self._failure(name, f"ended by itself with exit code {process.returncode}")

    def stop(self) -> None:
        """Asks all to end, the last started first; kills what is still there, with its children, after STOP_S."""
        for _, process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_S
        for _, process in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()

    def _spawn(
        self, name: str, argv: Sequence[str], stdout: int, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as log, signals_held_back():
            target = stdout if stdout == subprocess.PIPE else log
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=target, stderr=log, env=environment, start_new_session=True
            )
            self._running.append((name, process))
        return process

    def _failure(self, name: str, what: str) -> ProcessFailed:
        path = self.logs / f"{name}.log"
        return ProcessFailed(f"{name} {what}. The end of {path}:\n{tail(path)}")


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt once; more of them while things are being
    stopped change nothing."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """A signal that arrives meanwhile takes effect afterwards: between the birth of a process and our note of it,
    an interruption would leave it running."""
    arrived: list[int] = []
    with _handled_by(lambda number, _: arrived.append(number)):
        yield
    for number in arrived:
        signal.raise_signal(number)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = [(number, signal.signal(number, handler)) for number in ENDING]
    try:
        yield
    finally:
        for number, earlier in before:
            signal.signal(number, earlier)
