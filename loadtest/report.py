"""A measurement as values (JSON) and as a table beside the article's numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.measure import Measurement, Samples

# Milliseconds per sentence in the article (2019): BERT-base and FastText, 1,500 sentences, one at a time.
ARTICLE_MS: dict[str, dict[str, float]] = {
    "plan1": {"V100": 10.2, "64-core CPU": 390.0},
    "plan2": {"CPU": 292.0},
    "plan3": {"V100 + CPU": 10.1, "hop 1": 7.3, "hop 2": 2.8},
    "plan4": {},
}


def summary(measurement: Measurement) -> dict[str, Any]:
    """Percentiles per plan, agreement of labels with the first plan, ratios of medians, and what measuring cost."""
    first = next(iter(measurement.samples.values()))
    plans = {name: plan_summary(samples, first) for name, samples in measurement.samples.items()}
    medians = {name: statistics.median(samples.ms) for name, samples in measurement.samples.items()}
    names = list(medians)
    ratios = {f"{b}/{a}": round(medians[b] / medians[a], 3) for i, a in enumerate(names) for b in names[i + 1 :]}
    return {
        "plans": plans,
        "p50_ratios": ratios,
        "seconds": round(measurement.seconds, 1),
        "load_generator_share_of_one_core": round(measurement.generator_cpu_s / measurement.seconds, 3),
        "servers": {
            name: {"cpu_s": round(used, 2), "rss_mib": round(measurement.server_rss_mib[name])}
            for name, used in measurement.server_cpu_s.items()
        },
    }


def plan_summary(samples: Samples, reference: Samples) -> dict[str, Any]:
    agree = sum(a == b for a, b in zip(samples.labels, reference.labels, strict=True))
    return {
        "title": samples.title,
        "texts": len(samples.ms),
        **percentiles(samples.ms),
        "parts": {name: percentiles(values) for name, values in samples.parts_ms.items()},
        "labels_agree": round(agree / len(samples.labels), 4),
        "labels_compared_with": reference.title,
    }


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """Milliseconds. Percentiles by linear interpolation between order statistics."""
    cuts = statistics.quantiles(values_ms, n=100, method="inclusive") if len(values_ms) > 1 else [values_ms[0]] * 99
    found = {"p50_ms": cuts[49], "p90_ms": cuts[89], "p99_ms": cuts[98], "mean_ms": statistics.fmean(values_ms)}
    return {name: round(value, 3) for name, value in found.items()}


def show(console: Console, report: dict[str, Any]) -> None:
    machine, plans = report["machine"], report["plans"]
    count = report["workload"]["texts"]
    title = f"\nmilliseconds per text, one at a time, {count} texts; {machine['cpu']}, {machine['cores']} cores"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("")
    for column in ("p50", "p90", "p99", "mean"):
        table.add_column(column, justify="right")
    table.add_column("same label", justify="right")
    table.add_column("the article (BERT-base)", style="dim")
    for name, plan in plans.items():
        agree = f"{plan['labels_agree']:.1%}"
        table.add_row(plan["title"], *numbers(plan), agree, article(name))
        for part, values in plan["parts"].items() if name == "plan3" else ():
            table.add_row(f"  {part}", *numbers(values), "", f"{ARTICLE_MS[name][part]} ms")
    console.print(table)
    for ratio, value in report["p50_ratios"].items():
        console.print(f"p50 {ratio}: {value:.2f}", highlight=False)
    console.print(
        f"encoder {report['encoder']['name']} ({report['encoder']['numerics']}); the load generator used "
        f"{report['load_generator_share_of_one_core']:.0%} of one core; memory: "
        + ", ".join(f"{name} {used['rss_mib']} MiB" for name, used in report["servers"].items()),
        highlight=False,
    )


def numbers(values: dict[str, Any]) -> list[str]:
    return [f"{values[name]:.2f}" for name in ("p50_ms", "p90_ms", "p99_ms", "mean_ms")]


def article(name: str) -> str:
    found = [f"{where} {ms} ms" for where, ms in ARTICLE_MS[name].items() if not where.startswith("hop")]
    return ", ".join(found) or "not measured"
