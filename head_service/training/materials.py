"""Rows and vectors put together into what kinds of heads train on, and parts of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from head_service.progress import Progress, progress
from head_service.training import scratch, vectors
from head_service.training.heads.material import Material, Tokens
from head_service.training.rows import Split
from twohop.embedding import EmbeddingClient
from twohop.types import Encoder

ClassWeights = Literal["none", "balanced"]


@dataclass(frozen=True)
class Embedded:
    """All rows of a split with their vectors; of the texts `embedded` went through hop 1 now, `reused` did not."""

    material: Material
    embedded: int
    reused: int


def embedded(
    client: EmbeddingClient, encoder: Encoder, parts: Split, class_weights: ClassWeights, folder: Path,
    progress: Progress = progress,
) -> Embedded:  # fmt: skip
    """Vectors of the texts, or of their tokens, as the encoder gives them. Raises what `vectors.pooled` does."""
    targets = targets_of(parts)
    # Weights balance the rows for training; the rows for validation follow the same weight of a class.
    weights = row_weights(targets, parts.train_count) if class_weights == "balanced" else np.ones(len(targets), np.float32)
    plain = Material(parts.texts, targets, weights)
    if encoder.per_token:
        per_token = vectors.per_token(client, encoder, parts.texts, folder, progress)
        return Embedded(replace(plain, tokens=per_token.tokens), per_token.embedded, per_token.reused)
    pooled = vectors.pooled(client, encoder, parts.texts, folder, progress)
    return Embedded(replace(plain, vectors=pooled.matrix), pooled.embedded, pooled.reused)


def targets_of(parts: Split) -> npt.NDArray[Any]:
    """int64 [N], each row's place in `labels`; for several labels float32 [N, C] of 0 and 1."""
    places = {label: place for place, label in enumerate(parts.labels)}
    if not parts.multi_label:
        return np.array([places[label] for (label,) in parts.label_sets], np.int64)
    targets = np.zeros((len(parts.label_sets), len(places)), np.float32)
    for row, labels in enumerate(parts.label_sets):
        targets[row, [places[label] for label in labels]] = 1
    return targets


def row_weights(targets: npt.NDArray[Any], train_count: int) -> npt.NDArray[np.float32]:
    """float32 [N], mean 1 over the first `train_count` rows: each class weighs the same in all, so each of its rows
    1 / its rows. A row with several labels takes their mean; one without any counts as of a class of such rows."""
    if targets.ndim == 1:
        counts = np.bincount(targets[:train_count], minlength=int(targets.max()) + 1)
        weights = _inverse(counts)[targets]
    else:
        member = np.concatenate([targets, (targets.sum(1, keepdims=True) == 0).astype(np.float32)], 1)
        weights = (member @ _inverse(member[:train_count].sum(0))) / member.sum(1)
    weights[weights == 0] = weights[:train_count].mean()  # of a class that only validation rows have
    return np.asarray(weights / weights[:train_count].mean(), np.float32)


def _inverse(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """1 / count; 0 where there is none."""
    return np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0)


def between(material: Material, start: int, stop: int) -> Material:
    """Rows from `start` to before `stop`; nothing is copied."""
    tokens = material.tokens
    if tokens is not None:
        offsets = tokens.offsets[start : stop + 1]
        tokens = Tokens(tokens.flat[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0])
    return Material(
        material.texts[start:stop],
        material.targets[start:stop],
        material.weights[start:stop],
        vectors=None if material.vectors is None else material.vectors[start:stop],
        tokens=tokens,
    )


def at(material: Material, indices: Sequence[int], folder: Path) -> Material:
    """The rows at `indices`, in that order, copied to arrays of their own on the disk of `folder`."""
    rows = np.asarray(indices, np.int64)
    tokens = material.tokens
    if tokens is not None:
        counts = tokens.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = np.repeat(tokens.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])  # of each token in flat
        tokens = Tokens(scratch.taken(tokens.flat, places, folder), offsets)
    return Material(
        [material.texts[row] for row in indices],
        material.targets[rows],
        material.weights[rows],
        vectors=None if material.vectors is None else scratch.taken(material.vectors, rows, folder),
        tokens=tokens,
    )
