"""What several commands of `head-service` take and how they answer: shared options, the document or the lines, notes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

head_name = click.option("--head", required=True, metavar="NAME", help="The head's name.")
repository_option = click.option("--repository", type=FOLDER, required=True, help="The folder of head versions.")
encoder_option = click.option("--encoder", required=True, metavar="HOST:PORT[/NAME]", help="Hop 1, and the encoder to use there.")
vectors_option = click.option("--vectors", type=FOLDER, help="Where vectors are kept.  [default: below $XDG_CACHE_HOME/twohop]")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def answer(as_json: bool, document: dict[str, Any], lines: Iterable[str]) -> None:
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        for line in lines:
            click.echo(line)


def remark(notes: Iterable[str]) -> None:
    """Beside the result, so that --json keeps them too."""
    for note in notes:
        click.echo(f"note: {note}", err=True)


def default_vectors() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "twohop" / "vectors"
