"""How far a long step is, on stderr: a bar with rate and time left on a terminal, else now and then a plain line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

LINE_EVERY_S = 10.0

Advance = Callable[[int], None]


class Progress(Protocol):
    """What `progress` is; who runs long steps takes one, so that its caller may watch them too."""

    def __call__(self, what: str, total: int, *, unit: str) -> AbstractContextManager[Advance]: ...


@contextmanager
def progress(what: str, total: int, *, unit: str = "texts") -> Iterator[Advance]:
    """Gives a function that is told how many more of `total` are done."""
    if sys.stderr.isatty():
        with _bar(what, total, unit) as advance:
            yield advance
    else:
        yield _lines(what, total, unit)


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    begun = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(count: int) -> None:
            bar.advance(task, count)
            done = bar.tasks[0].completed
            bar.update(task, rate=f"{done / max(1e-9, time.monotonic() - begun):.3g} {unit}/s")

        yield advance


def _lines(what: str, total: int, unit: str) -> Advance:
    begun = told = time.monotonic()
    done = 0

    def advance(count: int) -> None:
        nonlocal told, done
        done += count
        now = time.monotonic()
        if done and now - told >= LINE_EVERY_S:
            told = now
            rate = done / (now - begun)
            left_s = (total - done) / rate
            print(f"{what}: {done} of {total} {unit}, {rate:.3g}/s, {left_s:.0f} s left", file=sys.stderr, flush=True)

    return advance
