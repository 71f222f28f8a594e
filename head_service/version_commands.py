"""`head-service versions | promote | rollback | prune`: the commands about a repository, which need no service to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from head_service.options import answer, head_name, json_option, repository_option
from twohop.command import needs_extra

canary_option = click.option("--canary", is_flag=True, help="The canary role: what model NAME-canary serves.")


@click.command()
@repository_option
@head_name
@click.option("--version", type=click.IntRange(1), help="Only this one.")
@json_option
def versions(repository: Path, head: str, version: int | None, as_json: bool) -> None:
    """List the versions of a head, newest first: kind, metrics, roles, age."""
    from head_service.repository import report
    from head_service.repository import versions as reading

    found = reading.versions(repository, head)
    if version is not None:
        found = [reading.numbered(found, head, version)]
    back = reading.before_stable(repository, head)
    answer(as_json, report.versions_document(head, found, back), report.versions_lines(found, back))


@click.command()
@repository_option
@head_name
@click.option("--version", type=click.IntRange(1), help="The version.  [default: the newest]")
@canary_option
@json_option
@needs_extra("head")
def promote(repository: Path, head: str, version: int | None, canary: bool, as_json: bool) -> None:
    """Make a version stable: what head servers serve. With --canary, beside the stable one as NAME-canary."""
    from head_service.repository import roles

    moved = roles.promote_canary(repository, head, version) if canary else roles.promote(repository, head, version)
    tell("promote", repository, head, moved, as_json)


@click.command()
@repository_option
@head_name
@click.option("--version", type=click.IntRange(1), help="Go back as far as this one.  [default: the one before]")
@canary_option
@json_option
@needs_extra("head")
def rollback(repository: Path, head: str, version: int | None, canary: bool, as_json: bool) -> None:
    """Make the version stable again that was stable before. With --canary, end the canary; stable stays."""
    from head_service.repository import roles

    if canary and version is not None:
        raise click.UsageError("--version does not go with --canary: there is one canary at most, and it ends")
    moved = roles.end_canary(repository, head) if canary else roles.rollback(repository, head, version)
    tell("rollback", repository, head, moved, as_json)


@click.command()
@repository_option
@head_name
@click.option("--keep", type=click.IntRange(0), required=True, metavar="COUNT",
              help="How many of the newest versions stay, beside those that serve or that rollback needs.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@json_option
@needs_extra("head")
def prune(repository: Path, head: str, keep: int, dry_run: bool, as_json: bool) -> None:
    """Remove old versions of a head. What serves stays: stable, canary, whatever models.config names, and the version that
    rollback goes to."""
    from head_service.repository import prune as pruning
    from head_service.repository import report

    pruned = pruning.prune(repository, head, keep, dry_run=dry_run)
    answer(as_json, report.pruned_document(head, pruned), report.pruned_lines(head, pruned))


def tell(command: str, repository: Path, head: str, move: Any, as_json: bool) -> None:
    from head_service.repository import report
    from head_service.repository import versions as reading

    found = reading.versions(repository, head)
    document = report.moved_document(command, head, move, found, reading.before_stable(repository, head))
    answer(as_json, document, report.moved_lines(head, move))
