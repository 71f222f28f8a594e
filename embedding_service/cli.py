"""`embedding-service`: serve, fingerprint, and what is still to come. Flags of serve are mirrored as TWOHOP_EMBEDDING_*."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import click

from twohop.command import needs_extra, program, run

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
              help="What computes.  [not torch yet]")
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16", "int8"]), default="auto",
              help="auto: bf16 where the processor computes in it.  [not int8 yet]")
@click.option("--threads", type=click.IntRange(0), default=0, help="Cores that compute; 0: all that this process may use.")
@click.option("--cache-bytes", type=click.IntRange(0), default=0, help="Memory for vectors of repeated texts.  [not built yet]")
@click.option("--insecure", is_flag=True, help="Allow a host that others can reach without keys and TLS.")
@click.option("--key-file", type=FILE, help="Accepted bearer keys, one a line.")
@click.option("--tls-cert", type=FILE, help="This server's certificate chain, PEM.")
@click.option("--tls-key", type=FILE, help="This server's private key, PEM.")
@click.option("--max-texts", type=click.IntRange(1), default=2048, help="Texts in one request.")
@click.option("--max-request-bytes", type=click.IntRange(1024), default=8 * MEBIBYTE, help="Size of one request.")
@click.option("--max-response-bytes", type=click.IntRange(1024), default=64 * MEBIBYTE, help="Size of one reply.")
@click.option("--max-requests", type=click.IntRange(1), default=1024, help="Requests under way at once; the next are refused.")
@click.option("--max-wait-seconds", type=click.FloatRange(min=0.0), default=5.0,
              help="Predicted wait above which online texts are refused.")
@click.option("--max-bulk-wait-seconds", type=click.FloatRange(min=0.0), default=30.0,
              help="Predicted wait above which bulk texts are refused.")
@click.option("--bulk-share", type=click.FloatRange(0.0, 0.9), default=0.2,
              help="Share of the tokens that bulk has while online texts wait too.")
@click.option("--tokenizer-threads", type=click.IntRange(1), default=2, help="Threads that tokenise long texts.")
@click.option("--drain-seconds", type=click.FloatRange(min=0.0), default=30.0,
              help="Time for requests under way to finish after SIGTERM.")
@click.option("--hang-seconds", type=click.FloatRange(min=1.0), default=30.0,
              help="A batch that takes longer, and twenty times as long as it should, is given up and its worker replaced.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@needs_extra("embedding")
def serve(**flags: Any) -> None:
    """Serve vectors of texts over gRPC.

    The ports open at once, and say that they are not ready until the encoders are loaded, checked and warm.
    """
    _refuse_what_is_not_built(flags)
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


def _not_built_yet(name: str, summary: str) -> None:
    @cli.command(name, help=f"{summary}  [not built yet]", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        raise click.UsageError(f"embedding-service {name} is not built yet")


_not_built_yet("encode", "Embed a file of texts in bulk.")
_not_built_yet("convert", "Turn a Google checkpoint into safetensors.")
_not_built_yet("bench", "Measure engines and precisions on this machine.")


def _refuse_what_is_not_built(flags: dict[str, Any]) -> None:
    asked = {
        "--zmq": flags["zmq"],
        "--engine torch": flags["engine"] == "torch",
        "--precision int8": flags["precision"] == "int8",
        "--cache-bytes": flags["cache_bytes"] > 0,
    }
    missing = [flag for flag, is_asked in asked.items() if is_asked]
    if missing:
        raise click.UsageError(f"not built yet: {', '.join(missing)}; leave it out")


if __name__ == "__main__":
    main()
