"""What the machine could do: the rate of large matrix products in the same library, at the same precision, with as many
streams and threads as the engine has. It is the limit that an encoder's linear layers are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from embedding_service.model.checkpoint import Architecture
from embedding_service.tools.bench.measure import Amounts, together

# A network's products follow each other: so do these, up and down in turns, so that what goes in and out costs next to nothing.
PRODUCTS = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """[rows, inner] x [inner, outer], then back: [rows, outer] x [outer, inner]."""

    rows: int
    inner: int
    outer: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.inner}x{self.outer}"

    @property
    def flops(self) -> int:
        """Of one product, either way."""
        return 2 * self.rows * self.inner * self.outer


@dataclass
class Gemm:
    """Chains of products, one per stream, ready to run. The best shape counts: a low peak would flatter the engine."""

    chains: dict[Shape, list[Callable[[], None]]]
    gflops: dict[Shape, list[float]] = field(default_factory=dict)

    def measure(self, seconds: float) -> None:
        """One more round of all shapes."""
        for shape, chains in self.chains.items():
            rate = together([_counted(chain, PRODUCTS * shape.flops) for chain in chains], seconds / len(self.chains))
            self.gflops.setdefault(shape, []).append(float(rate[0]) / 1e9)

    @property
    def best(self) -> tuple[Shape, float]:
        """The fastest shape and its GFLOP/s in the best round: what the machine can do is not less for a neighbour's load."""
        return max(((shape, max(rates)) for shape, rates in self.gflops.items()), key=lambda found: found[1])


def prepare(engine: str, precision: str, of: Architecture, *, rows: int, streams: int, threads: int) -> Gemm | None:
    """`rows`: tokens of a full batch. None where the library has no plain product of that precision to measure."""
    own, tall = Shape(rows, of.hidden, of.intermediate), Shape(4 * rows, of.hidden, of.intermediate)
    if engine == "openvino":
        from embedding_service.tools.bench import openvino_gemm

        return Gemm({shape: openvino_gemm.chains(shape, precision, PRODUCTS, streams=streams, threads=threads)
                     for shape in _distinct(own, tall, Shape(512, 1024, 4096))})
    from embedding_service.tools.bench import torch_gemm

    if precision not in torch_gemm.PRECISIONS:
        return None
    return Gemm({shape: torch_gemm.chains(shape, precision, PRODUCTS, streams=streams)
                 for shape in _distinct(own, tall, torch_gemm.large_shape())})


def _distinct(*shapes: Shape) -> Sequence[Shape]:
    return tuple(dict.fromkeys(shapes))


def _counted(chain: Callable[[], None], flops: int) -> Callable[[], Amounts]:
    def step() -> Amounts:
        chain()
        return np.array([flops], np.float64)

    return step
