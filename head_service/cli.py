"""`head-service`: its commands, of which only the options are loaded before one runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import click

from head_service.gateway.command import gateway
from head_service.options import FILE, FOLDER, answer, encoder_option, head_name, json_option, remark
from head_service.version_commands import promote, prune, rollback, versions
from twohop import command
from twohop.cli import connection, tls_of
from twohop.command import needs_extra

KINDS = ("linear", "mlp", "fasttext", "attention", "hybrid", "auto")

head_service = command.program(
    "head-service", prefix="TWOHOP_HEAD", summary="Light classifier heads on a shared encoder's vectors: train, evaluate, serve."
)
for each in (versions, promote, rollback, prune, gateway):
    head_service.add_command(each)

vectors_option = click.option("--vectors", type=FOLDER, help="Where vectors are kept.  [default: below $XDG_CACHE_HOME/twohop]")


def main() -> None:
    command.run(head_service)


@head_service.command()
@click.option("--data", type=FILE, required=True, help="Labelled rows: .tsv, .csv, .jsonl, or fastText's .txt.")
@click.option("--dev", type=FILE, help="Rows to choose settings on.  [default: a tenth of --data]")
@head_name
@click.option("--kind", type=click.Choice(KINDS), default="linear", help="auto: the one that does best on validation rows.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True,
              help="What --kind auto may take to embed and to try kinds; the first is always tried to its end.")
@click.option("--class-weights", type=click.Choice(["none", "balanced"]), default="none", show_default=True,
              help="balanced: each label weighs the same in training, however few rows it has.")
@click.option("--precision", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="SHARE",
              help="Abstain from texts so that this share of the answers is right, such as 0.95.")
@click.option("--folds", type=click.IntRange(2, 100), metavar="K",
              help="For few rows: choose settings on all of them, by K heads each trained on the other folds.")
@encoder_option
@click.option("--repository", type=FOLDER, required=True, help="The folder of head versions; made where there is none.")
@click.option("--promote", is_flag=True, help="Make the new version stable; a head's first version always is.")
@click.option("--wait", type=click.FloatRange(0), default=60.0, metavar="SECONDS", help="Time for hop 1 to become ready.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Draws the rows to choose settings on, and all else.")
@vectors_option
@click.option("--serve-root", metavar="DIR",
              help="The repository's absolute path as TF-Serving sees it; remembered.  [default: the path here]")
@connection
@json_option
@needs_extra("head")
def train(**flags: Any) -> None:
    """Train a head on labelled texts and publish it as a new version."""
    if flags["folds"] and flags["dev"]:
        raise click.UsageError("--folds takes each row for validation once; leave --dev out")
    if flags["serve_root"] is not None and not flags["serve_root"].startswith("/"):
        raise click.UsageError(f"--serve-root {flags['serve_root']} must be an absolute path: TF-Serving takes no other")
    from head_service.training import report
    from head_service.training import train as training
    from head_service.training.attempts import Choices
    from twohop.embedding import EmbeddingClient

    order = training.Order(
        data=flags["data"],
        dev=flags["dev"],
        head=flags["head"],
        kind=flags["kind"],
        repository=flags["repository"],
        vectors=flags["vectors"] or default_vectors(),
        wait_s=flags["wait"],
        minutes=flags["minutes"],
        choices=Choices(flags["seed"], flags["folds"] or 0, flags["class_weights"], flags["precision"]),
        promote=flags["promote"],
        serve_root=flags["serve_root"],
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    with EmbeddingClient(flags["encoder"], token=flags["token"], tls=tls_of(flags)) as client:
        outcome = training.train(order, client)
    remark(outcome.notes)
    answer(flags["as_json"], report.document(outcome), report.lines(outcome, order, flags["encoder"]))


@head_service.command()
@click.option("--data", type=FILE, required=True, help="Labelled rows that the head was not trained on.")
@head_name
@encoder_option
@click.option("--heads", required=True, metavar="HOST:PORT", help="Hop 2.")
@click.option("--train", type=FILE, help="Rows to fit scikit-learn's LogisticRegression on, on the same vectors, to compare.")
@click.option("--dev", type=FILE, help="Rows to choose its C on.  [default: a tenth of --train]")
@click.option("--repository", type=FOLDER, help="Tells whether the head was trained on --data itself.")
@click.option("--require", "requirements", multiple=True, metavar="FIGURE=BOUND",
              help="Fail unless met: accuracy, macro_f1 (at least), calibration_error (at most); repeatable.")
@vectors_option
@connection
@json_option
@needs_extra("head")
def evaluate(**flags: Any) -> int:
    """Measure a served head through both hops, beside its baselines."""
    from head_service.evaluation import evaluate as evaluation
    from head_service.evaluation import gate, report
    from twohop.chain import TwoHop
    from twohop.embedding import EmbeddingClient
    from twohop.errors import InvalidInput

    if flags["dev"] and not flags["train"]:
        raise click.UsageError("--dev goes with --train")
    try:
        requirements = [gate.parse(text) for text in flags["requirements"]]
    except InvalidInput as error:
        raise click.UsageError(error.message) from error
    order = evaluation.Order(
        data=flags["data"],
        head=flags["head"],
        train=flags["train"],
        dev=flags["dev"],
        repository=flags["repository"],
        vectors=flags["vectors"] or default_vectors(),
        requirements=requirements,
    )
    security = {"token": flags["token"], "tls": tls_of(flags)}
    with TwoHop(flags["encoder"], flags["heads"], **security) as hops, EmbeddingClient(flags["encoder"], **security) as hop_1:
        found = evaluation.evaluate(order, hops, hop_1)
    remark(found.notes)
    answer(flags["as_json"], report.document(found), report.lines(found))
    return 1 if found.failed else 0


class RawCommand(click.Command):
    """A command whose arguments are TF-Serving's affair: click neither reads nor reorders them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return args


@head_service.command(cls=RawCommand)
@click.pass_context
@needs_extra("head")
def serve(context: click.Context) -> int:
    """Serve heads with TF-Serving, or the embedded server that behaves the same. Flags are TF-Serving's: serve --help."""
    from head_service.model_server.cli import main as model_server

    return model_server(context.args)


def default_vectors() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "twohop" / "vectors"


if __name__ == "__main__":
    main()
