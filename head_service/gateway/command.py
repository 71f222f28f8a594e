"""`head-service gateway`: its flags, mirrored in the environment as TWOHOP_GATEWAY_*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from twohop.command import FiniteRange, needs_extra

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("gateway", context_settings={"auto_envvar_prefix": "TWOHOP_GATEWAY"})
@click.option("--embedding", multiple=True, required=True, metavar="HOST:PORT[/NAME]",
              help="The embedding service; several for several replicas. Without NAME each head gets its own encoder.")
@click.option("--heads", multiple=True, required=True, metavar="HOST:PORT",
              help="The head server; several for several replicas.")
@click.option("--repository", type=click.Path(file_okay=False, path_type=Path),
              help="The folder of head versions: its heads are offered, new ones as they appear.")
@click.option("--head", multiple=True, metavar="NAME",
              help="Instead of --repository: a head that the head server has; repeatable.")
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="The port; 0 takes a free one.")
@click.option("--insecure", is_flag=True, help="Allow a host that others can reach without keys and TLS.")
@click.option("--key-file", type=FILE, help="Accepted bearer keys, one a line.")
@click.option("--tls-cert", type=FILE, help="This server's certificate chain, PEM.")
@click.option("--tls-key", type=FILE, help="This server's private key, PEM.")
@click.option("--hop-token-file", type=FILE, help="The bearer key that both services are sent.")
@click.option("--hop-tls", is_flag=True, help="Call both services over TLS, trusting the system's authorities.")
@click.option("--hop-ca", type=FILE, help="Call both services over TLS, trusting this authority, PEM.")
@click.option("--hop-cert", type=FILE, help="Certificate chain shown to both services (mutual TLS), PEM.")
@click.option("--hop-key", type=FILE, help="Private key of --hop-cert, PEM.")
@click.option("--timeout-ms", type=click.IntRange(1), default=10_000,
              help="Time for a request over both hops where it sends no X-Request-Timeout-Ms.")
@click.option("--max-timeout-ms", type=click.IntRange(1), default=60_000, help="The most that a request may ask for.")
@click.option("--max-texts", type=click.IntRange(1), default=2048, help="Texts in one request.")
@click.option("--max-heads", type=click.IntRange(1), default=64, help="Heads in one request.")
@click.option("--max-body-bytes", type=click.IntRange(1), default=8 * 1024 * 1024, help="Size of one request's body.")
@click.option("--max-in-flight-per-head", type=click.IntRange(1), default=512,
              help="Requests that may wait for one head at a time; the next are refused at once.")
@click.option("--poll-seconds", type=FiniteRange(min=0.05), default=2.0,
              help="How often the repository and both services are asked what they have.")
@click.option("--drain-seconds", type=FiniteRange(min=0.0), default=10.0,
              help="Time for running requests to finish after SIGTERM.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@needs_extra("gateway")
def gateway(**flags: Any) -> None:
    """Classify texts with several heads in one HTTP request.

    Offers POST /v1/classify and GET /v1/heads, and asks the embedding service and the head server; /docs explains them.
    """
    if (flags["repository"] is None) == (not flags["head"]):
        raise click.UsageError("give one of --repository DIR or --head NAME (repeatable)")
    if (flags["hop_cert"] is None) != (flags["hop_key"] is None):
        raise click.UsageError("--hop-cert and --hop-key go together: give both, or neither")
    from head_service.gateway.settings import Deadlines, Hops, Limits, Settings
    from twohop.types import TLS
    from twohop_service.settings import Security

    over_tls = flags["hop_tls"] or any(flags[name] for name in ("hop_ca", "hop_cert", "hop_key"))
    settings = Settings(
        hops=Hops(
            embedding=flags["embedding"],
            heads=flags["heads"],
            token_file=flags["hop_token_file"],
            tls=TLS(ca=flags["hop_ca"], cert=flags["hop_cert"], key=flags["hop_key"]) if over_tls else None,
        ),
        repository=flags["repository"],
        heads=flags["head"],
        host=flags["host"],
        port=flags["port"],
        security=Security(flags["key_file"], flags["tls_cert"], flags["tls_key"], flags["insecure"]),
        limits=Limits(
            max_texts=flags["max_texts"],
            max_heads=flags["max_heads"],
            max_body_bytes=flags["max_body_bytes"],
            max_in_flight_per_head=flags["max_in_flight_per_head"],
        ),
        deadlines=Deadlines(flags["timeout_ms"], flags["max_timeout_ms"]),
        poll_s=flags["poll_seconds"],
        drain_s=flags["drain_seconds"],
    )
    from head_service.gateway.process import run

    run(settings, flags["log_level"])
