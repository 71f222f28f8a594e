"""Fixtures that contract tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from head_trainer import Trainer
from rule_services import EmbeddingRules


@pytest.fixture(scope="module")
def hop_1() -> Iterator[EmbeddingRules]:
    """A hop 1 that answers by rule."""
    service = EmbeddingRules()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def trainer(hop_1: EmbeddingRules, tmp_path: Path) -> Trainer:
    hop_1.reset()
    return Trainer(hop_1, tmp_path)
