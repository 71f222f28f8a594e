"""What does hop 1 add to its engine? One text at a time, the bare engine and the service in turns of one run; then for how much
of the time some batch is being computed while 32 callers ask.

    python -m loadtest.inside --precision int8      # a minute; exits 1 above 1.0 ms (medians), or below 85 % of the time
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import click
import grpc

from deploy import services
from deploy.ports import LOOPBACK
from deploy.processes import Processes
from deploy.services import Ports
from embedding_service.model.encoder import describe_encoders
from embedding_service.model.loaded_encoders import Encoders
from loadtest.compare import WORKLOADS, spread
from loadtest.machine import machine
from loadtest.measuring import measuring
from twohop.embedding import EMBED
from twohop.wire import embedding_pb2 as wire

MODEL = "minilm"
ALLOWED_MS, ALLOWED_SHARE = 1.0, 0.85
TEXTS = 150             # of a round
CALLERS = 32
BUSY = "twohop_embedding_busy_seconds_total"


def _median_ms(call: Callable[[Any], object], inputs: Sequence[Any], pause_s: float = 0.0) -> float:
    """Of the calls, one after the other, with so much time between."""
    found = []
    for each in inputs:
        if pause_s:
            time.sleep(pause_s)
        began = time.perf_counter()
        call(each)
        found.append((time.perf_counter() - began) * 1000)
    return median(found)


def alone(address: str, texts: Sequence[str], precision: str, rounds: int) -> dict[str, Any]:
    """Medians over the texts of each round, and over the rounds: `bare` with tokens ready, `served` with messages ready; `empty`:
    a health check of hop 1 with as long a pause before it as a text takes."""
    [encoder] = describe_encoders([MODEL])
    engine = Encoders.load([MODEL], precision=precision)
    items = [[(0, tokens.ids, tokens.types)] for tokens in encoder.encode_batch(texts)]
    messages = [wire.EmbedRequest(texts=[text]).SerializeToString() for text in texts]
    with grpc.insecure_channel(address) as channel:
        ask: Any = channel.unary_unary(EMBED.path, None, None)
        numerics = wire.EmbedResponse.FromString(ask(messages[0])).numerics
        assert numerics == engine.numerics
        bare: list[float] = []
        served: list[float] = []
        empty: list[float] = []
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
        turns: list[tuple[list[float], Callable[[Any], object], Sequence[Any]]]
        turns = [(bare, engine.run, items), (served, ask, messages)]
        for number in range(rounds):
            for medians, call, inputs in turns if number % 2 else reversed(turns):
                medians.append(_median_ms(call, inputs))
            empty.append(_median_ms(check, [b""] * len(texts), bare[-1] / 1000))
    added = median(with_it - without for with_it, without in zip(served, bare, strict=True))
    return {"numerics": numerics, "bare_ms": round(median(bare), 2), "served_ms": round(median(served), 2),
            "added_ms": round(added, 2), "empty_ms": round(median(empty), 2)}


async def many(address: str, messages: Iterator[bytes], seconds: float) -> float:
    """Requests a second of CALLERS that each ask for one text after the other."""
    async with grpc.aio.insecure_channel(address) as channel:
        ask: Any = channel.unary_unary(EMBED.path, None, None)
        end = time.perf_counter() + seconds

        async def caller() -> int:
            count = 0
            while time.perf_counter() < end:
                await ask(next(messages))
                count += 1
            return count

        return sum(await asyncio.gather(*(caller() for _ in range(CALLERS)))) / seconds


def busy_s(ports: Ports) -> float:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{ports.embedding_http}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{BUSY} "))


@click.command()
@click.option("--precision", type=click.Choice(["auto", "f32", "bf16", "int8"]), default="auto", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=12, show_default=True)
@click.option("--seconds", type=click.IntRange(1), default=8, show_default=True, help="Of the 32 callers.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("run/inside"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def main(precision: str, rounds: int, seconds: int, folder: Path, as_json: bool) -> None:
    """Measure a service of its own beside the engine in this process."""
    texts = spread(next(path for path in WORKLOADS if path.exists()).read_text("utf-8").splitlines(), TEXTS)
    ports = Ports.free()
    service = services.embedding(ports)
    service = replace(service, argv=(*service.argv, "--model", MODEL, "--precision", precision))
    address = f"{LOOPBACK}:{ports.embedding}"
    with measuring(folder), Processes(folder) as processes:
        processes.start(service)
        processes.wait_ready(service)
        found = alone(address, texts, precision, rounds)
        messages = [wire.EmbedRequest(texts=[text]).SerializeToString() for text in texts]
        asyncio.run(many(address, cycle(messages), 1))                        # until it is warm
        before, began = busy_s(ports), time.perf_counter()
        found["requests_per_s"] = round(asyncio.run(many(address, cycle(messages), seconds)))
        found["busy_share"] = round((busy_s(ports) - before) / (time.perf_counter() - began), 3)
    found["machine"] = machine()
    click.echo(json.dumps(found, indent=None if as_json else 1))
    sys.exit(found["added_ms"] > ALLOWED_MS or found["busy_share"] < ALLOWED_SHARE)


if __name__ == "__main__":
    main()
