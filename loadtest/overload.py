"""How fast does hop 1 refuse, and do those whom it let in get their answers in time? Far more callers than it can serve, each
with a deadline; who is refused asks again after 50 ms.

    python -m loadtest.overload         # exits 1 if a refusal took more than 50 ms (99th percentile) or an accepted call was late
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import grpc

from deploy import services
from deploy.ports import LOOPBACK
from deploy.processes import Processes
from deploy.services import Ports
from loadtest.compare import WORKLOADS
from loadtest.machine import machine
from loadtest.measuring import measuring
from loadtest.report import percentiles
from twohop.command import FiniteRange
from twohop.embedding import EMBED
from twohop.status import PUSHBACK_KEY
from twohop.wire import embedding_pb2 as wire

REFUSED = grpc.StatusCode.RESOURCE_EXHAUSTED
ALLOWED_MS = 50.0
BREATH_S = 0.05         # of a caller who was refused
Answers = list[tuple[grpc.StatusCode, float, bool]]     # status, ms, whether it said when to come again


async def caller(ask: Any, texts: Sequence[str], deadline_s: float, end: float) -> Answers:
    """One request after the other until `end`."""
    message = wire.EmbedRequest(texts=texts).SerializeToString()
    found: Answers = []
    while time.perf_counter() < end:
        began = time.perf_counter()
        call = ask(message, timeout=deadline_s)
        code = await call.code()
        told = any(key == PUSHBACK_KEY for key, _ in await call.trailing_metadata())
        found.append((code, (time.perf_counter() - began) * 1000, told))
        if code is not grpc.StatusCode.OK:
            await asyncio.sleep(BREATH_S)
    return found


async def flood(address: str, texts: Sequence[str], callers: int, each: int, deadline_s: float, seconds: float) -> Answers:
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as channel:
        await channel.channel_ready()       # to connect is no refusal
        ask: Any = channel.unary_unary(EMBED.path, None, None)
        end = time.perf_counter() + seconds
        parts = [texts[number * each % len(texts) :][:each] for number in range(callers)]
        found = await asyncio.gather(*(caller(ask, part, deadline_s, end) for part in parts))
    return [answer for answers in found for answer in answers]


@click.command()
@click.option("--callers", type=click.IntRange(1), default=64, show_default=True)
@click.option("--texts-each", type=click.IntRange(1), default=64, show_default=True, help="Of a request.")
@click.option("--deadline", type=FiniteRange(0.05), default=1.0, show_default=True, help="Seconds that a request may take.")
@click.option("--seconds", type=FiniteRange(1), default=15.0, show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("run/overload"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def main(callers: int, texts_each: int, deadline: float, seconds: float, folder: Path, as_json: bool) -> None:
    """Ask a service of its own for more than it can do."""
    texts = next(path for path in WORKLOADS if path.exists()).read_text("utf-8").splitlines()
    ports = Ports.free()
    service = services.embedding(ports)
    with measuring(folder), Processes(folder) as processes:
        processes.start(service)
        processes.wait_ready(service)
        answers = asyncio.run(flood(f"{LOOPBACK}:{ports.embedding}", texts, callers, texts_each, deadline, seconds))
    done = [ms for code, ms, _ in answers if code is grpc.StatusCode.OK]
    refused = [ms for code, ms, _ in answers if code is REFUSED]
    found: dict[str, Any] = {
        "callers": callers, "texts_each": texts_each, "deadline_ms": deadline * 1000,
        "accepted": {"count": len(done), **(percentiles(done) if done else {})},
        "refused": {"count": len(refused), "told_when": sum(told for code, _, told in answers if code is REFUSED),
                    **(percentiles(refused) if refused else {})},
        "late": sum(code is grpc.StatusCode.DEADLINE_EXCEEDED for code, _, _ in answers),
        "other": sorted({code.name for code, _, _ in answers} - {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}),
        "machine": machine(),
    }
    click.echo(json.dumps(found, indent=None if as_json else 1))
    slow = bool(refused) and found["refused"]["p99_ms"] > ALLOWED_MS
    sys.exit(slow or found["late"] > 0 or bool(found["other"]) or not refused)


if __name__ == "__main__":
    main()
