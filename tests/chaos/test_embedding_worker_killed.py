"""SIGKILL of the embedding worker under load, the whole service being real."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from services import EmbeddingProcess, until

from twohop import EmbeddingClient
from twohop.errors import DeadlineExceeded, TwoHopError


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingProcess]:
    """One of this module's own: it will be harmed."""
    service = EmbeddingProcess(tmp_path_factory.mktemp("killed"))
    try:
        yield service.until_ready()
    finally:
        assert service.stop() == 0


class Load:
    """Callers that never pause; `ended` counts their requests by outcome."""

    def __init__(self, address: str, callers: int = 6) -> None:
        self.ended: list[str] = []
        self._stop = threading.Event()
        self._client = EmbeddingClient(address, timeout_s=60)
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a request never ended"
        self._client.close()

    def _call(self, number: int) -> None:
        texts = ["a few words to embed"] * (1 + number * 5)
        while not self._stop.is_set():
            try:
                vectors = self._client.embed(texts).vectors
                self.ended.append("answered" if len(vectors) == len(texts) else "short")
            except TwoHopError as error:
                self.ended.append(type(error).__name__)


def test_every_request_is_answered_and_the_service_is_ready_again_by_itself(service: EmbeddingProcess) -> None:
    before = service.metric("twohop_embedding_worker_restarts_total")
    with Load(service.address) as load:
        until(lambda: len(load.ended) > 20)
        worker = service.worker()
        worker.kill()
        until(lambda: not service.is_ready())
        until(service.is_ready)
        so_far = len(load.ended)
        until(lambda: len(load.ended) > so_far + 20)
    assert set(load.ended) == {"answered"}
    assert service.worker().pid != worker.pid
    assert service.metric("twohop_embedding_worker_restarts_total") == before + 1


def test_without_a_worker_the_service_lives_says_so_and_keeps_the_deadline(service: EmbeddingProcess) -> None:
    lost = service.worker()
    lost.kill()
    until(lambda: [child for child in psutil.Process(service.process.pid).children() if child.pid != lost.pid])
    until(lambda: len(psutil.Process(service.process.pid).children()) == 1)
    service.worker().suspend()          # so that the next one stays in its start for as long as this looks
    try:
        answer = service.http.get("/readyz")
        with EmbeddingClient(service.address) as client, pytest.raises(DeadlineExceeded):
            client.embed(["too late"], timeout_s=0.3)
    finally:
        service.worker().resume()
    with EmbeddingClient(service.address) as client:
        assert len(client.embed(["in time"], timeout_s=60)) == 1
    assert (answer.status_code, answer.json()["reason"]) == (503, "the worker is being replaced")
    until(service.is_ready)


def test_the_worker_dies_with_its_service(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path)
    worker = service.worker()
    service.process.kill()
    service.stop()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
