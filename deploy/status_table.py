"""`make status`: every process with its state, and every head with its version, as the two hops tell it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.local import Deployment
from deploy.ports import LOOPBACK
from deploy.services import Service, command, is_ready
from deploy.supervision import State, Supervisor

STATUS_S = 30


def show_status(deployment: Deployment) -> bool:
    """Returns whether every process is ready and every head is served."""
    states = {each.name: each for each in Supervisor(deployment.folder.resolve()).states()}
    console = Console(width=None if Console().is_terminal else 110)
    if not states:
        console.print("nothing is running; start it with: make deploy")
        return False
    ready = {each.name: is_ready(each) for each in deployment.services()}
    console.print(process_table(deployment.services(), states, ready))
    report = two_hops(deployment)
    heads = report.get("heads", {}).get("heads", [])
    if heads:
        console.print(head_table(heads))
    elif "error" in report:
        console.print(f"twohop status: {report['error']}", markup=False)
    return all(ready.values()) and bool(report.get("ready"))


def process_table(services: list[Service], states: dict[str, State], ready: dict[str, bool]) -> Table:
    table = Table(header_style="bold")
    for column in ("process", "state", "pid", "uptime", "ports", "ready"):
        table.add_column(column)
    for service in services:
        state = states.get(service.name)
        table.add_row(
            service.name,
            state.state if state else "not started",
            str(state.pid) if state and state.pid else "-",
            uptime(state.uptime_s) if state and state.uptime_s is not None else "-",
            ", ".join(f"{port} {what}" for what, port in service.ports),
            "[green]yes[/]" if ready[service.name] else "[red]no[/]",
        )
    return table


def head_table(heads: list[dict[str, Any]]) -> Table:
    table = Table(header_style="bold")
    for column in ("head", "version", "state", "encoder", "encoder is served"):
        table.add_column(column)
    for each in heads:
        matches = {True: "[green]yes[/]", False: "[red]no[/]", None: "-"}[each["matches"]]
        version, encoder = str(each.get("version") or "-"), each.get("fingerprint") or "-"
        table.add_row(each["name"], version, str(each.get("state")), encoder, matches)
    return table


def two_hops(deployment: Deployment) -> dict[str, Any]:
    """What `twohop status` says; its error text under "error" where it says nothing."""
    addresses = [f"--embedding={LOOPBACK}:{deployment.ports.embedding}", f"--heads={LOOPBACK}:{deployment.ports.heads}"]
    names = [f"--head={name}" for name in deployment.heads()]
    argv = command("twohop", ["status", *addresses, *names, "--json"])
    try:
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=STATUS_S)
        found: dict[str, Any] = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired) as error:
        return {"error": str(error) if isinstance(error, subprocess.TimeoutExpired) else done.stderr.strip()}
    return found


def uptime(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
