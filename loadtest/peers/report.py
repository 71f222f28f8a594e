"""The measurement as values (JSON) and as tables: each contender, and ours against the peers beside what was promised."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from embedding_service.tools.bench.arithmetic import cosines
from loadtest.peers.callers import Vectors
from loadtest.peers.measure import BATCH_TEXTS, BATCHES, CALLERS, MANY, ONE, PHASES, Turn, Turns
from loadtest.peers.running import Running
from loadtest.report import percentiles

EXACT = "twohop-f32"        # what vectors are compared with
WHAT = {ONE: "one at a time", MANY: f"{CALLERS} callers", BATCHES: f"batches of {BATCH_TEXTS}"}
# Ours against a peer: how many times as fast, one at a time, with concurrent callers, in batches.
TARGETS: dict[tuple[str, str], tuple[float, float, float]] = {
    ("twohop-bf16", "plain"): (4, 12, 4),
    ("twohop-int8", "plain"): (4, 14, 5),
    ("twohop-f32", "plain"): (2, 6, 2),
    **{("twohop-bf16", peer): (3, 3, 3) for peer in ("infinity-f32-stock", "infinity-f32")},
    **{("twohop-int8", peer): (2.8, 2, 1.8) for peer in ("infinity-int8-stock", "infinity-int8")},
}
MORE_EXACT = ("twohop-int8", "infinity-int8")


def summary(
    running: Mapping[str, Running], rss_mib: Mapping[str, float], turns: Turns, vectors: Mapping[str, Vectors]
) -> dict[str, Any]:
    exact = vectors.get(EXACT)
    found = {}
    for name, parts in turns.items():
        near = None if exact is None or name not in vectors else smallest_and_mean(vectors[name], exact)
        found[name] = {
            "title": running[name].contender.title,
            **{part: part_summary(part, parts[part]) for part in PHASES},
            "ready_s": round(running[name].ready_s, 1),
            "rss_mib": round(rss_mib[name]),
            "cosine_to_f32": near,
        }
    return {"contenders": found, "ratios": [*speeds(turns), *exactness(found)]}


def part_summary(part: str, turns: Sequence[Turn]) -> dict[str, Any]:
    """Percentiles over all requests of all rounds; rates as medians of the rounds; CPU in cores that were busy."""
    seconds = sum(turn.seconds for turn in turns)
    return {
        **percentiles([ms for turn in turns for ms in turn.ms]),
        "texts_per_s": round(statistics.median(turn.texts / turn.seconds for turn in turns), 1),
        "rounds": [round(speed(part, turn), 4) for turn in turns],
        "generator_cores": round(sum(turn.generator_cpu_s for turn in turns) / seconds, 3),
        "server_cores": round(sum(turn.server_cpu_s for turn in turns) / seconds, 3),
    }


def speed(part: str, turn: Turn) -> float:
    """More is faster: texts a second, one at a time by the median request."""
    return 1000 / statistics.median(turn.ms) if part == ONE else turn.texts / turn.seconds


def speeds(turns: Turns) -> list[dict[str, Any]]:
    """The median of the rounds' ratios, where both were measured."""
    found = []
    for (ours, peer), targets in TARGETS.items():
        if ours not in turns or peer not in turns:
            continue
        for part, target in zip(PHASES, targets, strict=True):
            pairs = zip(turns[ours][part], turns[peer][part], strict=True)
            ratio = statistics.median(speed(part, one) / speed(part, other) for one, other in pairs)
            found.append({
                "ours": ours, "peer": peer, "what": WHAT[part], "ratio": round(ratio, 2), "target": target,
                "met": ratio >= target,
            })
    return found


def exactness(contenders: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whether our int8 is nearer to float32 than theirs: distances 1 - smallest cosine, theirs by ours."""
    pair = [contenders.get(name, {}).get("cosine_to_f32") for name in MORE_EXACT]
    if None in pair:
        return []
    ours, theirs = (max(1 - near["smallest"], 1e-9) for near in pair)
    return [{
        "ours": MORE_EXACT[0], "peer": MORE_EXACT[1], "what": "nearer to f32", "ratio": round(theirs / ours, 2), "target": 1,
        "met": ours < theirs,
    }]


def smallest_and_mean(vectors: Vectors, exact: Vectors) -> dict[str, float]:
    """Cosines between the two vectors [D] of each text."""
    found = cosines(vectors, exact)
    return {"smallest": round(float(found.min()), 6), "mean": round(float(found.mean()), 6)}


def show(console: Console, report: dict[str, Any]) -> None:
    machine, amount = report["machine"], report["amount"]
    title = (f"\n{report['workload']['file']}, {amount['rounds']} rounds in turns; {machine['cpu']}, {machine['cores']} cores; "
             f"CPU: cores busy, load generator + server")
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("")
    for column in ("one at a time\np50 / p99 ms", "CPU", f"{CALLERS} callers\nrequests/s", "p50 / p99 ms", "CPU",
                   f"batches of {BATCH_TEXTS}\ntexts/s", "CPU", "ready\ns", "RSS\nMiB", "smallest\ncosine"):
        table.add_column(column, justify="right")
    for each in report["contenders"].values():
        cosine = each["cosine_to_f32"]
        table.add_row(
            each["title"], latency(each[ONE]), cores(each[ONE]), f"{each[MANY]['texts_per_s']:.0f}", latency(each[MANY]),
            cores(each[MANY]), f"{each[BATCHES]['texts_per_s']:.0f}", cores(each[BATCHES]), f"{each['ready_s']:.1f}",
            f"{each['rss_mib']}", f"{cosine['smallest']:.5f}" if cosine else "-",
        )
    console.print(table)
    show_ratios(console, report["ratios"])
    for name, why in report["absent"].items():
        console.print(f"not measured: {name}: {brief(why)}", highlight=False, markup=False, soft_wrap=True)


def show_ratios(console: Console, ratios: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="\ntimes as fast, median of the rounds' ratios", title_justify="left", header_style="bold")
    for column in ("ours", "peer", "what"):
        table.add_column(column)
    for column in ("measured", "target", ""):
        table.add_column(column, justify="right")
    for each in ratios:
        met = "met" if each["met"] else "[bold red]missed[/]"
        table.add_row(each["ours"], each["peer"], each["what"], f"{each['ratio']:.2f}", f"{each['target']:g}", met)
    if ratios:
        console.print(table)


def brief(why: str) -> str:
    """What happened, and the end of a log if there is one: all of it is in the JSON file."""
    first, *rest = [line.strip() for line in why.splitlines() if line.strip()] or ["no reason was given"]
    return f"{first} {rest[-1]}" if rest else first


def latency(part: Mapping[str, float]) -> str:
    return f"{part['p50_ms']:.1f} / {part['p99_ms']:.1f}"


def cores(part: Mapping[str, float]) -> str:
    return f"{part['generator_cores']:.2f} + {part['server_cores']:.2f}"
