"""Who runs: one contender for each engine and precision that this machine can do, with its results as they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from embedding_service.model.encoder import PRECISIONS, Encoder, Encoders
from embedding_service.model.packing import BLOCK
from embedding_service.tools.bench import gemm
from embedding_service.tools.bench.measure import Rates
from twohop.errors import Failed, InvalidInput


@dataclass
class Trial:
    """One contender on one workload."""

    ms: list[float] = field(default_factory=list)           # of single texts, all rounds
    rates: list[Rates] = field(default_factory=list)        # one for each round
    cosines: tuple[float, float] | None = None              # smallest, mean


@dataclass
class Contender:
    """`peak` None: its library has no such product to measure."""

    encoders: Encoders
    peak: gemm.Gemm | None
    trials: dict[str, Trial] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its numerics class, such as `openvino-bf16` or `torch-cuda-bf16`."""
        return self.encoders.numerics

    @property
    def engine(self) -> str:
        return self.name.partition("-")[0]

    @property
    def precision(self) -> str:
        return self.name.rpartition("-")[2]

    def trial(self, workload: str) -> Trial:
        return self.trials.setdefault(workload, Trial())


@dataclass(frozen=True, slots=True)
class Skipped:
    engine: str
    precision: str
    reason: str


def load(
    model: str, encoder: Encoder, engines: Sequence[str], precisions: Sequence[str], threads: int, say: Callable[[str], None]
) -> tuple[list[Contender], list[Skipped]]:
    """All that were asked for (no precision: every one there is), the float32 ones first. Raises Failed if none can run."""
    found: dict[str, Contender] = {}
    skipped: list[Skipped] = []
    for engine in dict.fromkeys(engines):
        for precision in sorted(dict.fromkeys(precisions or PRECISIONS[1:]), key=lambda name: name != "f32"):
            say(f"loading {engine} {precision}")
            try:
                encoders = Encoders.load([model], engine=engine, precision=precision, threads=threads)
            except (Failed, InvalidInput) as error:
                skipped.append(Skipped(engine, precision, error.message))
                say(f"skipped: {error.message}")
                continue
            if encoders.numerics in found:
                skipped.append(Skipped(engine, precision, f"the same as {encoders.numerics}, which is here already"))
                continue
            found[encoders.numerics] = _contender(encoders, encoder, threads)
    if not found:
        raise Failed(f"nothing can run here: {'; '.join(f'{each.engine} {each.precision}: {each.reason}' for each in skipped)}")
    return list(found.values()), skipped


def _contender(encoders: Encoders, encoder: Encoder, threads: int) -> Contender:
    contender = Contender(encoders, None)
    contender.peak = gemm.prepare(
        contender.engine, contender.precision, encoder.spec.architecture,
        rows=-(-encoders.tokens_per_batch // BLOCK) * BLOCK, streams=encoders.streams, threads=threads,
    )
    return contender
