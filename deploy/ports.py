"""Free ports, and who holds a taken one."""

from __future__ import annotations

import contextlib
import socket

import psutil

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that nobody held just now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now (connections of an earlier one that are closing do not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True


def holder(port: int) -> psutil.Process | None:
    """The process that listens on `port`, where the system lets us see it."""
    try:
        for each in psutil.net_connections(kind="tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return psutil.Process(each.pid)
    except psutil.Error:
        return None
    return None


def describe(process: psutil.Process | None) -> str:
    if process is None:
        return "a process that this user cannot see"
    try:
        return f"process {process.pid}: {' '.join(' '.join(process.cmdline()).split())[:100]}"
    except psutil.Error:
        return f"process {process.pid}"
