"""TARGET=local: the services on this machine under supervisord; everything it writes is in one folder.

Deploying is declarative: it makes what runs agree with the settings given, the TWOHOP_ environment and the code of
this checkout. What agrees already is left alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy import sample_heads, services
from deploy.folder_lock import only_one
from deploy.ports import LOOPBACK, describe, holder, is_free
from deploy.processes import tail
from deploy.services import Ports, Service, is_ready
from deploy.supervision import Program, Supervisor, configuration
from head_service.repository import serving_config

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "run" / "local"
READY_S = 180.0
PATIENCE_S = 10.0                       # how long a process may keep failing at start before we say so
OURS = ("TWOHOP_EMBEDDING_", "TWOHOP_GATEWAY_")
Say = Callable[[str], None]


class DeployFailed(Exception):
    """The services are not as asked; the message names the reason and the remedy."""


@dataclass(frozen=True)
class Deployment:
    """What was asked for. Kept beside the logs, so that `status` knows it."""

    folder: Path = FOLDER
    ports: Ports = field(default_factory=Ports)
    repository: Path = FOLDER / "repository"

    @classmethod
    def recorded(cls, folder: Path) -> Deployment | None:
        """What the last `up` in this folder asked for; None if there was none."""
        try:
            kept = json.loads((folder / "deployment.json").read_text())
            return cls(folder, Ports(**kept["ports"]), Path(kept["repository"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def record(self) -> None:
        kept = {"ports": self.ports.as_json(), "repository": str(self.repository)}
        (self.folder / "deployment.json").write_text(json.dumps(kept, indent=1) + "\n")

    def services(self) -> list[Service]:
        """In the order in which they depend on one another."""
        first = services.embedding(self.ports)
        return [first, services.heads(self.ports, self.repository, self.heads()), services.gateway(self.ports, self.repository)]

    def heads(self) -> list[str]:
        """Those that models.config serves. Raises Failed where it cannot be understood."""
        return sorted(head for head, roles in serving_config.read(self.repository).items() if roles.stable is not None)


def up(deployment: Deployment, say: Say) -> None:
    """Starts what is missing, changes what differs, trains the sample heads into an empty repository, and returns
    once every process is ready. Raises DeployFailed, FolderInUse."""
    deployment = replace(deployment, folder=deployment.folder.resolve(), repository=deployment.repository.resolve())
    with only_one(deployment.folder):
        supervisor = Supervisor(deployment.folder)
        if not supervisor.is_running():
            supervisor.stop()
        check_ports(deployment, supervisor)
        deployment.record()
        lacking = sample_heads.to_train(deployment.repository)
        if lacking:
            say("The repository holds no heads yet: hop 1 starts first, then the sample heads are trained through it.")
            bring(deployment, supervisor, deployment.services()[:1], say)
            train(deployment, lacking, say)
        bring(deployment, supervisor, deployment.services(), say)


def check_ports(deployment: Deployment, supervisor: Supervisor) -> None:
    """Raises DeployFailed for a port that a stranger holds, naming both."""
    for service in deployment.services():
        for what, port in service.ports:
            if is_free(port):
                continue
            found = holder(port)
            if found is None or not supervisor.owns(found):
                name = next(name for name, value in deployment.ports.as_json().items() if value == port)
                raise DeployFailed(
                    f"port {port}, wanted by {service.name} ({what}), is taken by {describe(found)}. "
                    f"End that process, or choose another port: make deploy {name.upper()}_PORT=…"
                )


def bring(deployment: Deployment, supervisor: Supervisor, wanted: list[Service], say: Say) -> None:
    """Makes the supervisor run exactly these, and waits until all are ready."""
    programs = [Program(each.name, each.argv) for each in wanted]
    text = configuration(deployment.folder, ROOT, programs, environment())
    (deployment.folder / "supervisord.conf").write_text(text)
    if supervisor.is_running():
        started = supervisor.apply()
    else:
        supervisor.start({name: value for name, value in os.environ.items() if not name.startswith("TWOHOP_")})
        started = [each.name for each in wanted]
    say(f"started: {', '.join(started)}" if started else "nothing to change: everything runs as asked")
    wait_ready(deployment, supervisor, wanted)


def environment() -> dict[str, str]:
    """The services' settings of this shell, and the code they run: a change of either restarts them."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    for name, value in chosen.items():
        if '"' in value:
            raise DeployFailed(f"{name} holds a double quote, which supervisord's file cannot; choose a value without one")
    return {**chosen, "DEPLOYED_SOURCE": source_digest()}


def source_digest() -> str:
    """Changes with every line of the services' code."""
    digest = hashlib.sha256()
    for package in ("shared", "embedding_service", "head_service"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def wait_ready(deployment: Deployment, supervisor: Supervisor, wanted: Iterable[Service]) -> None:
    """Raises DeployFailed, with the end of the log, for one that keeps failing or takes too long."""
    deadline = time.monotonic() + READY_S
    failing_since: dict[str, float] = {}
    for service in wanted:
        while not is_ready(service):
            now, state = time.monotonic(), state_of(supervisor, service)
            if state == "RUNNING":
                failing_since.pop(service.name, None)
            elif state in ("BACKOFF", "EXITED"):
                failing_since.setdefault(service.name, now)         # between two tries it is STARTING, which proves nothing
            failing_s = now - failing_since.get(service.name, now)
            if state == "FATAL" or failing_s > PATIENCE_S or now > deadline:
                log = deployment.folder / f"{service.name}.log"
                goes_on = "make deploy starts it again" if state == "FATAL" else "the supervisor goes on trying for some minutes"
                raise DeployFailed(f"{service.name} is not ready ({state}); {goes_on}. The end of {log}:\n{tail(log)}")
            time.sleep(0.2)


def state_of(supervisor: Supervisor, service: Service) -> str:
    return next((each.state for each in supervisor.states() if each.name == service.name), "not running")


def train(deployment: Deployment, heads: list[str], say: Say) -> None:
    for head in heads:
        say(f"training the sample head '{head}'")
        encoder = f"{LOOPBACK}:{deployment.ports.embedding}"
        arguments = [*sample_heads.train_arguments(head, encoder, deployment.repository), "--json"]
        argv = services.command("head-service", arguments)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise DeployFailed(f"training the sample head '{head}' failed; what it said is above")
        report = json.loads(done.stdout)
        say(f"  version {report['version']}, accuracy {report['validation']['accuracy']:.1%} on its validation rows")


def down(folder: Path, say: Say) -> None:
    """Stops everything that runs in this folder; heads and logs stay. Raises FolderInUse."""
    supervisor = Supervisor(folder.resolve())
    if not folder.exists():
        say("nothing was deployed here")
        return
    with only_one(folder):
        running = [each.name for each in supervisor.states()]
        supervisor.stop()
    say(f"stopped: {', '.join(running)}" if running else "nothing was running")
