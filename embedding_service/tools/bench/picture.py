"""The document of `bench` as a picture: throughput with its share of the peak, and latency. The only importer of matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"f32": "#8fbcdb", "bf16": "#2f6f9f", "f16": "#2f6f9f", "int8": "#4d8b57"}
GREY = "#555555"


def draw(report: dict[str, Any], target: Path) -> None:
    """Writes a PNG. Raises OSError where it cannot."""
    runs = report["runs"][::-1]
    several = len(report["workloads"]) > 1
    names = [run["numerics"] + (f"\n{run['workload']}" if several else "") for run in runs]
    colours = [COLOURS.get(run["precision"], GREY) for run in runs]
    figure = Figure(figsize=(11, 1.8 + 0.55 * len(runs)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.barh(names, [run["texts_per_s"] for run in runs], color=colours, height=0.6)
    for row, run in enumerate(runs):
        share = "" if run["share_of_peak"] is None else f"  ({run['share_of_peak']:.0%} of peak)"
        left.annotate(f" {run['texts_per_s']:,.0f}{share}", (run["texts_per_s"], row), va="center", fontsize=9)
    left.set_xlim(0, 1.45 * max(run["texts_per_s"] for run in runs))
    left.set_title("texts per second, all streams busy (share of the GEMM peak)", loc="left", fontsize=9)
    right.barh(names, [run["one_p50_ms"] for run in runs], color=colours, height=0.6)
    for row, run in enumerate(runs):
        right.plot([run["one_p50_ms"], run["one_p99_ms"]], [row, row], color=GREY, linewidth=1)
        right.annotate(f" {run['one_p50_ms']:.2f} ms", (run["one_p99_ms"], row), va="center", fontsize=9)
    right.set_xlim(0, 1.25 * max(run["one_p99_ms"] for run in runs))
    right.set_yticks([])
    right.set_title("one text at a time: median ms, line to the 99th percentile", loc="left", fontsize=9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{report['encoder']} on {report['machine']}, {report['date'][:10]}", fontsize=11)
    figure.savefig(target, format="png")
