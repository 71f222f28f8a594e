"""`head-service drift`: its flags, and the client it opens."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from head_service.options import FILE, answer, encoder_option, head_name, json_option, repository_option
from twohop.cli import connection, tls_of
from twohop.command import FiniteRange, needs_extra


@click.command()
@click.option("--data", type=FILE, required=True, help="Live texts: .tsv, .csv or .jsonl with text, or .txt with a text a line.")
@head_name
@encoder_option
@click.option("--heads", metavar="HOST:PORT", help="Hop 2.  [default: a head server of our own on --repository]")
@repository_option
@click.option("--version", type=click.IntRange(1), help="Without --heads: which version.  [default: the stable one]")
@click.option("--texts", type=click.IntRange(1), default=5000, show_default=True, metavar="COUNT",
              help="Look at so many texts of the file at most, evenly spread.")
@click.option("--wait", type=FiniteRange(0), default=60.0, metavar="SECONDS", help="Time for hop 1 to become ready.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.html",
              help="Write it as one HTML page too, with plots.")
@click.option("--fail-on-drift", is_flag=True, help="Exit 1 where there is drift.")
@connection
@json_option
@needs_extra("head")
def drift(**flags: Any) -> int:
    """Compare live texts with what a version was trained on, and say whether to retrain, and why.

    Four signals: the shares of the labels given, how sure the head is, where vectors lie on the whole, and how far out they
    lie. A change counts where it is too large for chance (p < 0.001) and large enough to matter.
    """
    from head_service.drift import report
    from head_service.drift.compare import Order, compare
    from head_service.drift.page import html
    from twohop.embedding import EmbeddingClient
    from twohop.errors import Failed
    from twohop_service import durable

    if flags["heads"] and flags["version"]:
        raise click.UsageError("--version goes without --heads: what hop 2 serves is compared")
    if (page := flags["page"]) and not (folder := page.absolute().parent).is_dir():
        raise Failed(f"cannot write the page {page}: there is no folder {folder}")
    token, tls = flags["token"], tls_of(flags)
    order = Order(
        data=flags["data"],
        most=flags["texts"],
        head=flags["head"],
        repository=flags["repository"],
        heads=flags["heads"],
        version=flags["version"],
        wait_s=flags["wait"],
        token=token,
        tls=tls,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    with EmbeddingClient(flags["encoder"], token=token, tls=tls) as client:
        found = compare(order, client)
    if page:
        with durable.explained("write the page", page):
            durable.replace(page, html(found))
    answer(flags["as_json"], report.document(found), report.lines(found))
    return int(flags["fail_on_drift"] and found.verdict.drift)
