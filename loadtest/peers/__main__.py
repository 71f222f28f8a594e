"""`make peers`: hop 1 beside the plain way (sentence-transformers in FastAPI) and infinity (ONNX), same weights, same texts.

Each is started here on a free port, kept at rest while another is measured, and stopped again. Peers get environments of their
own, made the first time. One that cannot be had is named with the reason. Writes a table, a PNG and a JSON file."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from loadtest.compare import ROOT, WORKLOADS, spread
from loadtest.machine import machine, versions, versions_of
from loadtest.measure import rss_mib
from loadtest.measuring import measuring
from loadtest.peers import picture, report
from loadtest.peers.contenders import ALL, Contender
from loadtest.peers.measure import FULL, PHASES, QUICK, Amount, measure, vectors
from loadtest.peers.running import all_running, rehearse

OURS = ("twohop", "openvino", "grpcio", "numpy")
QUICK_TEXTS = 256


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Two short rounds, to see that it works: the figures mean little.")
@click.option("--rounds", type=click.IntRange(min=1), help=f"[default: {FULL.rounds}; quick: {QUICK.rounds}]")
@click.option("--contenders", default=",".join(ALL), show_default=True,
              help=f"Which, separated by commas. Cosines need {report.EXACT}.")
@click.option("--workload", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with a text per line.")
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "loadtest" / "results", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / "run" / "peers", show_default=True)
def main(quick: bool, rounds: int | None, contenders: str, workload: Path | None, results: Path, folder: Path) -> None:
    chosen = list(dict.fromkeys(filter(None, contenders.replace(" ", "").split(","))))
    if not chosen or not set(chosen) <= set(ALL):
        raise click.BadParameter(f"choose from {', '.join(ALL)}", param_hint="--contenders")
    file = workload or next(path for path in WORKLOADS if path.exists())
    texts = spread(file.read_text("utf-8").splitlines(), QUICK_TEXTS if quick else None)
    if not texts:
        raise click.BadParameter(f"{file} has no texts: one on each line", param_hint="--workload")
    amount = QUICK if quick else FULL
    amount = dataclasses.replace(amount, rounds=rounds or amount.rounds)
    console = Console(width=None if sys.stdout.isatty() else 160)
    with measuring(folder):
        found = compare(console, chosen, texts, amount, folder.resolve())
        found["workload"] = {"file": file.name, "texts": len(texts)}
        publish(console, found, results)
    sys.exit(not found["contenders"])


def compare(console: Console, chosen: Sequence[str], texts: Sequence[str], amount: Amount, folder: Path) -> dict[str, Any]:
    load_average = os.getloadavg()[0]
    contenders, absent = rehearse(
        {name: ALL[name] for name in chosen}, folder, lambda name: console.print(f"rehearsal: {name} starts and stops")
    )
    with all_running(contenders, folder, lambda name: console.print(f"start: {name}")) as (running, late):
        known, lost = vectors(running, texts)
        able = {name: each for name, each in running.items() if name not in lost}
        with Progress(console=console) as progress:
            task = progress.add_task("in turns", total=amount.rounds * len(PHASES) * len(able))
            turns, lost_later = measure(able, texts, amount, lambda: progress.advance(task))
        memory = {name: rss_mib(running[name].pid) for name in turns}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "loadtest.peers", *sys.argv[1:]]),
        "machine": machine(),
        "load_average_before": load_average,
        "versions": {"twohop": versions(OURS), **versions_of_peers(contenders)},
        "amount": dataclasses.asdict(amount),
        **report.summary(running, memory, turns, known),
        "absent": {**absent, **late, **lost, **lost_later},
    }


def versions_of_peers(contenders: Mapping[str, Contender]) -> dict[str, dict[str, str]]:
    return {
        name: versions_of(each.python, each.packages) for name, each in contenders.items() if each.python is not None
    }


def publish(console: Console, found: dict[str, Any], results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    stem = results / f"peers-{found['date'][:19].replace(':', '')}"
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if found["contenders"]:
        picture.draw(found, stem.with_suffix(".png"))
    report.show(console, found)
    console.print(f"written: {stem}.json{' and .png' if found['contenders'] else ''}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
