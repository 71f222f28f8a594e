"""Results as the document of `--json`, and as a table for people."""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from embedding_service.model.encoder import Encoder
from embedding_service.tools.bench.arithmetic import linear_flops_per_token, percentile, share_of_peak
from embedding_service.tools.bench.contenders import Contender, Skipped
from embedding_service.tools.bench.workload import Workload

if TYPE_CHECKING:
    from embedding_service.tools.bench.bench import Plan


def document(
    plan: Plan, encoder: Encoder, works: Sequence[Workload], found: Sequence[Contender], skipped: Sequence[Skipped], threads: int
) -> dict[str, Any]:
    """Rates are medians over the rounds, peaks the best of them; percentiles are over all single texts of all rounds."""
    flops = linear_flops_per_token(encoder.spec.architecture, encoder.spec.top)
    runs = [_run(each, work, flops) for work in works for each in found]
    for run in runs:
        exact = next((other for other in runs if (other["engine"], other["workload"], other["precision"]) ==
                      (run["engine"], run["workload"], "f32")), None)
        run["one_speedup_to_f32"] = exact and round(exact["one_p50_ms"] / run["one_p50_ms"], 3)
        run["texts_speedup_to_f32"] = exact and round(run["texts_per_s"] / exact["texts_per_s"], 3)
    engines = dict.fromkeys(each.engine for each in found)
    return {
        "machine": _machine(engines, threads),
        "cores": threads,
        "versions": _versions(engines),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "encoder": encoder.name,
        "fingerprint": None if plan.random else encoder.fingerprint,
        "random_weights": plan.random,
        "linear_flops_per_token": flops,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "workloads": [{"name": work.name, "texts": len(work.items), "mean_tokens": round(work.mean_tokens, 2)} for work in works],
        "runs": runs,
        "skipped": [asdict(each) for each in skipped],
    }


def _run(each: Contender, work: Workload, flops: int) -> dict[str, Any]:
    trial = each.trial(work.name)
    tokens = median(rates.tokens for rates in trial.rates)
    computed, filler = (sum(values) for values in zip(*((r.tokens + r.filler, r.filler) for r in trial.rates), strict=True))
    shape, peak = each.peak.best if each.peak else (None, None)
    smallest, mean = trial.cosines or (None, None)
    return {
        "engine": each.engine,
        "precision": each.precision,
        "numerics": each.name,
        "workload": work.name,
        "tokens": work.length,
        "one_p50_ms": round(percentile(trial.ms, 50), 3),
        "one_p99_ms": round(percentile(trial.ms, 99), 3),
        "one_texts": len(trial.ms),
        "texts_per_s": round(median(rates.texts for rates in trial.rates), 1),
        "texts_per_s_rounds": [round(rates.texts, 1) for rates in trial.rates],
        "tokens_per_s": round(tokens),
        "linear_gflops": round(tokens * flops / 1e9, 1),
        "gemm_peak_gflops": peak and round(peak, 1),
        "gemm_shape": shape and str(shape),
        "share_of_peak": peak and round(share_of_peak(tokens, flops, peak), 3),
        "padding_waste": round(filler / computed, 4),
        "min_cosine_to_f32": smallest and round(smallest, 6),
        "mean_cosine_to_f32": mean and round(mean, 6),
        "streams": each.encoders.streams,
        "tokens_per_batch": each.encoders.tokens_per_batch,
    }


def _machine(engines: Collection[str], threads: int) -> str:
    parts = [_cpu(), f"{threads} core{'s' if threads > 1 else ''}"]
    if "torch" in engines:
        from embedding_service.tools.bench.torch_gemm import device_name

        parts += [name for name in [device_name()] if name]
    return ", ".join([*parts, platform.system()])


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions(engines: Collection[str]) -> dict[str, str]:
    return {"python": platform.python_version(), **{engine: metadata.version(engine) for engine in engines}}
