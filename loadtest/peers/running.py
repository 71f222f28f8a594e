"""Contenders as processes: started in turn, at rest (SIGSTOP) while another is measured, so that none takes its cores."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.development.pip_progress import SetupFailed
from deploy.processes import Processes, ProcessFailed
from loadtest.measure import family
from loadtest.peers.contenders import Contender
from twohop import TwoHopError

READY_TIMEOUT_S = 300.0
NOT_HAD = (SetupFailed, ProcessFailed, TwoHopError, OSError, subprocess.CalledProcessError)
FAILED = (OSError, EOFError, http.client.HTTPException, TwoHopError, psutil.Error)       # while it is asked


@dataclass(frozen=True)
class Running:
    """`ready_s`: from the start of its process until it answers that it is ready."""

    contender: Contender
    pid: int
    ready_s: float


def rehearse(
    chosen: Mapping[str, Callable[[Path], Contender]], folder: Path, on_start: Callable[[str], None]
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Starts and stops each once, so that environments, exports and the disk cache are there when starts are timed. Those that
    started, and why the others did not."""
    found, absent = {}, {}
    for name, make in chosen.items():
        on_start(name)
        try:
            contender = make(folder)
            with Processes(folder / "logs") as processes:
                processes.start(contender.service, contender.environment)
                processes.wait_ready(contender.service, READY_TIMEOUT_S)
            found[name] = contender
        except NOT_HAD as error:
            absent[name] = str(error)
    return found, absent


@contextlib.contextmanager
def all_running(
    contenders: Mapping[str, Contender], folder: Path, on_start: Callable[[str], None]
) -> Iterator[tuple[dict[str, Running], dict[str, str]]]:
    """All at rest, and why others are not there; awake again when the block ends, because what is at rest cannot end."""
    with Processes(folder / "logs") as processes, contextlib.ExitStack() as resting:
        running, absent = {}, {}
        for name, contender in contenders.items():
            on_start(name)
            began = time.perf_counter()
            try:
                pid = processes.start(contender.service, contender.environment)
                processes.wait_ready(contender.service, READY_TIMEOUT_S)
            except NOT_HAD as error:
                absent[name] = str(error)
                continue
            running[name] = Running(contender, pid, time.perf_counter() - began)
            resting.callback(wake, pid)
            rest(pid)
        yield running, absent


@contextlib.contextmanager
def awake(pid: int) -> Iterator[None]:
    wake(pid)
    try:
        yield
    finally:
        rest(pid)


def rest(pid: int) -> None:
    """The parent first, so that it does not take a child at rest for one that hangs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in family(pid):
            each.suspend()


def wake(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in reversed(family(pid)):
            each.resume()
