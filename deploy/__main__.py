"""`make deploy`, `status`, `promote`, `rollback`, `undeploy`: one command each, for the target that was chosen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from deploy import local, services
from deploy.folder_lock import FolderInUse
from deploy.local import DeployFailed, Deployment
from deploy.processes import ended_by_signals
from deploy.services import Ports
from deploy.status_table import show_status
from twohop.errors import TwoHopError

Command = TypeVar("Command", bound=Callable[..., Any])

OTHER_TARGETS = """\
there is no target '{target}'. What exists:
  local   the services on this machine, supervised: make deploy
  images  two machines' worth of containers: docker compose -f deploy/compose.yaml (docs/operations.md)"""

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), default=local.FOLDER, help="Logs, pids, settings, heads."
)
repository_option = click.option(
    "--repository", type=click.Path(path_type=Path), envvar="REPOSITORY", default=local.FOLDER / "repository", help="Of heads."
)


def port_option(flag: str, default: int) -> Callable[[Command], Command]:
    kind = click.IntRange(1, 65535)
    return click.option(flag, type=kind, envvar=flag.strip("-").replace("-", "_").upper(), default=default)


def reports_failure(function: Command) -> Command:
    """What went wrong goes to stderr in plain words; exit 1."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with ended_by_signals():
                return function(*args, **kwargs)
        except (DeployFailed, FolderInUse, TwoHopError, OSError) as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)

    return call  # type: ignore[return-value]


@click.group(context_settings={"show_default": True})
@click.option("--target", envvar="DEPLOY_TARGET", default="local")
def main(target: str) -> None:
    """Runs the services somewhere. The one target built in is `local`."""
    if target != "local":
        click.echo("error: " + OTHER_TARGETS.format(target=target), err=True)
        sys.exit(2)


@main.command()
@folder_option
@repository_option
@port_option("--embedding-port", Ports.embedding)
@port_option("--embedding-http-port", Ports.embedding_http)
@port_option("--heads-port", Ports.heads)
@port_option("--heads-rest-port", Ports.heads_rest)
@port_option("--gateway-port", Ports.gateway)
@reports_failure
def up(
    folder: Path, repository: Path, embedding_port: int, embedding_http_port: int, heads_port: int, heads_rest_port: int,
    gateway_port: int,
) -> None:
    """Start the services, or bring them up to date; returns when all are ready."""
    ports = Ports(embedding_port, embedding_http_port, heads_port, heads_rest_port, gateway_port)
    if len(set(ports.as_json().values())) < len(ports.as_json()):
        raise DeployFailed(f"each port must be another one: {ports}")
    deployment = Deployment(folder, ports, repository)
    local.up(deployment, click.echo)
    show_status(deployment)
    click.echo(f"\nTry it: http://127.0.0.1:{gateway_port}/docs   logs: {folder}   stop with: make undeploy")


@main.command()
@folder_option
@reports_failure
def status(folder: Path) -> None:
    """Every process and every head; exit 1 unless all is ready."""
    deployment = Deployment.recorded(folder)
    if deployment is None:
        raise DeployFailed(f"nothing was deployed in {folder}; start with: make deploy")
    sys.exit(0 if show_status(deployment) else 1)


@main.command()
@folder_option
@reports_failure
def down(folder: Path) -> None:
    """Stop everything; safe when nothing runs."""
    local.down(folder, click.echo)


@main.command()
@repository_option
@click.option("--head", envvar="HEAD_NAME", default="")
@click.option("--version", envvar="HEAD_VERSION", default="")
@reports_failure
def promote(repository: Path, head: str, version: str) -> None:
    """Make a version of a head the stable one."""
    if not head or not version:
        raise DeployFailed("which one? make promote HEAD=sentiment VERSION=2")
    sys.exit(head_service("promote", "--repository", str(repository), "--head", head, "--version", version))


@main.command()
@repository_option
@click.option("--head", envvar="HEAD_NAME", default="")
@click.option("--version", envvar="HEAD_VERSION", default="")
@reports_failure
def rollback(repository: Path, head: str, version: str) -> None:
    """Take a head back to the version before."""
    if not head:
        raise DeployFailed("which one? make rollback HEAD=sentiment")
    chosen = ["--version", version] if version else []
    sys.exit(head_service("rollback", "--repository", str(repository), "--head", head, *chosen))


def head_service(*arguments: str) -> int:
    return subprocess.call(services.command("head-service", arguments), stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main(prog_name="python -m deploy")
