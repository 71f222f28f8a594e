"""What `bench` writes: its document or table on stdout, how it goes on stderr, a picture where one is wanted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import click

from embedding_service.model.encoder import ENGINES, PRECISIONS
from embedding_service.tools.bench.bench import Plan, bench
from embedding_service.tools.bench.table import table
from twohop.errors import Failed


def run(plan: Plan, *, plot: Path | None, as_json: bool) -> None:
    """Everything that could spoil the picture is checked first, not after minutes of measuring.

    Raises click.UsageError for an engine or a precision nobody knows, Failed for what cannot be done here.
    """
    _known("engine", plan.engines, ENGINES)
    _known("precision", plan.precisions, PRECISIONS[1:])
    if plot is not None:
        _check_plot(plot)
    report = bench(plan, lambda line: click.echo(line, err=True))
    if plot is not None:
        from embedding_service.tools.bench.picture import draw

        try:
            draw(report, plot)
        except OSError as error:
            raise Failed(f"cannot write {plot}: {error}", detail={"plot": str(plot)}) from error
    click.echo(json.dumps(report) if as_json else table(report))


def _known(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise click.UsageError(f"unknown {what} {name!r}; there are {', '.join(known)}")


def _check_plot(plot: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise Failed("--plot needs matplotlib: pip install 'twohop[loadtest]'", detail={"extra": "loadtest"})
    if not plot.absolute().parent.is_dir():
        raise Failed(f"cannot write {plot}: there is no folder {plot.absolute().parent}", detail={"plot": str(plot)})
