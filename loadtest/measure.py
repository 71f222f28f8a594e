"""One text at a time, like the article; every plan gets every text, in turns, so that what else the machine does meets
all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psutil

from loadtest.plans import Plan

WARM_UP_TEXTS = 20
Each = TypeVar("Each")


@dataclass
class Samples:
    """What one plan did: per text the label, and milliseconds as the caller saw them, and of each hop."""

    title: str
    ms: list[float] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts_ms: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    samples: dict[str, Samples]
    seconds: float
    generator_cpu_s: float              # of this process: what the measuring itself costs
    server_cpu_s: dict[str, float]
    server_rss_mib: dict[str, float]


def measure(
    plans: Sequence[Plan], texts: Sequence[str], servers: dict[str, int], on_text: Callable[[], None] = lambda: None
) -> Measurement:
    """Calls len(plans) x (warm-up + len(texts)) times and no more. `servers`: name -> process id."""
    for text in texts[:WARM_UP_TEXTS]:
        for plan in plans:
            plan.call(text)
    samples = {plan.name: Samples(plan.title) for plan in plans}
    before = {name: cpu_s(pid) for name, pid in servers.items()}
    began, own = time.perf_counter(), time.process_time()
    for turn, text in enumerate(texts):
        for plan in rotated(plans, turn):
            record(samples[plan.name], plan, text)
        on_text()
    seconds, own = time.perf_counter() - began, time.process_time() - own
    used = {name: cpu_s(pid) - before[name] for name, pid in servers.items()}
    return Measurement(samples, seconds, own, used, {name: rss_mib(pid) for name, pid in servers.items()})


def record(samples: Samples, plan: Plan, text: str) -> None:
    began = time.perf_counter()
    reply = plan.call(text)
    samples.ms.append((time.perf_counter() - began) * 1000)
    samples.labels.append(reply.label)
    for name, value in reply.parts_ms.items():
        samples.parts_ms.setdefault(name, []).append(value)


def rotated(those: Sequence[Each], turn: int) -> list[Each]:
    """Another one begins each time."""
    start = turn % len(those)
    return [*those[start:], *those[:start]]


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and its children."""
    return sum(sum(each.cpu_times()[:2]) for each in family(pid))


def rss_mib(pid: int) -> float:
    return sum(each.memory_info().rss for each in family(pid)) / 2**20


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
