"""The document of `bench` as a table for people: ratios first, since milliseconds are only this machine's."""

from __future__ import annotations

from typing import Any

COLUMNS = (
    ("one text", "x f32"), ("texts/s", "x f32"), ("share of", "peak"), ("one text", "p50 ms"), ("", "p99 ms"), ("", "texts/s"),
    ("", "tokens/s"), ("linear", "GFLOP/s"), ("peak", "GFLOP/s"), ("peak", "measured at"), ("", "filler"),
    ("cosine to", "f32: min"), ("", "mean"),
)


def table(report: dict[str, Any]) -> str:
    """All of it, without a line end at the end."""
    identity = "weights of chance: speed only" if report["random_weights"] else report["fingerprint"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [f"{report['encoder']}, {identity}", f"{report['machine']}, {versions}, {report['date']}"]
    for work in report["workloads"]:
        runs = [run for run in report["runs"] if run["workload"] == work["name"]]
        lines += ["", f"{work['name']}: {work['texts']} texts, {work['mean_tokens']:g} tokens each on average", *_rows(runs)]
    lines += ["", *_notes(report)]
    return "\n".join(lines)


def _rows(runs: list[dict[str, Any]]) -> list[str]:
    cells = [("", *(above for above, _ in COLUMNS)), ("", *(below for _, below in COLUMNS)), *(_cells(run) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left, *others = widths
    return [
        "  ".join([name.ljust(left), *(cell.rjust(width) for cell, width in zip(values, others, strict=True))]).rstrip()
        for name, *values in cells
    ]


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    return (
        run["numerics"],
        _or_dash(run["one_speedup_to_f32"], ".2f"), _or_dash(run["texts_speedup_to_f32"], ".2f"),
        _or_dash(run["share_of_peak"], ".0%"),
        f"{run['one_p50_ms']:.2f}", f"{run['one_p99_ms']:.2f}", f"{run['texts_per_s']:,.0f}", f"{run['tokens_per_s']:,.0f}",
        f"{run['linear_gflops']:,.0f}", _or_dash(run["gemm_peak_gflops"], ",.0f"), run["gemm_shape"] or "-",
        f"{run['padding_waste']:.1%}", _or_dash(run["min_cosine_to_f32"], ".5f"), _or_dash(run["mean_cosine_to_f32"], ".5f"),
    )


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _notes(report: dict[str, Any]) -> list[str]:
    run = report["runs"][0]
    lines = [
        f"one text: alone on the whole machine, its tokens ready; texts/s: {run['streams']} stream(s) at once, packs of up to "
        f"{run['tokens_per_batch']} tokens; medians of {report['rounds']} rounds.",
        f"share of peak = tokens/s x {report['linear_flops_per_token'] / 1e6:.2f} MFLOP a token / peak; only linear layers of "
        "real tokens count, attention and filler do not.",
        "peak: large matrix products in the same library, precision, streams and threads, in the same rounds; the best round.",
    ]
    return lines + [f"skipped {each['engine']} {each['precision']}: {each['reason']}" for each in report["skipped"]]
