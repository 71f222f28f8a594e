"""Chains of matrix products in PyTorch, on the GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from embedding_service.tools.bench.gemm import Shape

PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def device_name() -> str | None:
    """The GPU's, if there is one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def large_shape() -> Shape:
    """Large enough for the full rate of the device."""
    return Shape(8192, 8192, 8192) if torch.cuda.is_available() else Shape(512, 1024, 4096)


def chains(shape: Shape, precision: str, products: int, *, streams: int) -> list[Callable[[], None]]:
    """One for each stream; a call runs all products to their end."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = {"device": device, "dtype": PRECISIONS[precision]}
    up = torch.randn(shape.inner, shape.outer, **made) / shape.inner**0.5
    down = torch.randn(shape.outer, shape.inner, **made) / shape.outer**0.5
    made_chains: list[Callable[[], None]] = [
        partial(_run, torch.randn(shape.rows, shape.inner, **made), up, down, products) for _ in range(streams)
    ]
    for chain in made_chains:
        chain()
    return made_chains


def _run(x: torch.Tensor, up: torch.Tensor, down: torch.Tensor, products: int) -> None:
    with torch.inference_mode():
        for product in range(products):
            x = torch.matmul(x, down if product % 2 else up)
    if x.is_cuda:
        torch.cuda.synchronize()
