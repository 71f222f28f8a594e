"""The stop-watch: one text at a time, and all streams at once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.encoder import Encoders, Item

LEAST_SAMPLES = 5

Amounts = NDArray[np.float64]       # what one step did, of each kind that is counted


class Rates(NamedTuple):
    """Per second, all streams together. `filler`: tokens computed beside those of texts."""

    texts: float
    tokens: float
    filler: float


def one_at_a_time(encoders: Encoders, items: Sequence[Item], seconds: float, first: int) -> list[float]:
    """Milliseconds of each single text on the whole machine, tokens ready, for about so long; from item `first` on, around."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    for number in itertools.count(first):
        start = time.perf_counter()
        encoders.run([items[number % len(items)]])
        now = time.perf_counter()
        taken.append((now - start) * 1000)
        if now >= end and len(taken) >= LEAST_SAMPLES:
            return taken
    raise AssertionError("count() does not end")


def all_streams(encoders: Encoders, packs: Sequence[Sequence[Item]], seconds: float) -> Rates:
    """A thread per stream, all taking packs from one list, around and around."""
    numbers = itertools.count()

    def of_stream(stream: int) -> Callable[[], Amounts]:
        def step() -> Amounts:
            pack = packs[next(numbers) % len(packs)]
            filler = encoders.run(pack, stream).filler
            return np.array([len(pack), sum(len(ids) for _, ids, _ in pack), filler], np.float64)

        return step

    return Rates(*(float(rate) for rate in together([of_stream(stream) for stream in range(encoders.streams)], seconds)))


def together(steps: Sequence[Callable[[], Amounts]], seconds: float) -> Amounts:
    """Each step over and over in a thread of its own, started at once, for about so long and at least once: the sum of what
    each thread did per second of its own time. Raises what a step raises."""
    begin = threading.Barrier(len(steps))

    def work(step: Callable[[], Amounts]) -> Amounts:
        begin.wait()
        start = time.perf_counter()
        done = step()
        while (elapsed := time.perf_counter() - start) < seconds:
            done = done + step()
        return done / elapsed

    with ThreadPoolExecutor(len(steps)) as threads:
        rates = list(threads.map(work, steps))
    return np.asarray(np.sum(rates, axis=0), np.float64)
