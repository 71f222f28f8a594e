"""int8 weights for engines that quantise activations themselves, per token and group of columns, as they run. Pure numpy.

A few channels of BERT's layer norms are 10 to 30 times the rest, and would leave the others of their group few of the 255
steps. So the weights take over part of each channel's size before they are rounded: x / s and W * s give the same product
(SmoothQuant, arXiv 2211.10438). How large a channel gets is measured by running a few texts through the float32 reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.model import reference
from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.tokenizer import Tokenizer

# Columns that share a scale, the first that fits an encoder. 96 is the fastest that keeps the labels, of those measured
# (docs/performance.md, "int8"); 64 keeps more and is slower.
GROUPS = (96, 64, 128)
# How much of a channel's size the weights take over: 0 nothing, 1 all.
SHARE = 0.6
# Of several kinds of text; the large channels are the same ones in any.
CALIBRATION_TEXTS = (
    "What is the capital of Australia?",
    "please move 200 dollars from savings to checking",
    "A slow, overlong drama that its brilliant cast cannot quite save.",
    "URGENT! You have won a 1 week FREE membership in our £100,000 prize draw. Call 09061701461 now!!",
    "The committee approved the budget on Thursday, although three of its seven members had voted against it.",
    "ok, c u at 8 then :)",
    "Patients who received the second dose had fewer symptoms (12.4 % against 31.0 %, p < 0.01).",
    "I can't log in since the update: error 0x80070005, see https://example.org/help?id=42",
)


class Quantized(NamedTuple):
    """A matrix [out, in] as `values` * `scales`."""

    values: NDArray[np.int8]        # [out, groups, in / groups], -127 … 127
    scales: NDArray[np.float32]     # [out, groups, 1]

    def restored(self) -> NDArray[np.float32]:
        """[out, in]"""
        restored: NDArray[np.float32] = self.values * self.scales
        return restored.reshape(len(restored), -1)


def group_of(widths: Iterable[int]) -> int:
    """The group for an encoder with matrices of these widths; 0, a scale per row, where none of GROUPS divides them all."""
    found = list(widths)
    return next((group for group in GROUPS if all(width % group == 0 for width in found)), 0)


def quantize(weight: NDArray[np.float32], group: int) -> Quantized:
    """A matrix [out, in] with a scale per row and `group` columns (0: per row): each element is off by at most half its
    scale."""
    grouped = weight.reshape(len(weight), -1, group or weight.shape[1])
    scales = np.maximum(grouped.max(2, keepdims=True), -grouped.min(2, keepdims=True)) / np.float32(127)
    values = grouped / np.where(scales > 0, scales, np.float32(1))
    return Quantized(np.rint(values, out=values).astype(np.int8), scales)


def smoothing(largest: NDArray[np.float32], weights: list[NDArray[np.float32]], share: float = SHARE) -> NDArray[np.float32]:
    """[in], positive: what to divide the input of these matrices [out, in] by, and to multiply their columns with.

    `largest` [in]: the largest |value| seen in each channel of that input.
    """
    columns = np.sqrt(sum(np.einsum("oi,oi->i", weight, weight) / len(weight) for weight in weights))
    # A channel that is always zero, or that nobody reads, must not make the others vanish.
    size, reading = np.maximum(largest, 1e-3 * largest.max() + 1e-12), np.maximum(columns, 1e-3 * columns.max() + 1e-12)
    scales = size**share / reading ** (1 - share)
    smooth: NDArray[np.float32] = (scales / np.median(scales)).astype(np.float32)
    return smooth


def largest_inputs(checkpoint: Checkpoint, layers: int) -> dict[str, NDArray[np.float32]]:
    """For each linear layer of blocks 1 … layers, by its prefix: the largest |value| [in] that CALIBRATION_TEXTS put into
    each channel."""
    largest: dict[str, NDArray[np.float32]] = {}

    def see(prefix: str, rows: NDArray[np.float32]) -> None:
        here = np.abs(rows).max(0)
        largest[prefix] = np.maximum(largest[prefix], here) if prefix in largest else here

    tokenizer = Tokenizer.load(checkpoint.folder, checkpoint.architecture.positions)
    for tokens in tokenizer.encode_batch(CALIBRATION_TEXTS):
        reference.hidden_states(checkpoint, tokens.ids, (layers,), see=see)
    return largest
