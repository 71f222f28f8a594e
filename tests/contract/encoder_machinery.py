"""What the tests of the encoders share: the real packaged weights, loaded once per precision, and where recordings lie."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from embedding_service.model.encoder import Encoder, Encoders, describe_encoders

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
GOLDEN = SHARED / "golden"


@cache
def described() -> tuple[Encoder, ...]:
    return describe_encoders()


ENGINES = [
    "openvino",
    pytest.param("torch", marks=pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed (extra 'cuda')")),
]


@cache
def loaded(precision: str, engine: str = "openvino") -> Encoders:
    return Encoders.load(precision=precision, engine=engine)


def workload() -> list[str]:
    path = SHARED / "data" / "workload_1500.txt"
    if not path.exists():
        pytest.skip("the workload of 1,500 sentences is not beside this checkout")
    return path.read_text(encoding="utf-8").splitlines()


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
