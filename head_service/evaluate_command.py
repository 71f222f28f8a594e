"""`head-service evaluate`: its flags, the clients it opens, the page it writes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from head_service.options import (
    FILE,
    FOLDER,
    answer,
    default_vectors,
    encoder_option,
    head_name,
    json_option,
    remark,
    vectors_option,
)
from twohop.cli import connection, tls_of
from twohop.command import needs_extra

if TYPE_CHECKING:
    from head_service.evaluation.evaluate import Order

ROLES = ("stable", "canary", "newest")


def candidate(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A version's number, or the name of a role."""
    if value is None or value in ROLES or (value.isascii() and value.isdigit() and int(value) > 0):
        return value
    raise click.BadParameter(f"{value!r} is no version: give its number, or {', '.join(ROLES)}")


@click.command()
@click.option("--data", type=FILE, required=True, help="Labelled rows that the head was not trained on.")
@head_name
@encoder_option
@click.option("--heads", metavar="HOST:PORT", help="Hop 2.  [default: a head server of our own on --repository]")
@click.option("--repository", type=FOLDER, help="The folder of head versions: says what each was trained on and which one is "
                                                "stable; versions that hop 2 does not serve are served from there.")
@click.option("--candidate", callback=candidate, metavar="VERSION",
              help="The version to measure: its number, canary, newest or stable.  "
                   "[default: what --heads serves, else the stable one]")
@click.option("--train", type=FILE, help="Rows to fit baselines on: scikit-learn's LogisticRegression on the same vectors and on "
                                         "tf-idf; also says how much more data would bring.")
@click.option("--dev", type=FILE, help="Rows to choose their C on.  [default: a tenth of --train]")
@click.option("--require", "requirements", multiple=True, metavar="FIGURE=BOUND",
              help="Fail unless met: accuracy, macro_f1, precision (of the rows answered), coverage (share of rows answered), at "
                   "least; calibration_error, at most; repeatable.")
@click.option("--no-worse-than", type=click.Choice(["stable"]), help="Fail where the stable version is better: see above.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.html",
              help="Write all of it as one HTML page: plots, the worst mistakes, labels to check.")
@vectors_option
@connection
@json_option
@needs_extra("head")
def evaluate(**flags: Any) -> int:
    """Measure a head through both hops, beside its baselines and the stable version.

    What hop 2 serves under the head's name is measured, or the version that --candidate names: where hop 2 does not serve
    that one, it is served from --repository for as long as this takes. Unless it is the stable version itself, the two
    are compared on the same rows.

    --no-worse-than stable fails where the stable version is right more often than chance explains: McNemar's exact test
    on the rows that only one of the two has right, two-sided, p < 0.05. It fails too where the stable version cannot be
    asked, and passes where the measured version is the stable one, or none is.
    """
    from head_service.evaluation import evaluate as evaluation
    from head_service.evaluation import report
    from head_service.evaluation.contenders import Wanted, contenders
    from head_service.evaluation.page.document import html
    from twohop.chain import TwoHop
    from twohop.embedding import EmbeddingClient
    from twohop_service import durable

    order = order_of(flags)
    security = {"token": flags["token"], "tls": tls_of(flags)}
    wanted = Wanted(flags["head"], flags["candidate"], flags["heads"], flags["repository"], **security)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    with (
        contenders(wanted) as chosen,
        TwoHop(flags["encoder"], chosen.hop_2, **security) as hops,
        EmbeddingClient(flags["encoder"], **security) as hop_1,
    ):
        found = evaluation.evaluate(order, chosen, hops, hop_1)
    if page := flags["page"]:
        with durable.explained("write the page", page):
            durable.replace(page, html(found))
    remark(found.notes)
    answer(flags["as_json"], report.document(found), report.lines(found, page))
    return 1 if found.failed else 0


def order_of(flags: dict[str, Any]) -> Order:
    """Raises click.UsageError for flags that cannot be followed, Failed for a page that could not be written in the end."""
    from head_service.evaluation import gate
    from head_service.evaluation.evaluate import Order
    from twohop.errors import Failed, InvalidInput

    if flags["dev"] and not flags["train"]:
        raise click.UsageError("--dev goes with --train")
    if not flags["heads"] and not flags["repository"]:
        raise click.UsageError("give --heads, where the head is served, or --repository, to serve it from there meanwhile")
    if flags["page"] and not (folder := flags["page"].absolute().parent).is_dir():
        raise Failed(f"cannot write the page {flags['page']}: there is no folder {folder}")
    try:
        requirements = [gate.parse(text) for text in flags["requirements"]]
    except InvalidInput as error:
        raise click.UsageError(error.message) from error
    return Order(
        data=flags["data"],
        head=flags["head"],
        train=flags["train"],
        dev=flags["dev"],
        repository=flags["repository"],
        vectors=flags["vectors"] or default_vectors(),
        requirements=requirements,
        no_worse=flags["no_worse_than"] is not None,
    )
