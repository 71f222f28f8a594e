"""`head-service`: its commands, of which only the options are loaded before one runs."""

from __future__ import annotations

import signal
from typing import Any

import click

from head_service.drift_command import drift
from head_service.evaluate_command import evaluate
from head_service.gateway.command import gateway
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
from head_service.version_commands import promote, prune, rollback, versions
from twohop import command
from twohop.cli import connection, tls_of
from twohop.command import FiniteRange, needs_extra

KINDS = ("linear", "mlp", "fasttext", "attention", "hybrid", "auto")

head_service = command.program(
    "head-service", prefix="TWOHOP_HEAD", summary="Light classifier heads on a shared encoder's vectors: train, evaluate, serve."
)
for each in (evaluate, versions, promote, rollback, prune, drift, gateway):
    head_service.add_command(each)


def main() -> None:
    command.run(head_service)


@head_service.command()
@click.option("--data", type=FILE, required=True, help="Labelled rows: .tsv, .csv, .jsonl, or fastText's .txt.")
@click.option("--dev", type=FILE, help="Rows to choose settings on.  [default: a tenth of --data]")
@head_name
@click.option("--kind", type=click.Choice(KINDS), default="linear", help="auto: the one that does best on validation rows.")
@click.option("--minutes", type=FiniteRange(0, min_open=True), default=10.0, show_default=True,
              help="What --kind auto may take to embed and to try kinds; the first is always tried to its end.")
@click.option("--class-weights", type=click.Choice(["none", "balanced"]), default="none", show_default=True,
              help="balanced: each label weighs the same in training, however few rows it has.")
@click.option("--precision", type=FiniteRange(0, 1, min_open=True, max_open=True), metavar="SHARE",
              help="Abstain from texts so that this share of the answers is right, such as 0.95.")
@click.option("--folds", type=click.IntRange(2, 100), metavar="K",
              help="For few rows: choose settings on all of them, by K heads each trained on the other folds.")
@encoder_option
@click.option("--repository", type=FOLDER, required=True, help="The folder of head versions; made where there is none.")
@click.option("--promote", is_flag=True, help="Make the new version stable; a head's first version always is.")
@click.option("--wait", type=FiniteRange(0), default=60.0, metavar="SECONDS", help="Time for hop 1 to become ready.")
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
        minutes=flags["minutes"],
        choices=Choices(flags["seed"], flags["folds"] or 0, flags["class_weights"], flags["precision"]),
        repository=flags["repository"],
        vectors=flags["vectors"] or default_vectors(),
        wait_s=flags["wait"],
        promote=flags["promote"],
        serve_root=flags["serve_root"],
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    with EmbeddingClient(flags["encoder"], token=flags["token"], tls=tls_of(flags)) as client:
        outcome = training.train(order, client)
    remark(outcome.notes)
    answer(flags["as_json"], report.document(outcome), report.lines(outcome, order, flags["encoder"]))


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


if __name__ == "__main__":
    main()
