"""Queue, scheduler and supervisor around a worker process that breaks: every text ends once, and the next are served."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fragile_worker import HANGS, KILLS, NOT_A_NUMBER, RAISES

from embedding_service.serving import supervisor
from embedding_service.serving.item import Call, Item
from embedding_service.serving.metrics import Metrics
from embedding_service.serving.queue import Queues
from embedding_service.serving.scheduler import Scheduler
from embedding_service.serving.supervisor import Supervisor
from twohop.errors import Failed, ModelError, TwoHopError, Unavailable

PROGRAM = Path(__file__).with_name("fragile_worker.py")
PATIENCE_S = 60.0


@dataclass
class Bench:
    scheduler: Scheduler
    worker: Supervisor
    metrics: Metrics

    @property
    def restarts(self) -> float:
        return self.metrics.registry.get_sample_value("twohop_embedding_worker_restarts_total") or 0.0

    async def embed(self, *tokens: int) -> np.ndarray | TwoHopError:
        """One text's vector, or its error."""
        call = Call(asyncio.get_running_loop())
        item = Item(call, 0, np.array(tokens, np.int32), None)
        call.begin([item])
        self.scheduler.submit([item])
        try:
            await asyncio.wait_for(call.ended(), PATIENCE_S)
        except TwoHopError as error:
            return error
        assert item.vectors is not None
        return item.vectors

    async def until_ready(self) -> None:
        for _ in range(round(PATIENCE_S / 0.01)):
            if self.worker.is_ready:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("no worker came back")

    async def embed_all(self, *first_tokens: int) -> list[Any]:
        """Many texts at once; they share batches."""
        return await asyncio.gather(*(self.embed(token, 1, 2) for token in first_tokens))


def run(check: Callable[[Bench], Awaitable[None]], folder: Path) -> None:
    def command(descriptors: Sequence[int]) -> list[str]:
        numbers = ",".join(map(str, descriptors))
        return [sys.executable, str(PROGRAM), numbers, str(os.getpid()), json.dumps({"models": [str(folder)]})]

    async def go() -> None:
        metrics = Metrics()
        worker = Supervisor(command, changed=lambda: scheduler.pump(), restarted=metrics.worker_restarts.inc, hang_s=1.0)
        scheduler = Scheduler(Queues(bulk_share=0.2), [worker], metrics)
        try:
            await worker.start()
            await check(Bench(scheduler, worker, metrics))
        finally:
            await worker.stop()

    asyncio.run(go())


def same(answers: list[Any], first_tokens: list[int]) -> bool:
    return all(np.array_equal(answer, [[token, 3]]) for answer, token in zip(answers, first_tokens, strict=True))


@pytest.mark.parametrize("poison", [RAISES, NOT_A_NUMBER])
def test_a_text_that_makes_the_model_fail_fails_alone(tmp_path: Path, poison: int) -> None:
    async def check(bench: Bench) -> None:
        mates = list(range(100, 130))
        *answers, broken = await bench.embed_all(*mates, poison)
        assert same(answers, mates)
        assert isinstance(broken, ModelError)
        assert "breaks the model" in broken.message
        assert bench.restarts == 0

    run(check, tmp_path)


def test_a_text_that_kills_the_worker_gets_model_error_and_its_mates_their_vectors(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        mates = list(range(100, 110))
        *answers, broken = await bench.embed_all(*mates, KILLS)
        assert same(answers, mates)
        assert isinstance(broken, ModelError)
        assert bench.restarts == 3
        assert same(await bench.embed_all(7), [7])

    run(check, tmp_path)


def test_a_text_that_makes_the_worker_hang_is_given_up_and_its_mates_get_their_vectors(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        mates = list(range(100, 110))
        *answers, broken = await bench.embed_all(*mates, HANGS)
        assert same(answers, mates)
        assert isinstance(broken, ModelError)

    run(check, tmp_path)


def test_nobody_is_blamed_for_a_worker_that_another_text_took_down(tmp_path: Path) -> None:
    """Both streams are busy when it dies, time and again."""
    async def check(bench: Bench) -> None:
        for _ in range(3):
            innocent = asyncio.gather(*(bench.embed(token, *range(200, 260)) for token in (101, 102, 103)))
            assert isinstance(await bench.embed(KILLS), ModelError)
            assert [float(answer[0, 0]) for answer in await innocent] == [101, 102, 103]

    run(check, tmp_path)


def test_an_idle_worker_that_is_killed_is_replaced_and_texts_wait_for_the_next(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        assert bench.worker.pid is not None
        os.kill(bench.worker.pid, signal.SIGKILL)
        assert same(await bench.embed_all(7, 8), [7, 8])
        await bench.until_ready()
        assert bench.restarts == 1

    run(check, tmp_path)


def test_while_a_worker_cannot_be_replaced_callers_are_told_and_served_again_after(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        (tmp_path / "refuse").touch()
        assert bench.worker.pid is not None
        os.kill(bench.worker.pid, signal.SIGKILL)
        answer = await bench.embed(7)
        assert isinstance(answer, Unavailable)
        assert answer.retry_after_s
        assert bench.scheduler.is_lost
        (tmp_path / "refuse").unlink()
        await bench.until_ready()
        assert same(await bench.embed_all(7), [7])

    run(check, tmp_path)


def test_a_worker_that_dies_while_no_file_can_be_opened_is_replaced_when_one_can(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        assert bench.worker.pid is not None
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))     # what is open stays so
        try:
            os.kill(bench.worker.pid, signal.SIGKILL)
            answer = await bench.embed(7)
            assert isinstance(answer, Unavailable)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await bench.until_ready()
        assert same(await bench.embed_all(7), [7])

    run(check, tmp_path)


def test_a_worker_that_hangs_while_it_starts_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LEAST_START_S", 2.0)
    monkeypatch.setattr(supervisor, "HANGS", 2.0)

    async def check(bench: Bench) -> None:
        (tmp_path / "stall").touch()
        assert bench.worker.pid is not None
        os.kill(bench.worker.pid, signal.SIGKILL)
        lost = await bench.embed(7)
        assert isinstance(lost, Unavailable)
        await bench.until_ready()
        assert same(await bench.embed_all(7), [7])

    run(check, tmp_path)


def test_a_worker_that_is_taken_down_in_the_first_start_is_started_again(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        assert same(await bench.embed_all(7), [7])

    (tmp_path / "die once").touch()
    run(check, tmp_path)


def test_the_first_start_tells_why_it_fails(tmp_path: Path) -> None:
    async def check(bench: Bench) -> None:
        raise AssertionError("it started")

    (tmp_path / "refuse").touch()
    with pytest.raises(Failed, match="the weights are gone"):
        run(check, tmp_path)
    (tmp_path / "refuse").rename(tmp_path / "die")
    with pytest.raises(Failed, match=r"ended while it was starting \(signal SIGKILL\)"):
        run(check, tmp_path)
