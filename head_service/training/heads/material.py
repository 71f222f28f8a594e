"""What heads are trained on: labelled rows with their texts and vectors, which may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

CHUNK_ROWS = 8192
SMALLEST_DEVIATION = 1e-6


class Matrix(Protocol):
    """As much of a numpy array [N, D] as kinds use; np.memmap has it too."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token vectors of N texts side by side: text i has flat[offsets[i]:offsets[i + 1]].
    flat: float16 [sum of T, D]; offsets: int64 [N + 1]."""

    flat: Matrix
    offsets: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[N], in tokens."""
        return np.diff(self.offsets)

    def padded(self, rows: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Tokens [B, T, D] (zero where there is none) and mask [B, T] of some texts."""
        starts, counts = self.offsets[rows], self.lengths[rows]
        mask = np.arange(max(1, counts.max()))[None] < counts[:, None]  # [B, T]
        tokens = np.zeros((*mask.shape, self.flat.shape[1]), np.float32)
        tokens[mask] = self.flat[(starts[:, None] + np.arange(mask.shape[1]))[mask]]
        return tokens, mask.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Material:
    """N labelled rows, and whatever a kind may want of them.

    targets: int64 [N], the class; or, where several labels may be true, float32 [N, C] of 0 and 1.
    weights: float32 [N], of a row in the loss, mean 1. vectors: float32 [N, D] of a pooled encoder. tokens: of a token
    encoder. Big arrays may be np.memmap: kinds read them in chunks.
    """

    texts: Sequence[str]
    targets: npt.NDArray[Any]
    weights: npt.NDArray[np.float32]
    vectors: Matrix | None = None
    tokens: Tokens | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def multi_label(self) -> bool:
        return self.targets.ndim == 2

    def chunks(self) -> Iterator[slice]:
        """Slices that cover the rows in order."""
        for start in range(0, len(self), CHUNK_ROWS):
            yield slice(start, min(start + CHUNK_ROWS, len(self)))


def vector_matrix(rows: Material) -> Matrix:
    """[N, D]"""
    assert rows.vectors is not None, "this kind of head is made for a pooled encoder's vectors"
    return rows.vectors


def token_vectors(rows: Material) -> Tokens:
    assert rows.tokens is not None, "this kind of head is made for a token encoder's vectors"
    return rows.tokens


def moments(matrix: Matrix) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean [D] and deviation [D] (never zero) over the rows of [N, D]."""
    parts = [slice(start, start + CHUNK_ROWS) for start in range(0, len(matrix), CHUNK_ROWS)]
    mean = sum(matrix[part].sum(0, dtype=np.float64) for part in parts) / len(matrix)
    variance = sum(((matrix[part] - mean) ** 2).sum(0) for part in parts) / len(matrix)
    return mean, np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)


def joined(first: Material, second: Material) -> Material:
    """The rows of one and then those of the other; nothing large is copied."""
    return replace(
        first,
        texts=[*first.texts, *second.texts],
        targets=np.concatenate([first.targets, second.targets]),
        weights=np.concatenate([first.weights, second.weights]),
        vectors=Stacked(first.vectors, second.vectors) if first.vectors is not None and second.vectors is not None else None,
        tokens=_joined_tokens(first.tokens, second.tokens) if first.tokens and second.tokens else None,
    )


def _joined_tokens(first: Tokens, second: Tokens) -> Tokens:
    offsets = np.concatenate([first.offsets - first.offsets[0], second.offsets[1:] - second.offsets[0] + len(first.flat)])
    return Tokens(Stacked(first.flat, second.flat), offsets)


class Stacked:
    """Two matrices as one, one below the other, read where they lie: by a slice of rows, or by an array of their numbers."""

    def __init__(self, first: Matrix, second: Matrix) -> None:
        self._first, self._second = first, second

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._first.shape[1:])

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, index: Any, /) -> Any:
        border = len(self._first)
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            below = slice(max(0, start - border), max(0, stop - border))
            return np.concatenate([self._first[start : min(stop, border)], self._second[below]])
        above = index < border
        first, second = self._first[index[above]], self._second[index[~above] - border]
        rows = np.empty((len(index), *self.shape[1:]), first.dtype)
        rows[above], rows[~above] = first, second
        return rows
