"""The worker process: loads the encoders, then runs one batch after the other until its service is gone.

The only process of hop 1 that has weights and an engine. A program of its own, started with its end of a socket pair, so that
nothing is inherited from the service but that. Where the model takes it down, the service lives on and starts another.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from embedding_service.model.encoder import Encoders
from embedding_service.model.encoder import Item as Triple
from embedding_service.model.encoder import Output
from embedding_service.serving import frames
from embedding_service.serving.frames import HEADER, Done, Kind, Ready
from twohop.errors import Failed, ModelError, TwoHopError
from twohop_service import logs

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
PROBE_TOKENS = 16           # length of the texts that the cost is measured with
PROBES = 3


@dataclass(frozen=True)
class Plan:
    """What a worker loads: `--model` strings, engine, precision, threads (0: all cores)."""

    models: tuple[str, ...] = ()
    engine: str = "auto"
    precision: str = "auto"
    threads: int = 0
    log_level: str = "info"


class Model(Protocol):
    """What a worker needs of `Encoders`."""

    @property
    def numerics(self) -> str: ...

    @property
    def tokens_per_batch(self) -> int: ...

    def run(self, items: Sequence[Triple], stream: int | None = None) -> Output: ...


def command(plan: Plan, descriptor: int) -> list[str]:
    """-P: a file in the current folder must not stand in for a module of ours."""
    return [sys.executable, "-P", "-m", __name__, str(descriptor), str(os.getpid()), json.dumps(asdict(plan))]


def load(plan: Plan) -> Model:
    return Encoders.load(plan.models, engine=plan.engine, precision=plan.precision, threads=plan.threads)


def main(arguments: Sequence[str], load: Callable[[Plan], Model] = load) -> int:
    descriptor, parent, plan = int(arguments[0]), int(arguments[1]), Plan(**json.loads(arguments[2]))
    _die_with(parent)
    logs.set_up(plan.log_level)
    with socket.socket(fileno=descriptor) as link:
        try:
            model = load(plan)
            ready = Ready(model.numerics, model.tokens_per_batch, _measure(model))
        except ModuleNotFoundError as error:
            return _refuse(link, Failed(f"{error.name} is not installed: pip install 'twohop[embedding]'"))
        except TwoHopError as error:
            return _refuse(link, error)
        gc.freeze()             # what is loaded stays: no collection has to look at it again
        link.sendall(frames.frame(Kind.READY, 0, frames.pack_object(ready)))
        for batch, payload in _batches(link):
            link.sendall(_answer(model, batch, payload))
    return 0


def _die_with(parent: int) -> None:
    """With the service gone there is nobody to compute for. Its end of the socket closes too, but a running batch would first
    be finished. Signals meant for the service (Ctrl-C goes to the whole group) are its business."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _refuse(link: socket.socket, error: TwoHopError) -> int:
    link.sendall(frames.frame(Kind.FAILED, 0, frames.pack_object(error)))
    return 1


def _measure(model: Model) -> list[tuple[int, float]]:
    """(tokens, seconds) of a few sizes up to a full batch; the best of some runs."""
    sizes = sorted({PROBE_TOKENS, model.tokens_per_batch // 8, model.tokens_per_batch} - {0})
    points = []
    for size in sizes:
        probe: list[Triple] = [(0, np.zeros(PROBE_TOKENS, np.int32), None)] * max(1, size // PROBE_TOKENS)
        seconds = []
        for _ in range(PROBES):
            began = time.perf_counter()
            model.run(probe)
            seconds.append(time.perf_counter() - began)
        points.append((len(probe) * PROBE_TOKENS, min(seconds)))
    return points


def _batches(link: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Until the service closes its end."""
    while header := _receive(link, HEADER.size):
        _, batch, size = HEADER.unpack(header)
        payload = _receive(link, size)
        if payload is None:
            return
        yield batch, payload


def _receive(link: socket.socket, size: int) -> bytes | None:
    """None: the service is gone."""
    pieces: list[bytes] = []
    while size:
        piece = link.recv(size, socket.MSG_WAITALL)
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _answer(model: Model, batch: int, payload: bytes) -> bytes:
    began = time.perf_counter()
    try:
        vectors, filler = model.run(frames.unpack_run(payload))
        if not all(np.isfinite(array).all() for array in vectors):
            raise ModelError("this input breaks the model: its vectors are not finite")
    except TwoHopError as error:
        return frames.frame(Kind.RAISED, batch, frames.pack_object(error))
    except Exception as error:
        log.exception("a batch failed")
        wrong = ModelError(f"this input breaks the model ({type(error).__name__})")
        return frames.frame(Kind.RAISED, batch, frames.pack_object(wrong))
    return frames.frame(Kind.DONE, batch, frames.pack_done(Done(vectors, time.perf_counter() - began, filler)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
