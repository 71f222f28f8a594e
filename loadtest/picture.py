"""The comparison as a picture: how latency is distributed, and where the milliseconds go."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from loadtest.measure import Samples
from loadtest.report import article

COLOURS = {"plan1": "#b5523b", "plan3": "#2f6f9f", "plan4": "#4d8b57"}
HOP_COLOURS = {"hop 1": "#2f6f9f", "hop 2": "#8fbcdb"}
GREY = "#555555"
# Where a curve's name stands beside it (height, alignment, points aside): the curves of plans 3 and 4 are close.
NAME_PLACES: dict[str, tuple[float, Literal["left", "right"], int]] = {
    "plan1": (0.4, "left", 8), "plan3": (0.6, "right", -8), "plan4": (0.4, "left", 8),
}
TICKS_MS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 300, 500, 1000, 2000, 5000)


def draw(report: dict[str, Any], samples: dict[str, Samples], target: Path) -> None:
    """Writes a PNG of 1650 x 675 pixels."""
    with plt.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "font.family": "DejaVu Sans"}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), dpi=150, layout="constrained", width_ratios=[1.15, 1])
        distribution(left, samples)
        medians(right, report["plans"])
        machine = report["machine"]
        figure.suptitle(
            f"A text becomes a label: {report['workload']['texts']} texts, one at a time\n"
            f"encoder {report['encoder']['name']} ({report['encoder']['numerics']}), {machine['cpu']}, {machine['cores']} cores, "
            f"{report['date'][:10]}",
            fontsize=11,
        )
        figure.savefig(target)
        plt.close(figure)


def distribution(axes: Axes, samples: dict[str, Samples]) -> None:
    """Share of texts answered within x milliseconds."""
    for name, each in samples.items():
        ordered = sorted(each.ms)
        share = [(position + 1) / len(ordered) for position in range(len(ordered))]
        axes.step(ordered, share, where="post", color=COLOURS[name], linewidth=1.8)
        height, side, offset = NAME_PLACES[name]
        beside = (ordered[int(len(ordered) * height)], height)
        axes.annotate(
            each.title.split(":")[0], beside, xytext=(offset, 0), textcoords="offset points", color=COLOURS[name],
            fontweight="bold", ha=side, va="center",
        )
    axes.set_xscale("log")
    low = 0.85 * min(min(each.ms) for each in samples.values())
    high = 1.3 * max(sorted(each.ms)[int(len(each.ms) * 0.995)] for each in samples.values())
    axes.set_xlim(low, high)
    ticks = [tick for tick in TICKS_MS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1.01)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("milliseconds (logarithmic)")
    axes.set_title("texts answered within", loc="left", fontsize=10)
    axes.grid(alpha=0.25)


def medians(axes: Axes, plans: dict[str, Any]) -> None:
    """Median per plan with its 99th percentile as a whisker; plan 3 split into its hops."""
    names = list(plans)[::-1]
    for row, name in enumerate(names):
        plan, left = plans[name], 0.0
        if name == "plan3":
            for part, colour in HOP_COLOURS.items():
                width = plan["parts"][part]["p50_ms"]
                axes.barh(row, width, left=left, color=colour, height=0.55, label=part)
                left += width
        axes.barh(row, max(plan["p50_ms"] - left, 0), left=left, color=COLOURS[name], height=0.55)
        axes.plot([plan["p50_ms"], plan["p99_ms"]], [row, row], color=GREY, linewidth=1)
        axes.plot([plan["p99_ms"]] * 2, [row - 0.12, row + 0.12], color=GREY, linewidth=1)
        text = f"{plan['p50_ms']:.1f} ms" + (f" = {hops(plan)}" if name == "plan3" else "")
        axes.annotate(text, (0, row + 0.29), fontsize=9, va="bottom", xytext=(2, 0), textcoords="offset points")
        then = f"2019, BERT-base: {article(name)}"
        axes.annotate(then, (0, row - 0.29), fontsize=8, va="top", color=GREY, xytext=(2, 0), textcoords="offset points")
    axes.set_yticks(range(len(names)), [textwrap.fill(plans[name]["title"].replace(": ", ":\n"), 16) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.35)
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds; whisker: 99 % of texts")
    axes.set_title("median per text", loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def hops(plan: dict[str, Any]) -> str:
    return " + ".join(f"{plan['parts'][part]['p50_ms']:.1f} ({part})" for part in HOP_COLOURS)
