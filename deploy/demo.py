"""`make demo`: the whole idea in one screen. Starts both services and the gateway as real processes on free ports,
trains two heads through hop 1, serves them, classifies texts through both hops, measures, and stops everything."""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console

from deploy import sample_heads, services
from deploy.demo_table import HeldOut, Row, show
from deploy.folder_lock import FolderInUse, only_one
from deploy.ports import LOOPBACK
from deploy.processes import Processes, ProcessFailed, ended_by_signals
from twohop import Classifications, TwoHop, TwoHopError

FOLDER = Path(__file__).resolve().parents[1] / "run" / "demo"
T = TypeVar("T")


@dataclass(frozen=True)
class Demo:
    """A run: where it lives, how it speaks, and the ports of its processes."""

    folder: Path
    console: Console
    ports: services.Ports

    @property
    def repository(self) -> Path:
        return self.folder / "heads"

    @property
    def encoder(self) -> str:
        return f"{LOOPBACK}:{self.ports.embedding}"

    @property
    def heads(self) -> str:
        return f"{LOOPBACK}:{self.ports.heads}"

    def step(self, what: str, action: Callable[[], T]) -> T:
        """Does it, with a spinner on a terminal, and a line with the seconds when it is done."""
        began = time.monotonic()
        with self.console.status(what):
            result = action()
        self.console.print(f"  [green]✓[/] {what} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)
        return result


@click.command(help=__doc__)
@click.option("--text", "texts", multiple=True, help="Classify this instead of the examples; repeatable.")
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Logs, heads, vectors.")
@click.option("--one-text", envvar="DEMO_TEXT", default="", hidden=True)
def main(texts: tuple[str, ...], folder: Path, one_text: str) -> None:
    chosen = [*texts, *([one_text] if one_text else [])] or sample_heads.sample("examples.txt").read_text("utf-8").splitlines()
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        with ended_by_signals(), only_one(folder):
            run(Demo(folder.resolve(), console, services.Ports.free()), [text for text in chosen if text.strip()])
    except (ProcessFailed, TwoHopError, FolderInUse, OSError) as error:
        console.print(f"\n[red]The demo failed:[/] {type(error).__name__}", highlight=False)
        console.print(str(error), markup=False, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything is stopped.")
        sys.exit(130)


def run(demo: Demo, texts: Sequence[str]) -> None:
    """Raises ProcessFailed, or what the client raises."""
    for leftover in (demo.repository, demo.folder / "logs"):
        shutil.rmtree(leftover, ignore_errors=True)
    demo.console.print("[bold]twohop[/]: a text becomes a label in two hops\n")
    with Processes(demo.folder / "logs") as processes:
        serve_and_train(demo, processes)
        with TwoHop(demo.encoder, demo.heads) as client:
            rows = demo.step(f"classified {len(texts)} texts, one at a time, through both hops", lambda: classify(client, texts))
        labels = demo.step("asked the gateway for the same texts over HTTP", lambda: ask_gateway(demo, texts))
        held_out = demo.step("evaluated on held-out texts, through both hops", lambda: evaluate(demo, processes))
        processes.check()
    agree = sum(labels[position] == row.labels for position, row in enumerate(rows))
    show(demo.console, rows, held_out, gateway=f"{agree} of {len(rows)} texts got the same labels from the gateway")
    demo.console.print(f"[dim]Everything is stopped. Logs: {demo.folder / 'logs'}[/]", highlight=False, soft_wrap=True)


def serve_and_train(demo: Demo, processes: Processes) -> None:
    encoder = services.embedding(demo.ports)
    served = services.heads(demo.ports, demo.repository, sample_heads.NAMES)
    gateway = services.gateway(demo.ports, demo.repository)
    processes.start(encoder)
    demo.step(f"hop 1, the embedding service, on port {demo.ports.embedding}", lambda: processes.wait_ready(encoder))
    for head in sample_heads.NAMES:
        arguments = sample_heads.train_arguments(head, demo.encoder, demo.repository)
        argv = services.command("head-service", [*arguments, "--vectors", demo.folder / "vectors", "--json"])
        demo.step(f"trained the head '{head}' through hop 1", partial(processes.run, f"train-{head}", argv))
    processes.start(served)
    processes.start(gateway)
    demo.step(f"hop 2, the head server, on port {demo.ports.heads}", lambda: processes.wait_ready(served))
    demo.step(f"the gateway on port {demo.ports.gateway}", lambda: processes.wait_ready(gateway))


def classify(client: TwoHop, texts: Sequence[str]) -> list[Row]:
    """One text a call, as the article measured; the first call is repeated, so that no row pays for connecting."""
    _all_heads(client, texts[0])
    return [Row.of(text, _all_heads(client, text)) for text in texts]


def _all_heads(client: TwoHop, text: str) -> dict[str, Classifications]:
    answers = {}
    for head, answer in client.classify_many([text], sample_heads.NAMES).items():
        if isinstance(answer, TwoHopError):
            raise answer
        answers[head] = answer
    return answers


def ask_gateway(demo: Demo, texts: Sequence[str]) -> list[list[str]]:
    """Labels [text][head]."""
    body = json.dumps({"texts": list(texts), "heads": list(sample_heads.NAMES), "policy": "all"}).encode()
    url = f"http://{LOOPBACK}:{demo.ports.gateway}/v1/classify"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        results = json.load(response)["results"]
    return [[result["heads"][head]["label"] for head in sample_heads.NAMES] for result in results]


def evaluate(demo: Demo, processes: Processes) -> list[HeldOut]:
    found = []
    for head in sample_heads.NAMES:
        arguments = ["evaluate", "--data", sample_heads.sample(f"{head}.test.tsv"), "--head", head, "--encoder", demo.encoder]
        argv = services.command("head-service", [*arguments, "--heads", demo.heads, "--json"])
        report = json.loads(processes.run(f"evaluate-{head}", argv))
        found.append(HeldOut(head, report["rows"], report["accuracy"], report["baselines"]["majority"]))
    return found


if __name__ == "__main__":
    main()
