"""`twohop classify|embed|status`: the client from a shell. numpy and gRPC are loaded by the commands, not by `--help`."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from twohop import command
from twohop.errors import TwoHopError
from twohop.lines import Arguments, Lines, open_file

if TYPE_CHECKING:
    from twohop.types import TLS, Classifications, Embeddings

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SPOOL_BYTES = 8 * 1024 * 1024

Decorator = Callable[[Any], Any]

twohop = command.program("twohop", prefix="TWOHOP", summary="A text becomes a label in two network hops.")


def options(*decorators: Decorator) -> Decorator:
    def decorate(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def embedding_option(*, required: bool) -> Decorator:
    return click.option("--embedding", multiple=True, required=required, metavar="HOST:PORT[/NAME]",
                        help="The embedding service; several for several replicas.")


def heads_option(*, required: bool) -> Decorator:
    return click.option("--heads", multiple=True, required=required, metavar="HOST:PORT",
                        help="The head service; several for several replicas.")


connection = options(
    click.option("--token", metavar="KEY", help="The bearer key; better given in the environment, where ps does not show it."),
    click.option("--tls", is_flag=True, help="Speak TLS, trusting the system's authorities."),
    click.option("--tls-ca", type=FILE, help="Speak TLS, trusting this authority, PEM."),
    click.option("--tls-cert", type=FILE, help="Speak TLS and show this certificate, PEM."),
    click.option("--tls-key", type=FILE, help="The private key of --tls-cert, PEM."),
    click.option("--tls-server-name", metavar="NAME", help="The name in the server's certificate, if not the address's."),
)
as_json = click.option("--json", is_flag=True, help="JSON lines on stdout, printed at the end: a failure leaves stdout empty.")
texts_from = options(
    click.argument("texts", nargs=-1, metavar="[TEXT]..."),
    click.option("--file", type=FILE, help="Read the texts from this file, one a line, UTF-8."),
)
timeout = click.option("--timeout", type=command.FiniteRange(0, min_open=True), default=10.0, metavar="SECONDS",
                       help="Time for one request over all hops; while a service is down it is asked again for so long.")


@twohop.command()
@embedding_option(required=True)
@heads_option(required=True)
@click.option("--head", multiple=True, required=True, metavar="NAME", help="The head to ask; repeatable, one encode for all.")
@click.option("--all-scores", is_flag=True, help="The score of every label.")
@options(timeout, connection, as_json, texts_from)
def classify(**flags: Any) -> None:
    """Label texts: arguments, a file, or standard input, one a line."""
    from twohop.chain import TwoHop
    from twohop.table import ClassificationTable

    names, table = list(dict.fromkeys(flags["head"])), ClassificationTable()
    with TwoHop(
        flags["embedding"], flags["heads"], timeout_s=flags["timeout"], token=flags["token"], tls=tls_of(flags)
    ) as hops:

        def answer(texts: Sequence[str]) -> Iterator[str]:
            answers = all_answered(hops.classify_many(texts, names, all_scores=flags["all_scores"]))
            return classification_lines(texts, answers) if flags["json"] else table.rows(texts, answers)

        print_answers(flags, answer)
    if not flags["json"]:
        click.echo(table.summary(), err=True)


@twohop.command()
@embedding_option(required=True)
@options(timeout, connection, as_json, texts_from)
def embed(**flags: Any) -> None:
    """The vectors of texts: arguments, a file, or standard input, one a line. A token encoder gives a list of vectors."""
    from twohop.embedding import EmbeddingClient
    from twohop.table import embedding_rows

    with EmbeddingClient(
        flags["embedding"], timeout_s=flags["timeout"], token=flags["token"], tls=tls_of(flags)
    ) as client:

        encoder = client.encoders().named(client.encoder)

        def answer(texts: Sequence[str]) -> Iterator[str]:
            found = client.embed(texts, expect_fingerprint=encoder.fingerprint)
            return embedding_lines(texts, found, encoder.per_token) if flags["json"] else embedding_rows(texts, found)

        print_answers(flags, answer)


@twohop.command()
@embedding_option(required=False)
@heads_option(required=False)
@click.option("--head", multiple=True, metavar="NAME", help="A head that must be served; repeatable (TF-Serving cannot list).")
@click.option("--wait", type=command.FiniteRange(0), default=0.0, metavar="SECONDS", help="Look until all is ready, for so long.")
@click.option("--timeout", type=command.FiniteRange(0, min_open=True), default=2.0, metavar="SECONDS",
              help="Time for one question.")
@options(connection)
@click.option("--json", is_flag=True, help="One JSON document on stdout.")
def status(**flags: Any) -> int:
    """Whether the services are ready; exit 1 if not."""
    if not (flags["embedding"] or flags["heads"]):
        raise click.UsageError("give --embedding, --heads, or both")
    if flags["head"] and not flags["heads"]:
        raise click.UsageError("--head needs --heads")
    from twohop.embedding import EmbeddingClient
    from twohop.heads import HeadClient
    from twohop.readiness import look_until_ready
    from twohop.table import status_rows

    how: dict[str, Any] = {"timeout_s": flags["timeout"], "token": flags["token"], "tls": tls_of(flags)}
    embedding = EmbeddingClient(flags["embedding"], **how) if flags["embedding"] else None
    heads = HeadClient(flags["heads"], **how) if flags["heads"] else None
    found = look_until_ready(embedding, heads, flags["head"], flags["wait"])
    for row in [json.dumps(found, ensure_ascii=False)] if flags["json"] else status_rows(found):
        click.echo(row)
    return 0 if found["ready"] else 1


def main() -> None:
    notes = logging.StreamHandler()
    notes.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("twohop").addHandler(notes)
    logging.getLogger("twohop").setLevel(logging.INFO)
    command.run(twohop)


def tls_of(flags: Mapping[str, Any]) -> TLS | None:
    from twohop.types import TLS

    if not (flags["tls"] or any(flags[name] for name in ("tls_ca", "tls_cert", "tls_key", "tls_server_name"))):
        return None
    return TLS(flags["tls_ca"], flags["tls_cert"], flags["tls_key"], flags["tls_server_name"])


def all_answered(answers: Mapping[str, Classifications | TwoHopError]) -> dict[str, Classifications]:
    """Raises the first head's error."""
    for answer in answers.values():
        if isinstance(answer, TwoHopError):
            raise answer
    return {head: answer for head, answer in answers.items() if not isinstance(answer, TwoHopError)}


def print_answers(flags: Mapping[str, Any], answer: Callable[[Sequence[str]], Iterator[str]]) -> None:
    """The answers to all texts that the command was given, in pieces as they can be read."""
    with source(flags) as texts, output(held_back=flags["json"]) as out:
        done = 0
        for chunk in texts.chunks():
            try:
                rows = list(answer(chunk.texts))
            except TwoHopError as error:
                raise chunk.locate(error) from error
            out.writelines(f"{row}\n".encode() for row in rows)
            out.flush()
            done += len(chunk.texts)
            if flags["json"] and not flags["texts"] and sys.stderr.isatty():
                click.echo(f"\r{done} texts", err=True, nl=False)
    if texts.skipped:
        click.echo(f"blank lines skipped: {texts.skipped}", err=True)


@contextmanager
def source(flags: Mapping[str, Any]) -> Iterator[Arguments | Lines]:
    if flags["texts"] and flags["file"]:
        raise click.UsageError("give texts as arguments or by --file, not both")
    if flags["texts"]:
        yield Arguments(flags["texts"])
    elif flags["file"]:
        with open_file(flags["file"]) as stream:
            yield Lines(str(flags["file"]), stream)
    else:
        if sys.stdin.isatty():
            click.echo("reading texts from standard input, one a line; Ctrl-D ends them", err=True)
        yield Lines("standard input", cast(BufferedReader, sys.stdin.buffer))


@contextmanager
def output(*, held_back: bool) -> Iterator[IO[bytes]]:
    """Standard output, for UTF-8 whatever the locale; `held_back`: only once all went well."""
    if not held_back:
        yield sys.stdout.buffer
        return
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        yield spool
        spool.seek(0)
        shutil.copyfileobj(spool, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def classification_lines(texts: Sequence[str], answers: Mapping[str, Classifications]) -> Iterator[str]:
    for index, text in enumerate(texts):
        for head, found in answers.items():
            answer = found[index]
            yield json.dumps({
                "text": text,
                "head": head,
                "version": found.version,
                "label": answer.label,
                "score": answer.score,
                "scores": answer.scores,
                "fingerprint": found.fingerprint,
                "tokens": answer.tokens,
                "truncated": answer.truncated,
                "timings_ms": {name: round(value, 3) for name, value in found.timings_ms.items()},
            }, ensure_ascii=False)


def embedding_lines(texts: Sequence[str], found: Embeddings, per_token: bool) -> Iterator[str]:
    for index, (text, truncated) in enumerate(zip(texts, found.truncated, strict=True)):
        vectors = found.of(index)
        yield json.dumps({
            "text": text,
            "vector": (vectors if per_token else vectors[0]).tolist(),
            "fingerprint": found.fingerprint,
            "numerics": found.numerics,
            "tokens": found.tokens[index],
            "truncated": truncated,
        }, ensure_ascii=False)
