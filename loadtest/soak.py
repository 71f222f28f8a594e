"""Does hop 1's memory stay where it is? Texts of 1 to 512 tokens, in requests of 1 to 64, and the resident memory of service and
worker as they go.

    python -m loadtest.soak --texts 100000          # 20 minutes to two hours on two cores; exits 1 if it grew by a tenth
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from deploy import services
from deploy.ports import LOOPBACK
from deploy.processes import Processes
from deploy.services import Ports
from loadtest.machine import machine
from loadtest.measure import rss_mib
from loadtest.measuring import measuring
from twohop import EmbeddingClient

SETTLED = 5_000         # texts after which the memory is taken as what it should stay
ALLOWED = 1.10
CALLERS = 8
LONGEST, MOST_TEXTS = 512, 64
MODEL = f"minilm:max_length={LONGEST}"
WORDS = ("the", "model", "river", "of", "green", "very", "quickly", "seven", "people", "house", "light", "under", "paper")


def requests(texts: int, seed: int = 0) -> Iterator[list[str]]:
    """`texts` in all, of 1 to 512 tokens with the two special ones: each of the words is one."""
    rng = random.Random(seed)
    while texts > 0:
        count = min(rng.randint(1, MOST_TEXTS), texts)
        texts -= count
        yield [" ".join(rng.choices(WORDS, k=max(rng.randint(1, LONGEST) - 2, 1))) for _ in range(count)]


@click.command()
@click.option("--texts", type=click.IntRange(SETTLED * 2), default=100_000, show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("run/soak"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One document on stdout.")
def main(texts: int, folder: Path, as_json: bool) -> None:
    """Send texts of 1 to 512 tokens to a service of its own and see whether its memory grows."""
    ports = Ports.free()
    service = services.embedding(ports)
    service = replace(service, argv=(*service.argv, "--model", MODEL))
    seen: list[tuple[int, float]] = []
    with measuring(folder), Processes(folder) as processes:
        pid = processes.start(service)
        processes.wait_ready(service)
        with EmbeddingClient(f"{LOOPBACK}:{ports.embedding}", timeout_s=600) as client, ThreadPoolExecutor(CALLERS) as pool:
            done = 0
            answers = pool.map(lambda texts: len(client.embed(texts, priority="bulk")), requests(texts))
            for count in track(answers, "embedding", console=Console(stderr=True), total=2 * texts // (MOST_TEXTS + 1)):
                done += count
                if done // 1000 > (seen[-1][0] if seen else 0) // 1000:
                    seen.append((done, rss_mib(pid)))
    settled = next(mib for count, mib in seen if count >= SETTLED)
    largest = max(mib for count, mib in seen if count >= SETTLED)
    found = {"texts": texts, "settled_mib": round(settled), "largest_mib": round(largest), "ratio": round(largest / settled, 3),
             "machine": machine()}
    click.echo(json.dumps(found) if as_json else f"after {SETTLED} texts {settled:.0f} MiB; at most {largest:.0f} MiB in "
               f"{texts} texts: {largest / settled:.3f} of it ({ALLOWED} allowed)")
    sys.exit(largest > settled * ALLOWED)


if __name__ == "__main__":
    main()
