"""The check at start: does this engine, on this machine, give what the weights say? A few texts run through it in one pack
and are compared with the float32 reference; outside the class's tolerance the service does not get ready."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twohop.errors import Failed

# Short, so that the reference takes a fraction of a second; of several lengths, so that they share blocks.
GOLDEN_TEXTS = (
    "Hello world",
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "我爱北京天安门。",
    "Delivery was two weeks late and nobody answered my e-mails (order 4711); I want my money back!",
)
# Beside them at int8, where texts differ in what they lose: other texts than those that its scales were measured on.
MORE_GOLDEN_TEXTS = (
    "my card was declined at a restaurant last night, what happened",
    "A gripping, beautifully acted film, and easily the director's best.",
    "Free entry! Text WIN to 80082 for your chance of a £500 voucher. 18+ only, reply STOP to opt out.",
    "In 1905, Einstein published four papers on light, motion, mass and energy.",
    "not bad at all, but i wouldn't watch it twice",
    "def add(a, b): return a + b",
)
F32_DIFFERENCE = 1e-5           # largest |difference| from the reference, relative to values above 1
LOW_PRECISION_COSINE = 0.9995   # smallest cosine to the reference, for bf16
F16_COSINE = 0.9999             # the same for f16, which has three bits more
INT8_COSINE = 0.995             # the same for int8: MiniLM's worst of 10,193 sentences is 0.9977


def golden_texts(numerics: str) -> tuple[str, ...]:
    """What the check of this class runs."""
    return GOLDEN_TEXTS + (MORE_GOLDEN_TEXTS if numerics.endswith("-int8") else ())


def check_vectors(name: str, numerics: str, vectors: Sequence[NDArray[np.float32]], truth: Sequence[NDArray[np.float32]]) -> None:
    """Raises Failed, naming encoder, class, figure and tolerance, if the engine's vectors [rows, D] of the golden texts are
    not the reference's. Several rows of a text (token encoders) are compared as one."""
    needed = {"int8": INT8_COSINE, "f16": F16_COSINE}.get(numerics.rpartition("-")[2], LOW_PRECISION_COSINE)
    for got, want in zip(vectors, truth, strict=True):
        if not np.isfinite(want).all():
            raise Failed(f"encoder {name}: its weights give vectors that are not finite, at float32 too: the model is damaged",
                         detail={"encoder": name})
        if got.shape != want.shape or not np.isfinite(got).all():
            raise _failed(name, numerics, f"the engine returned {got.shape} values, not all finite; expected {want.shape}")
        if numerics.endswith("-f32"):
            difference = float(np.abs(got - want).max())
            allowed = F32_DIFFERENCE * max(1.0, float(np.abs(want).max()))
            if difference > allowed:
                raise _failed(name, numerics, f"max |difference| to the reference {difference:.1e}, allowed {allowed:.1e}")
        elif (cosine := smallest_cosine(got.reshape(1, -1), want.reshape(1, -1))) < needed:
            raise _failed(name, numerics, f"cosine {cosine:.5f} to the float32 reference, needed {needed}")


def smallest_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Over the rows of a and b [N, D], computed in float64. Two rows of zeros agree."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    product = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    both_zero = (np.abs(left).max(1) == 0) & (np.abs(right).max(1) == 0)
    return float(np.where(both_zero, 1.0, (left * right).sum(1) / np.where(product > 0, product, 1.0)).min())


def _failed(name: str, numerics: str, what: str) -> Failed:
    remedies = {"f32": "check the weights, and report this machine", "int8": "use --precision bf16 (or auto)"}
    remedy = remedies.get(numerics.rpartition("-")[2], "use --precision f32")
    return Failed(f"encoder {name} fails its check at start with {numerics}: {what}; {remedy}",
                  detail={"encoder": name, "numerics": numerics})
