"""One measurement at a time in a folder; whatever ends it early is a sentence and an exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from deploy.development.pip_progress import SetupFailed
from deploy.folder_lock import FolderInUse, only_one
from deploy.processes import ProcessFailed, ended_by_signals
from twohop.errors import TwoHopError


@contextmanager
def measuring(folder: Path) -> Iterator[None]:
    """Makes the folder. Exits 1 for what fails, 130 for Ctrl-C and SIGTERM; processes of the block are stopped by then."""
    try:
        with ended_by_signals(), only_one(folder):
            yield
    except (ProcessFailed, SetupFailed, FolderInUse, TwoHopError, OSError, subprocess.CalledProcessError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("interrupted; everything is stopped", err=True)
        sys.exit(130)
