"""What is measured, in rounds: each round every contender gets the same texts, and another one begins."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loadtest.measure import cpu_s, rotated
from loadtest.peers.callers import Asking, Vectors
from loadtest.peers.contenders import Contender
from loadtest.peers.running import FAILED, Running, awake

ONE, MANY, BATCHES = PHASES = ("one", "many", "batches")
CALLERS = 32
BATCH_TEXTS = 256
WARM_UP_TEXTS = 5


@dataclass(frozen=True)
class Amount:
    """Of each round: texts one at a time, seconds of concurrent callers (after `settle_s` of them), and batches."""

    rounds: int
    texts: int
    settle_s: float
    window_s: float
    batches: int


FULL = Amount(rounds=5, texts=150, settle_s=1.0, window_s=5.0, batches=5)
QUICK = Amount(rounds=2, texts=30, settle_s=0.5, window_s=1.5, batches=1)


@dataclass(frozen=True)
class Turn:
    """One contender in one part of a round. `ms`: of each request. CPU seconds of this process and of the server's."""

    seconds: float
    texts: int
    ms: list[float]
    generator_cpu_s: float
    server_cpu_s: float


Turns = dict[str, dict[str, list[Turn]]]        # by contender, by part: a turn for each round


def measure(
    running: Mapping[str, Running], texts: Sequence[str], amount: Amount, on_turn: Callable[[], None]
) -> tuple[Turns, dict[str, str]]:
    """Turns of those that answered to the end, and why the others did not."""
    turns: Turns = {name: {part: [] for part in PHASES} for name in running}
    lost: dict[str, str] = {}
    for number, (position, part) in itertools.product(range(amount.rounds), enumerate(PHASES)):
        share = texts_of_round(texts, number, amount)
        for name in rotated(list(running), number + position):
            if name not in lost:
                with awake(running[name].pid):
                    try:
                        turns[name][part].append(turn(running[name], part, share, amount))
                    except FAILED as error:
                        lost[name] = reason(error)
            on_turn()
    return {name: found for name, found in turns.items() if name not in lost}, lost


def texts_of_round(texts: Sequence[str], number: int, amount: Amount) -> list[str]:
    """The file from another place each round, from its start again after its end."""
    start = number * amount.texts % len(texts)
    return [*texts[start:], *texts[:start]]


def turn(running: Running, part: str, texts: Sequence[str], amount: Amount) -> Turn:
    if part == MANY:
        return asyncio.run(together(running, texts, amount))
    if part == ONE:
        requests = [[text] for text in itertools.islice(itertools.cycle(texts), amount.texts)]
    else:
        requests = batches(texts, amount.batches)
    return in_turn(running, texts, requests)


def batches(texts: Sequence[str], count: int) -> list[list[str]]:
    """`count` of BATCH_TEXTS texts, one after the other in the file, from its start again after its end."""
    source = itertools.cycle(texts)
    return [list(itertools.islice(source, BATCH_TEXTS)) for _ in range(count)]


def in_turn(running: Running, warm_up: Sequence[str], requests: Sequence[list[str]]) -> Turn:
    """One request at a time over one connection."""
    caller = running.contender.client.blocking(running.contender.address)
    try:
        for text in warm_up[:WARM_UP_TEXTS]:
            caller.embed([text])
        meter, ms = Meter(running.pid), []
        for texts in requests:
            began = time.perf_counter()
            caller.embed(texts)
            ms.append((time.perf_counter() - began) * 1000)
        return meter.turn(sum(map(len, requests)), ms)
    finally:
        caller.close()


async def together(running: Running, texts: Sequence[str], amount: Amount) -> Turn:
    """CALLERS at a time, each with one text after the other. What counts is answered in a window in the middle of them, so
    that neither the first requests nor the last meet a server that has less to do."""
    callers = await running.contender.client.several(running.contender.address, CALLERS)
    source = itertools.cycle(texts)
    ms: list[float] = []
    asking = True

    async def one_after_the_other(caller: Asking) -> None:
        while asking:
            began = time.perf_counter()
            await caller.embed([next(source)])
            ms.append((time.perf_counter() - began) * 1000)

    async def window() -> Turn:
        nonlocal asking
        await asyncio.sleep(amount.settle_s)
        meter, before = Meter(running.pid), len(ms)
        await asyncio.sleep(amount.window_s)
        found = meter.turn(len(ms) - before, ms[before:])
        asking = False
        return found

    try:
        measured = asyncio.create_task(window())
        await asyncio.gather(measured, *map(one_after_the_other, callers))
        return measured.result()
    finally:
        for caller in callers:
            await caller.aclose()


class Meter:
    """Wall and CPU seconds since it was made."""

    def __init__(self, pid: int) -> None:
        self._pid, self._server_cpu_s = pid, cpu_s(pid)
        self._began, self._own_cpu_s = time.perf_counter(), time.process_time()

    def turn(self, texts: int, ms: list[float]) -> Turn:
        seconds, own = time.perf_counter() - self._began, time.process_time() - self._own_cpu_s
        return Turn(seconds, texts, ms, own, cpu_s(self._pid) - self._server_cpu_s)


def vectors(running: Mapping[str, Running], texts: Sequence[str]) -> tuple[dict[str, Vectors], dict[str, str]]:
    """[texts, D] of each, asked in batches; and why others did not answer."""
    found, lost = {}, {}
    for name, each in running.items():
        with awake(each.pid):
            try:
                found[name] = asked(each.contender, texts)
            except FAILED as error:
                lost[name] = reason(error)
    return found, lost


def asked(contender: Contender, texts: Sequence[str]) -> Vectors:
    caller = contender.client.blocking(contender.address)
    try:
        return np.concatenate([caller.embed(texts[at : at + BATCH_TEXTS]) for at in range(0, len(texts), BATCH_TEXTS)])
    finally:
        caller.close()


def reason(error: BaseException) -> str:
    return f"failed while it was measured: {type(error).__name__}: {error}"
