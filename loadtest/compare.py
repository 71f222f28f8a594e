"""`make compare`: plans 1, 3 and 4 on the same head and the same texts, in one run, beside the article's numbers.

Starts every server itself on a free port of this machine, and stops it again. Writes a PNG and a JSON file."""

from __future__ import annotations

import datetime
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from deploy import sample_heads, services
from deploy.ports import LOOPBACK, free_ports
from deploy.processes import Processes
from deploy.services import Ports, Service
from embedding_service.model.folder_defaults import packaged_folder
from loadtest import environments, picture, report
from loadtest.machine import machine, versions, versions_of
from loadtest.measure import Measurement, measure
from loadtest.measuring import measuring
from loadtest.plans import HEAD, Gateway, Plan, TwoHops, WholeModel

ROOT = Path(__file__).resolve().parents[1]
WORKLOADS = (ROOT.parent / "shared" / "data" / "workload_1500.txt", ROOT / "embedding_service" / "tools" / "bench" / "sample.txt")
ALL_PLANS = ("1", "3", "4")
OURS = ("twohop", "openvino", "tensorflow-cpu", "tensorflow", "grpcio", "numpy", "httpx")
PLAN1 = ("torch", "sentence-transformers", "flask", "waitress")
PLAN1_FOLDER = ROOT / "loadtest" / "plan1"
PLAN1_NEEDS = "plan 1 needs torch, sentence-transformers, Flask and TensorFlow together"


@click.command(help=__doc__)
@click.option("--texts", "count", type=click.IntRange(min=2), help="How many texts, evenly spread; all unless told.")
@click.option("--workload", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with a text per line.")
@click.option("--plans", default=",".join(ALL_PLANS), show_default=True, help="Which plans, separated by commas.")
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "loadtest" / "results", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / "run" / "compare", show_default=True)
def main(count: int | None, workload: Path | None, plans: str, results: Path, folder: Path) -> None:
    chosen = plans.replace(" ", "").split(",")
    if not set(chosen) <= set(ALL_PLANS):
        raise click.BadParameter(f"choose from {', '.join(ALL_PLANS)}", param_hint="--plans")
    file = workload or next(path for path in WORKLOADS if path.exists())
    texts = spread(file.read_text("utf-8").splitlines(), count)
    with measuring(folder):
        compare(texts, file, sorted(set(chosen)), results, folder.resolve())


def spread(lines: Sequence[str], count: int | None) -> list[str]:
    """`count` of the texts, evenly spaced; all without a count or where there are fewer."""
    texts = [line for line in lines if line.strip()]
    if count is None or count >= len(texts):
        return texts
    return [texts[position * len(texts) // count] for position in range(count)]


def compare(texts: Sequence[str], file: Path, chosen: Sequence[str], results: Path, folder: Path) -> None:
    """Raises ProcessFailed, SetupFailed, or what a client raises."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    python = environments.ready("plan1", PLAN1_FOLDER / "requirements.txt", PLAN1_NEEDS) if "1" in chosen else None
    for leftover in (folder / "heads", folder / "logs"):
        shutil.rmtree(leftover, ignore_errors=True)
    ports = Ports.free()
    with Processes(folder / "logs") as processes:
        console.print("starting the services and training one head, which all plans share")
        trained, wanted = start_two_hops(processes, ports, folder)
        plans: list[Plan] = []
        if python:
            plan1 = whole_model(python, Path(trained["path"]))
            processes.start(plan1, environments.environment())
            processes.wait_ready(plan1)
            wanted.append(plan1)
            plans.append(WholeModel(plan1.ports[0][1]))
        if "3" in chosen:
            plans.append(TwoHops(f"{LOOPBACK}:{ports.embedding}/minilm", f"{LOOPBACK}:{ports.heads}"))
        if "4" in chosen:
            plans.append(Gateway(ports.gateway))
        try:
            servers = {service.name: processes.pid(service.name) for service in wanted}
            with Progress(console=console) as progress:
                task = progress.add_task("texts, each through every plan in turn", total=len(texts))
                measurement = measure(plans, texts, servers, lambda: progress.advance(task))
            processes.check()
        finally:
            for plan in plans:
                plan.close()
    publish(console, document(measurement, trained, file, python), measurement, results)


def start_two_hops(processes: Processes, ports: Ports, folder: Path) -> tuple[dict[str, Any], list[Service]]:
    """Returns what `train --json` said of the head, and the services that run."""
    repository = folder / "heads"
    wanted = [services.embedding(ports), services.heads(ports, repository, [HEAD]), services.gateway(ports, repository)]
    processes.start(wanted[0])
    processes.wait_ready(wanted[0])
    arguments = sample_heads.train_arguments(HEAD, f"{LOOPBACK}:{ports.embedding}/minilm", repository)
    argv = services.command("head-service", [*arguments, "--vectors", folder / "vectors", "--json"])
    trained: dict[str, Any] = json.loads(processes.run("train", argv))
    for service in wanted[1:]:
        processes.start(service)
    for service in wanted[1:]:
        processes.wait_ready(service)
    return trained, wanted


def whole_model(python: Path, head: Path) -> Service:
    """Plan 1's server, with the packaged encoder and the head that hop 2 serves."""
    [port] = free_ports(1)
    encoder = packaged_folder()
    argv = (str(python), str(PLAN1_FOLDER / "server.py"), "--encoder", str(encoder), "--head", str(head), "--port", str(port))
    return Service("plan1", argv, (("HTTP", port),), (f"http://{LOOPBACK}:{port}/readyz",))


def document(measurement: Measurement, trained: dict[str, Any], file: Path, python: Path | None) -> dict[str, Any]:
    count = len(next(iter(measurement.samples.values())).ms)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {**versions(OURS), **(versions_of(python, PLAN1) if python else {})},
        "workload": {"file": file.name, "texts": count},
        "head": {name: trained[name] for name in ("head", "kind", "labels", "data_sha256", "validation")},
        "encoder": trained["encoder"],
        "article_ms": report.ARTICLE_MS,
        **report.summary(measurement),
    }


def publish(console: Console, found: dict[str, Any], measurement: Measurement, results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    stem = results / f"compare-{found['date'][:19].replace(':', '')}"
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    picture.draw(found, measurement.samples, stem.with_suffix(".png"))
    report.show(console, found)
    console.print(f"written: {stem}.json and .png", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
