"""The worker process: loads the encoders, then runs one batch after the other on each of its streams until its service is gone.

The only process of hop 1 that has weights and an engine. A program of its own, started with its ends of some socket pairs, so
that nothing is inherited from the service but those. Each stream of the engine has a socket and a thread, so that a batch goes
from the service to the core that computes it without being handed on. Where the model takes it down, the service lives on and
starts another.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass

import numpy as np

from embedding_service.model.encoder import Encoders
from embedding_service.serving import frames
from embedding_service.serving.frames import HEADER, Done, Kind, Ready
from embedding_service.serving.probe import Model, measure
from twohop.errors import Failed, ModelError, TwoHopError
from twohop_service import logs
from twohop_service.parent import die_with

log = logging.getLogger(__name__)

# Streams take the interpreter's lock in turns of milliseconds by default: longer than a short text needs altogether.
SWITCH_S = 0.0002
# Below the service, which has little to do and should do it at once: under overload refusals come several times sooner, and at 15
# accepted calls are late.
NICE = 10


@dataclass(frozen=True)
class Plan:
    """What a worker loads: `--model` strings, engine, precision, threads (0: all cores); `device`: the one NVIDIA device that it
    sees, by CUDA's name ("": none in particular)."""

    models: tuple[str, ...] = ()
    engine: str = "auto"
    precision: str = "auto"
    threads: int = 0
    log_level: str = "info"
    device: str = ""


def command(plan: Plan, descriptors: Sequence[int]) -> list[str]:
    """-P: a file in the current folder must not stand in for a module of ours."""
    numbers = ",".join(map(str, descriptors))
    return [sys.executable, "-P", "-m", __name__, numbers, str(os.getpid()), json.dumps(asdict(plan))]


def load(plan: Plan) -> Model:
    if plan.device:
        os.environ["CUDA_VISIBLE_DEVICES"] = plan.device
    return Encoders.load(plan.models, engine=plan.engine, precision=plan.precision, threads=plan.threads)


def main(arguments: Sequence[str], load: Callable[[Plan], Model] = load) -> int:
    descriptors, parent, plan = arguments[0].split(","), int(arguments[1]), Plan(**json.loads(arguments[2]))
    _belong_to(parent)
    os.nice(NICE)
    logs.set_up(plan.log_level)
    with ExitStack() as stack:
        links = [stack.enter_context(socket.socket(fileno=int(each))) for each in descriptors]
        try:
            model = load(plan)
            measured = measure(model)
        except ModuleNotFoundError as error:
            return _refuse(links[0], Failed(f"{error.name} is not installed: pip install 'twohop[embedding]'"))
        except TwoHopError as error:
            return _refuse(links[0], error)
        gc.freeze()             # what is loaded stays: no collection has to look at it again
        sys.setswitchinterval(SWITCH_S)
        for stream in range(1, model.streams):
            threading.Thread(target=_serve, args=(model, links[stream], stream), name=f"stream {stream}", daemon=True).start()
        with suppress(OSError):
            links[0].sendall(frames.frame(Kind.READY, 0, frames.pack_object(Ready(model.numerics, model.streams, measured))))
        _serve(model, links[0], 0)
    return 0


def _serve(model: Model, link: socket.socket, stream: int) -> None:
    """Until the service is gone: then nobody is there to be told."""
    with suppress(OSError):
        for kind, batch, payload in _batches(link):
            link.sendall(_answer(model, batch, payload, None if kind is Kind.RUN_ALONE else stream))


def _belong_to(parent: int) -> None:
    """With the service gone there is nobody to compute for. Its end of the socket closes too, but a running batch would first
    be finished. Signals meant for the service (Ctrl-C goes to the whole group) are its business."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    die_with(parent, signal.SIGKILL)


def _refuse(link: socket.socket, error: TwoHopError) -> int:
    with suppress(OSError):
        link.sendall(frames.frame(Kind.FAILED, 0, frames.pack_object(error)))
    return 1


def _batches(link: socket.socket) -> Iterator[tuple[Kind, int, bytes]]:
    """Until the service closes its end."""
    while header := _receive(link, HEADER.size):
        kind, batch, size = HEADER.unpack(header)
        payload = _receive(link, size)
        if payload is None:
            return
        yield Kind(kind), batch, payload


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


def _answer(model: Model, batch: int, payload: bytes, stream: int | None) -> bytes:
    began = time.monotonic()
    try:
        vectors, filler = model.run(frames.unpack_run(payload), stream)
        if not np.isfinite(np.concatenate(vectors, axis=None)).all():
            raise ModelError("this input breaks the model: its vectors are not finite")
    except TwoHopError as error:
        return frames.frame(Kind.RAISED, batch, frames.pack_object(error))
    except Exception as error:
        log.exception("a batch failed")
        wrong = ModelError(f"this input breaks the model ({type(error).__name__})")
        return frames.frame(Kind.RAISED, batch, frames.pack_object(wrong))
    return frames.frame(Kind.DONE, batch, frames.pack_done(Done(vectors, began, time.monotonic(), filler)))


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)        # the engine's own threads still sleep, and its destructors would end the process by abort()
