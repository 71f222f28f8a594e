"""Fixtures that contract tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from head_trainer import Trainer
from model_server_process import ModelServer, export, publish
from rule_services import EmbeddingRules, HeadRules
from two_ways import WAYS, Clients


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[EmbeddingRules, HeadRules]]:
    """A hop 1 and a hop 2 that answer by rule."""
    both = EmbeddingRules(), HeadRules()
    for service in both:
        service.start()
    yield both
    for service in both:
        service.stop()


@pytest.fixture
def hop_1(services: tuple[EmbeddingRules, HeadRules]) -> EmbeddingRules:
    services[0].reset()
    return services[0]


@pytest.fixture
def hop_2(services: tuple[EmbeddingRules, HeadRules]) -> HeadRules:
    services[1].reset()
    return services[1]


@pytest.fixture(params=WAYS)
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Makes clients that block, and clients for asyncio."""
    made = Clients(request.param)
    yield made
    made.close()


@pytest.fixture
def trainer(hop_1: EmbeddingRules, tmp_path: Path) -> Trainer:
    return Trainer(hop_1, tmp_path)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """SavedModels by version; version N multiplies by N."""
    folder = tmp_path_factory.mktemp("exported")
    return {version: export(folder / str(version), float(version)) for version in (1, 2)}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, exported: dict[int, Path]) -> Iterator[ModelServer]:
    """Model `m`, version 7 (which multiplies by 1). Leave it unharmed."""
    folder = tmp_path_factory.mktemp("server")
    publish(exported[1], folder / "m", 7)
    flags = [f"--grpc_socket_path={folder / 'socket'}", "--enable_grpc_healthcheck_service", "--rest_api_enable_cors_support",
             "--rest_api_timeout_in_ms=2000"]
    found = ModelServer(folder / "run", "--model_name=m", f"--model_base_path={folder / 'm'}", *flags)
    try:
        yield found.ready()
    finally:
        assert found.stop() == 0
