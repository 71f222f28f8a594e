"""Fixtures that tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from services import EmbeddingProcess

# A shell starts what it runs in the background with SIGINT ignored, and that is inherited: the tests that press Ctrl-C
# must not depend on how they were started.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def embedding_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingProcess]:
    """Hop 1 with its default encoders, ready: `.address` is its gRPC HOST:PORT. Leave it running and unharmed."""
    service = EmbeddingProcess(tmp_path_factory.mktemp("embedding-service"))
    try:
        yield service.until_ready()
    finally:
        assert service.stop() == 0


@pytest.fixture(scope="session")
def embedding_service_f32(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingProcess]:
    """The same at float32, for comparing numbers."""
    service = EmbeddingProcess(tmp_path_factory.mktemp("embedding-service-f32"), "--precision", "f32")
    try:
        yield service.until_ready()
    finally:
        assert service.stop() == 0
