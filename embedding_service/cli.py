"""`embedding-service`: serve, fingerprint, bench, encode and convert. Flags of serve are mirrored as TWOHOP_EMBEDDING_*."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from twohop.command import FiniteRange, needs_extra, program, run

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PORT = click.IntRange(0, 65535)
MEBIBYTE = 1024 * 1024

cli = program("embedding-service", prefix="TWOHOP_EMBEDDING", summary="Hop 1: texts in, vectors out, from one shared BERT.")

models_option = click.option(
    "--model", multiple=True, metavar="NAME[=PLACE][:key=value,…]",
    help="An encoder; repeatable, the first is the default. PLACE: a folder, or an encoder given earlier. Keys: pooling, layers, "
    "normalize, max_length, mask_special. Without any: minilm, rich and tokens.",
)


def main() -> NoReturn:
    run(cli)


@cli.command(context_settings={"auto_envvar_prefix": "TWOHOP_EMBEDDING"})
@models_option
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", type=PORT, default=50051, help="gRPC; 0 takes a free one.")
@click.option("--http-port", type=PORT, default=8125, help="Probes, metrics and docs; 0 takes a free one.")
@click.option("--zmq", is_flag=True, help="bert-as-service's protocol too.  [not built yet]")
@click.option("--zmq-port", type=PORT, default=5555, help="Where --zmq takes requests.")
@click.option("--zmq-port-out", type=PORT, default=5556, help="Where --zmq publishes results.")
@click.option("--engine", type=click.Choice(["auto", "openvino", "torch"]), default="auto",
              help="What computes: OpenVINO on the CPU, PyTorch on CUDA devices (extra 'cuda'); auto: what is there.")
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16", "f16", "int8"]), default="auto",
              help="auto: bf16 where the processor computes in it (on a CUDA device before 8.0: f16), else f32. "
                   "int8: a quarter faster than bf16 and more (with AMX not always: see bench), less exact.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Cores that compute; 0: all that this process may use.")
@click.option("--cache-bytes", type=click.IntRange(0), default=0, help="Memory for vectors of repeated texts; 0: none are kept.")
@click.option("--insecure", is_flag=True, help="Allow a host that others can reach without keys and TLS.")
@click.option("--key-file", type=FILE, help="Accepted bearer keys, one a line.")
@click.option("--tls-cert", type=FILE, help="This server's certificate chain, PEM.")
@click.option("--tls-key", type=FILE, help="This server's private key, PEM.")
@click.option("--max-texts", type=click.IntRange(1), default=2048, help="Texts in one request.")
@click.option("--max-request-bytes", type=click.IntRange(1024), default=8 * MEBIBYTE, help="Size of one request.")
@click.option("--max-response-bytes", type=click.IntRange(1024), default=64 * MEBIBYTE, help="Size of one reply.")
@click.option("--max-requests", type=click.IntRange(1), default=1024, help="Requests under way at once; the next are refused.")
@click.option("--max-wait-seconds", type=FiniteRange(min=0.0), default=5.0,
              help="Predicted wait above which online texts are refused.")
@click.option("--max-bulk-wait-seconds", type=FiniteRange(min=0.0), default=30.0,
              help="Predicted wait above which bulk texts are refused.")
@click.option("--bulk-share", type=FiniteRange(0.0, 0.9), default=0.2,
              help="Share of the tokens that bulk has while online texts wait too.")
@click.option("--tokenizer-threads", type=click.IntRange(1), default=2, help="Threads that tokenise long texts.")
@click.option("--drain-seconds", type=FiniteRange(min=0.0), default=30.0,
              help="Time for requests under way to finish after SIGTERM.")
@click.option("--hang-seconds", type=FiniteRange(min=1.0), default=30.0,
              help="A batch that takes longer, and twenty times as long as it should, is given up and its worker replaced.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@needs_extra("embedding")
def serve(**flags: Any) -> None:
    """Serve vectors of texts over gRPC.

    The ports open at once, and say that they are not ready until the encoders are loaded, checked and warm.
    """
    if flags["zmq"]:
        raise click.UsageError("not built yet: --zmq; leave it out")
    from embedding_service.app import run as serve_until_stopped
    from embedding_service.serving.admission import WaitLimits
    from embedding_service.serving.limits import Limits
    from embedding_service.serving.worker import Plan
    from embedding_service.settings import Settings
    from twohop_service.settings import Security

    serve_until_stopped(
        Settings(
            plan=Plan(flags["model"], flags["engine"], flags["precision"], flags["threads"], flags["log_level"]),
            host=flags["host"],
            port=flags["port"],
            http_port=flags["http_port"],
            security=Security(flags["key_file"], flags["tls_cert"], flags["tls_key"], flags["insecure"]),
            limits=Limits(flags["max_texts"], flags["max_request_bytes"], flags["max_response_bytes"]),
            waits=WaitLimits(flags["max_wait_seconds"], flags["max_bulk_wait_seconds"]),
            bulk_share=flags["bulk_share"],
            cache_bytes=flags["cache_bytes"],
            max_requests=flags["max_requests"],
            tokenizer_threads=flags["tokenizer_threads"],
            drain_s=flags["drain_seconds"],
            hang_s=flags["hang_seconds"],
        )
    )


@cli.command()
@models_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document: the first encoder, with its identity.")
@needs_extra("embedding")
def fingerprint(model: tuple[str, ...], as_json: bool) -> None:
    """Print the fingerprint of every encoder: what its vectors mean, whatever computes them."""
    from embedding_service.model.encoder import describe_encoders

    encoders = describe_encoders(model)
    if as_json:
        click.echo(json.dumps({
            "fingerprint": encoders[0].fingerprint,
            "sha256": encoders[0].sha256,
            "identity": encoders[0].identity,
            "encoders": [{"name": encoder.name, "fingerprint": encoder.fingerprint} for encoder in encoders],
        }))
        return
    width = max(len(encoder.name) for encoder in encoders)
    for encoder in encoders:
        click.echo(f"{encoder.name:{width}}  {encoder.fingerprint}")


@cli.command()
@click.option("--model", default="minilm", metavar="NAME[=PLACE][:key=value,…]", help="The encoder, as in serve.")
@click.option("--random", type=click.Choice(["minilm", "bert-base", "bert-large"]),
              help="Weights of chance of this size in place of --model: for speed only.")
@click.option("--file", type=FILE, help="Texts to measure with, one a line.  [default: a packaged sample]", show_default=False)
@click.option("--tokens", metavar="N,…", help="Synthetic texts of exactly so many tokens in place of --file, such as 16,32,128.")
@click.option("--engine", multiple=True, default=["auto"], metavar="auto|openvino|torch", help="Repeatable.")
@click.option("--precision", multiple=True, metavar="f32|bf16|f16|int8", help="Repeatable.  [default: all that run here]")
@click.option("--threads", type=click.IntRange(0), default=0, help="Cores that compute; 0: all that this process may use.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="All are measured in turns so many times.")
@click.option("--seconds", type=FiniteRange(0.0, min_open=True), default=1.5, help="Of each measurement in a round.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png", help="A picture too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document in place of the table.")
@click.pass_context
@needs_extra("embedding")
def bench(context: click.Context, /, plot: Path | None, as_json: bool, **flags: Any) -> None:
    """Measure engines and precisions on this machine: latency, throughput, accuracy, and the share of what it could do."""
    if flags["file"] and flags["tokens"] is not None:
        raise click.UsageError("--tokens makes its own texts: leave out --file")
    if flags["random"] and context.get_parameter_source("model") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--random makes its own encoder: leave out --model")
    lengths = _lengths(flags["tokens"]) if flags["tokens"] is not None else ()
    from embedding_service.tools.bench.bench import Plan
    from embedding_service.tools.bench.output import run as measure

    measure(
        Plan(flags["model"], flags["random"], flags["file"], lengths, flags["engine"], flags["precision"], flags["threads"],
             flags["rounds"], flags["seconds"]),
        plot=plot, as_json=as_json,
    )


def _lengths(given: str) -> tuple[int, ...]:
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() and len(part) < 7 and int(part) > 0 for part in parts):
        raise click.UsageError(f"--tokens {given}: give token counts of at least 1 with commas between, such as 16,32,128")
    return tuple(dict.fromkeys(int(part) for part in parts))


@cli.command()
@click.argument("source", metavar="INPUT", type=FILE)
@click.argument("output", metavar="OUTPUT.parquet", type=click.Path(dir_okay=False, path_type=Path))
@models_option
@click.option("--encoder", default="", metavar="NAME", help="Which of the encoders.  [default: the first]", show_default=False)
@click.option("--engine", type=click.Choice(["auto", "openvino", "torch"]), default="auto", help="What computes.")
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16", "f16", "int8"]), default="auto",
              help="auto: bf16 where the processor computes in it (on a CUDA device before 8.0: f16), else f32.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Cores that compute; 0: all that this process may use.")
@click.option("--text-column", default="text", metavar="NAME", help="Where the texts are.")
@click.option("--id-column", metavar="NAME", help="Where the ids are.  [default: id, else rows are numbered from 0]",
              show_default=False)
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", help="Of the vectors.")
@click.option("--window", type=click.IntRange(1), default=8192, metavar="TEXTS",
              help="Texts that are kept as one: what a kill costs at most, and a row group of the output.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT, and what an interrupted run with other settings has left.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON document.")
@needs_extra("embedding")
def encode(source: Path, output: Path, as_json: bool, **flags: Any) -> None:
    """Vectors of all texts of a file, as Parquet: columns id, vector, tokens, truncated.

    INPUT: .tsv or .csv with a header, .jsonl, .parquet, or .txt with one text a line. Interrupted or killed, the same command
    goes on where it was.
    """
    from embedding_service.tools.encode import Job, encode_file
    from embedding_service.tools.texts_in import Columns

    summary = encode_file(Job(
        source, output, Columns(flags["text_column"], flags["id_column"]), flags["model"], flags["encoder"], flags["engine"],
        flags["precision"], flags["threads"], flags["dtype"], flags["window"], flags["overwrite"],
    ))
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo("{rows} texts in {seconds:.1f} s ({texts_per_s} texts/s, {resumed} done before, {truncated} truncated): "
                   "{output}, {encoder} {fingerprint} {numerics}".format(**summary))


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--lowercase/--cased", default=None, show_default=False,
              help="How texts are tokenised.  [default: as the folder's name or the vocabulary says]")
@click.option("--force", is_flag=True, help="Replace a target that an earlier convert made.")
@needs_extra("convert")
def convert(source: Path, target: Path, lowercase: bool | None, force: bool) -> None:
    """Turn a Google TensorFlow checkpoint into a Hugging Face folder, once.

    SOURCE: a folder with bert_config.json, vocab.txt and bert_model.ckpt.*, or the checkpoint's own path in such a folder.
    """
    from embedding_service.model.encoder import describe_encoders
    from embedding_service.tools.convert import convert as write

    with click.progressbar(length=1, label="convert", file=sys.stderr, show_pos=False) as bar:
        def progress(written: int, total: int) -> None:
            bar.length = total
            bar.update(written - bar.pos)

        made = write(source, target, lowercase=lowercase, force=force, progress=progress)
    click.echo(f"{made.tensors} tensors from {made.checkpoint}, {made.left_out} of no use to an encoder left out; texts are "
               f"{'' if made.lowercase else 'not '}made lower case ({made.reason})", err=True)
    [encoder] = describe_encoders([f"converted={target}"])
    click.echo(f"{target}  {encoder.fingerprint}")


if __name__ == "__main__":
    main()
