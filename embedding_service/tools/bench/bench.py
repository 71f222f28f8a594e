"""The measurement from end to end: load, compare with float32, measure in rounds, report as one document."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding_service.model.cores import available_cores
from embedding_service.model.encoder import Encoders, describe_encoders
from embedding_service.tools.bench import contenders, workload
from embedding_service.tools.bench.arithmetic import cosines, percentile
from embedding_service.tools.bench.contenders import Contender
from embedding_service.tools.bench.measure import all_streams, one_at_a_time
from embedding_service.tools.bench.random_weights import write_random
from embedding_service.tools.bench.report import document
from embedding_service.tools.bench.workload import Workload

TEXTS_COMPARED = 512            # with float32, from all over the workload
PACKS_PER_STREAM = 4            # so that no stream meets the same texts in every pack
PEAK_SHARE_OF_TIME = 0.5        # matrix products are steady: half of a measurement's seconds will do


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. `random`: a size of weights of chance, in place of `model`; `lengths`: synthetic texts of so many
    tokens, in place of `file`; `seconds`: of each measurement in each of the `rounds`."""

    model: str
    random: str | None
    file: Path | None
    lengths: tuple[int, ...]
    engines: tuple[str, ...]
    precisions: tuple[str, ...]
    threads: int
    rounds: int
    seconds: float


def bench(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """The document of `bench --json`; `say` is told how it goes.

    Raises InvalidInput and Failed for a model, a file or a length that cannot be measured, or if no engine can run.
    """
    threads = plan.threads or available_cores()
    with _model(plan, say) as model:
        encoder = describe_encoders([model])[0]
        works = [workload.of_length(encoder, length) for length in plan.lengths] or [workload.from_file(encoder, plan.file)]
        found, skipped = contenders.load(model, encoder, plan.engines, plan.precisions, threads, say)
        if not plan.random:
            _compare(model, found, works, threads, say)
        _measure(found, works, plan, say)
        return document(plan, encoder, works, found, skipped, threads)


@contextmanager
def _model(plan: Plan, say: Callable[[str], None]) -> Iterator[str]:
    """The `--model` to load. Weights of chance live as long as this."""
    if not plan.random:
        yield plan.model
        return
    with tempfile.TemporaryDirectory(prefix="twohop-bench-") as folder:
        say(f"making weights of chance, as large as {plan.random}'s")
        yield f"random-{plan.random}={write_random(Path(folder), plan.random)}:layers=-1"


def _compare(model: str, found: Sequence[Contender], works: Sequence[Workload], threads: int, say: Callable[[str], None]) -> None:
    """Cosines to the same engine's float32, which is loaded for this if it does not run itself."""
    for engine in dict.fromkeys(each.engine for each in found):
        rivals = [each for each in found if each.engine == engine]
        exact = next((each.encoders for each in rivals if each.precision == "f32"), None)
        exact = exact or Encoders.load([model], engine=engine, precision="f32", threads=threads)
        for work in works:
            say(f"comparing with {exact.numerics}: {work.name}")
            items = workload.evenly(work.items, TEXTS_COMPARED)
            truth = exact.run(items).vectors
            for each in rivals:
                found_cosines = cosines(each.encoders.run(items).vectors, truth)
                each.trial(work.name).cosines = float(found_cosines.min()), float(found_cosines.mean())


def _measure(found: Sequence[Contender], works: Sequence[Workload], plan: Plan, say: Callable[[str], None]) -> None:
    """In rounds, in turns: a machine that gets slower or faster meanwhile does so for all. Each round another goes first."""
    packs = {
        (each.name, work.name): work.packs(each.encoders.tokens_per_batch, PACKS_PER_STREAM * each.encoders.streams)
        for each in found for work in works
    }
    for each in found:
        for work in works:
            all_streams(each.encoders, packs[each.name, work.name], 0.0)        # every stream once: caches and clocks wake up
    for number in range(plan.rounds):
        first = number % len(found)
        for each in (*found[first:], *found[:first]):
            if each.peak is not None:
                each.peak.measure(plan.seconds * PEAK_SHARE_OF_TIME)
            for work in works:
                trial = each.trial(work.name)
                ms = one_at_a_time(each.encoders, work.items, plan.seconds, first=len(trial.ms))
                rates = all_streams(each.encoders, packs[each.name, work.name], plan.seconds)
                trial.ms += ms
                trial.rates.append(rates)
                say(f"round {number + 1} of {plan.rounds}: {each.name}, {work.name}: one text {percentile(ms, 50):.2f} ms, "
                    f"{rates.texts:.0f} texts/s")
