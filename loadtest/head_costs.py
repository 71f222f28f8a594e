"""What each kind of head costs: hop 2 alone, over gRPC, from vectors to labels, beside `linear` on the plain vector.

Starts hop 1, trains a head of each kind by `head-service train`, starts hop 2 and asks all heads for each text in turn, with
vectors that hop 1 gave before. Writes a table and a JSON file. A kind that cannot be trained is named with the reason."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy import sample_heads, services
from deploy.ports import LOOPBACK
from deploy.processes import Processes, ProcessFailed
from deploy.services import Ports
from loadtest.compare import OURS, ROOT, WORKLOADS, spread
from loadtest.machine import machine, versions
from loadtest.measure import Measurement, measure
from loadtest.measuring import measuring
from loadtest.plans import Reply
from loadtest.report import percentiles
from twohop import EmbeddingClient, Embeddings, HeadClient
from twohop.embedding import Dtype
from twohop.head_inputs import head_inputs

PLAIN = "linear on minilm"
# Kind and encoder, and the aim: times the p50 of PLAIN.
CONTENDERS: dict[str, tuple[str, str, float | None]] = {
    PLAIN: ("linear", "minilm", None),
    "linear on rich": ("linear", "rich", 1.2),
    "mlp on minilm": ("mlp", "minilm", None),
    "fasttext on tokens": ("fasttext", "tokens", None),
    "attention on tokens": ("attention", "tokens", 1.7),
    "hybrid on tokens": ("hybrid", "tokens", 1.9),
}
TIMEOUT_S = 60.0
TEXTS = 1500
SAMPLE_HEAD = "sentiment"


@click.command(help=__doc__)
@click.option("--texts", "count", type=click.IntRange(min=2), default=TEXTS, show_default=True, help="How many, evenly spread.")
@click.option("--workload", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with a text per line.")
@click.option("--heads", "names", default=",".join(CONTENDERS), show_default=True, help="Which, separated by commas.")
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="What heads are trained on.  [default: the sample that comes with the project]")
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "loadtest" / "results", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=ROOT / "run" / "head_costs", show_default=True)
def main(count: int, workload: Path | None, names: str, data: Path | None, results: Path, folder: Path) -> None:
    chosen = [name.strip() for name in names.split(",")]
    if not set(chosen) <= set(CONTENDERS):
        raise click.BadParameter(f"choose from {', '.join(CONTENDERS)}", param_hint="--heads")
    file = workload or next(path for path in WORKLOADS if path.exists())
    texts = spread(file.read_text("utf-8").splitlines(), count)
    console = Console(width=None if sys.stdout.isatty() else 130)
    with measuring(folder):
        found = compare(console, list(dict.fromkeys([PLAIN, *chosen])), texts, data, folder.resolve())
        found["workload"] = {"file": file.name, "texts": len(texts)}
        results.mkdir(parents=True, exist_ok=True)
        path = results / f"head-costs-{found['date'][:19].replace(':', '')}.json"
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    show(console, found)
    console.print(f"written: {path}", highlight=False, soft_wrap=True)


class HeadAlone:
    """Hop 2, asked for one text with the vectors that hop 1 gave for it before; padding what is ragged is in it."""

    def __init__(self, name: str, client: HeadClient, head: str, vectors: Mapping[str, Embeddings]) -> None:
        self.name = self.title = name
        self._client, self._head, self._vectors = client, head, vectors
        self._signature = client.signature(head)

    def call(self, text: str) -> Reply:
        found = self._vectors[text]
        [inputs] = head_inputs(self._signature, found, [text])
        return Reply(self._client.predict(self._head, inputs, fingerprint=found.fingerprint)[0].label or "")

    def close(self) -> None: ...


def compare(console: Console, names: Sequence[str], texts: Sequence[str], data: Path | None, folder: Path) -> dict[str, Any]:
    """Raises ProcessFailed, or what a client raises."""
    for leftover in (folder / "heads", folder / "logs"):
        shutil.rmtree(leftover, ignore_errors=True)
    ports, repository = Ports.free(), folder / "heads"
    load_average = os.getloadavg()[0]
    with Processes(folder / "logs") as processes:
        hop_1 = services.embedding(ports)
        processes.start(hop_1)
        processes.wait_ready(hop_1)
        trained, absent = train_all(console, names, f"{LOOPBACK}:{ports.embedding}", data, repository, folder)
        hop_2 = services.heads(ports, repository, [head_of(name) for name in trained])
        processes.start(hop_2)
        vectors = {name: embedded(f"{LOOPBACK}:{ports.embedding}", CONTENDERS[name][1], texts) for name in trained}
        processes.wait_ready(hop_2)
        with HeadClient(f"{LOOPBACK}:{ports.heads}", timeout_s=TIMEOUT_S) as client, Progress(console=console) as progress:
            plans = [HeadAlone(name, client, head_of(name), vectors[name]) for name in trained]
            task = progress.add_task("texts, each through every head in turn", total=len(texts))
            measurement = measure(plans, texts, {"heads": processes.pid("heads")}, lambda: progress.advance(task))
        processes.check()
    sizes = {name: size_bytes(Path(trained[name]["path"])) for name in trained}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "loadtest.head_costs", *sys.argv[1:]]),
        "machine": machine(),
        "load_average_before": load_average,
        "versions": versions(OURS),
        "heads": summary(measurement, sizes, trained),
        "server_rss_mib": round(measurement.server_rss_mib["heads"]),
        "absent": absent,
    }


def train_all(
    console: Console, names: Sequence[str], hop_1: str, data: Path | None, repository: Path, folder: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What `train --json` said of each head, and why others could not be trained. Raises ProcessFailed where PLAIN could not."""
    trained, absent = {}, {}
    for name in names:
        kind, encoder, _ = CONTENDERS[name]
        console.print(f"training: {name}")
        arguments = ["train", "--data", data or sample_heads.sample(f"{SAMPLE_HEAD}.train.tsv"), "--head", head_of(name)]
        arguments += ["--kind", kind, "--encoder", f"{hop_1}/{encoder}", "--repository", repository]
        argv = services.command("head-service", [*arguments, "--vectors", folder / "vectors", "--json"])
        try:
            with Processes(folder / "logs") as one:
                trained[name] = json.loads(one.run(f"train-{head_of(name)}", argv))
        except ProcessFailed as error:
            if name == PLAIN:
                raise
            absent[name] = str(error)
    return trained, absent


def embedded(hop_1: str, encoder: str, texts: Sequence[str]) -> dict[str, Embeddings]:
    """The vectors of each text, as the chain of both hops asks for them."""
    with EmbeddingClient(hop_1, timeout_s=TIMEOUT_S) as client:
        dtype: Dtype = "float16" if client.encoders().named(encoder).per_token else "float32"
        return {text: client.embed([text], encoder=encoder, dtype=dtype) for text in dict.fromkeys(texts)}


def head_of(name: str) -> str:
    return name.replace(" ", "-")


def size_bytes(version: Path) -> dict[str, int]:
    """Of the graph, of the variables, and of all that a head server reads."""
    graph = (version / "saved_model.pb").stat().st_size
    variables = sum(file.stat().st_size for file in (version / "variables").iterdir())
    assets = sum(file.stat().st_size for file in (version / "assets").iterdir()) if (version / "assets").is_dir() else 0
    return {"graph": graph, "variables": variables, "all": graph + variables + assets}


def summary(
    measurement: Measurement, sizes: Mapping[str, Mapping[str, int]], trained: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    plain = statistics.median(measurement.samples[PLAIN].ms)
    return {
        name: {
            **percentiles(samples.ms),
            "times_plain": round(statistics.median(samples.ms) / plain, 3),
            "aim": CONTENDERS[name][2],
            "bytes": dict(sizes[name]),
            "encoder": trained[name]["encoder"],
        }
        for name, samples in measurement.samples.items()
    }


def show(console: Console, found: Mapping[str, Any]) -> None:
    where = found["machine"]
    count = found["workload"]["texts"]
    title = f"\nhop 2 alone, one text at a time, {count} texts in turns; {where['cpu']}, {where['cores']} cores"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("")
    for column in ("p50 ms", "p90", "p99", f"p50 / {PLAIN}", "aim", "graph kB", "variables kB"):
        table.add_column(column, justify="right")
    for name, each in found["heads"].items():
        times = f"{each['times_plain']:.2f}"
        missed = each["aim"] is not None and each["times_plain"] > each["aim"]
        table.add_row(
            name, f"{each['p50_ms']:.3f}", f"{each['p90_ms']:.3f}", f"{each['p99_ms']:.3f}",
            f"[bold red]{times}[/]" if missed else times, f"{each['aim']:g}" if each["aim"] else "",
            f"{each['bytes']['graph'] / 1000:.1f}", f"{each['bytes']['variables'] / 1000:.1f}",
        )  # fmt: skip
    console.print(table)
    for name, why in found["absent"].items():
        console.print(f"not measured: {name}: {why.splitlines()[-1]}", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
