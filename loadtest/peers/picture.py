"""The measurement as a picture: a panel for each part, a bar for each contender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from loadtest.peers.measure import BATCHES, MANY, ONE
from loadtest.peers.report import WHAT

OURS_COLOUR, PEER_COLOUR, GREY = "#2f6f9f", "#b5523b", "#555555"
PANELS = (
    (ONE, "p50_ms", "milliseconds; whisker: 99 %"), (MANY, "texts_per_s", "requests/s"), (BATCHES, "texts_per_s", "texts/s"),
)


def draw(report: dict[str, Any], target: Path) -> None:
    """Writes a PNG of 1650 x 675 pixels."""
    contenders, machine = report["contenders"], report["machine"]
    with plt.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "font.family": "DejaVu Sans"}):
        figure, panels = plt.subplots(1, 3, figsize=(11, 4.5), dpi=150, layout="constrained", sharey=True)
        for axes, (part, value, unit) in zip(panels, PANELS, strict=True):
            bars(axes, contenders, part, value)
            axes.set_title(WHAT[part], loc="left", fontsize=10)
            axes.set_xlabel(unit)
        panels[0].set_yticks(range(len(contenders)), [each["title"].replace(" in ", "\nin ") for each in contenders.values()])
        panels[0].invert_yaxis()
        figure.suptitle(
            f"all-MiniLM-L6-v2 served, {report['workload']['file']}, {report['amount']['rounds']} rounds in turns\n"
            f"{machine['cpu']}, {machine['cores']} cores, {report['date'][:10]}", fontsize=11,
        )
        figure.savefig(target)
        plt.close(figure)


def bars(axes: Axes, contenders: dict[str, Any], part: str, value: str) -> None:
    for row, (name, each) in enumerate(contenders.items()):
        found = each[part][value]
        axes.barh(row, found, color=OURS_COLOUR if name.startswith("twohop") else PEER_COLOUR, height=0.55)
        if part == ONE:
            axes.plot([found, each[part]["p99_ms"]], [row, row], color=GREY, linewidth=1)
        label = f"{found:.1f}" if part == ONE else f"{found:.0f}"
        axes.annotate(label, (0, row - 0.31), fontsize=9, va="bottom", xytext=(2, 0), textcoords="offset points")
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
