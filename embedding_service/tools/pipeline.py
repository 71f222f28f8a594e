"""Windows through the engine without a pause: one thread reads and tokenises ahead, one thread per stream of the engine
runs packs, the caller's thread keeps what is finished. At most WINDOWS_AT_ONCE are in memory.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Protocol

import numpy as np

from embedding_service.model.encoder import Item, Output, Tokens
from embedding_service.tools.parquet import Vectors
from embedding_service.tools.windows import Window

WINDOWS_AT_ONCE = 3         # one tokenised ahead, one in the engine, one being written
PATIENCE_S = 10.0           # for threads to end what they have begun
NOT_YET = np.empty((0, 0), np.float32)


class Engine(Protocol):
    """What is needed of `Encoders`."""

    @property
    def streams(self) -> int: ...

    def run(self, items: Sequence[Item], stream: int | None = None) -> Output: ...


class Work:
    """A window under way. `share`: of the whole input. Without packs it was done by an earlier run.

    `vectors` [rows, D] of each text, in the order of the window; complete when no text is left.
    """

    def __init__(self, window: Window, share: float, tokens: Sequence[Tokens], packs: Sequence[Sequence[int]]) -> None:
        self.window, self.share, self.tokens, self.packs = window, share, tokens, packs
        self.size = sum(len(each.ids) for each in tokens)                       # in tokens
        self.vectors: list[Vectors] = [NOT_YET] * len(tokens)
        self.texts_left = len(tokens)


@dataclass(frozen=True)
class _Done:
    work: Work
    pack: Sequence[int]


@dataclass(frozen=True)
class _ReadAll:
    windows: int


class Pipeline:
    """`works`: windows in order, made ready as they are asked for, on a thread. `dtype`: what vectors are kept as."""

    def __init__(self, engine: Engine, works: Iterator[Work], dtype: str) -> None:
        self._engine, self._works, self._dtype = engine, works, np.dtype(dtype)
        self._room = Semaphore(WINDOWS_AT_ONCE)
        self._packs: SimpleQueue[_Done | None] = SimpleQueue()
        self._events: SimpleQueue[_Done | _ReadAll | Exception] = SimpleQueue()
        self._stopping = Event()

    def run(self, advance: Callable[[Work, Sequence[int]], None], keep: Callable[[Work], None]) -> int:
        """Both are called in this thread: `advance` for every pack that is done, `keep` for every window. Returns how many
        windows there were. What a thread raises is raised here; then, and at KeyboardInterrupt, the rest stops within a pack."""
        threads = [Thread(target=self._prepare, name="prepare", daemon=True)]
        threads += [Thread(target=self._compute, args=(stream,), name=f"engine-{stream}", daemon=True)
                    for stream in range(self._engine.streams)]
        for thread in threads:
            thread.start()
        try:
            return self._collect(advance, keep)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)    # a second would end it while the engine runs: abort()
            raise
        finally:
            self._stop(threads)

    def _collect(self, advance: Callable[[Work, Sequence[int]], None], keep: Callable[[Work], None]) -> int:
        kept, windows = 0, -1
        while kept != windows:
            event = self._events.get()
            if isinstance(event, Exception):
                raise event
            if isinstance(event, _ReadAll):
                windows = event.windows
                continue
            work = event.work
            work.texts_left -= len(event.pack)
            advance(work, event.pack)
            if not work.texts_left:
                keep(work)
                kept += 1
                self._room.release()
        return kept

    def _prepare(self) -> None:
        try:
            windows = 0
            self._room.acquire()
            for work in self._works:
                windows += 1
                for pack in work.packs:
                    self._packs.put(_Done(work, pack))
                if not work.packs:
                    self._events.put(_Done(work, ()))
                self._room.acquire()
                if self._stopping.is_set():
                    return
            self._events.put(_ReadAll(windows))
        except Exception as error:
            self._events.put(error)

    def _compute(self, stream: int) -> None:
        try:
            while (task := self._packs.get()) and not self._stopping.is_set():
                items: list[Item] = [(0, task.work.tokens[index].ids, task.work.tokens[index].types) for index in task.pack]
                vectors = self._engine.run(items, stream).vectors
                with np.errstate(over="ignore"):        # infinite at float16: whoever keeps them refuses it
                    for index, array in zip(task.pack, vectors, strict=True):
                        task.work.vectors[index] = array.astype(self._dtype, copy=False)
                self._events.put(task)
        except Exception as error:
            self._events.put(error)

    def _stop(self, threads: Sequence[Thread]) -> None:
        self._stopping.set()
        self._room.release()
        for _ in threads:
            self._packs.put(None)
        for thread in threads:
            thread.join(PATIENCE_S)
