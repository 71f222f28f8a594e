"""Labelled rows, checked, and how validation rows are chosen among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twohop.errors import InvalidInput

VALIDATION_SHARE = 0.1
FEWEST_ROWS = 10


@dataclass(frozen=True)
class Rows:
    """What one data file held. `skipped` counts blank lines; `sha256` is of the file's bytes."""

    path: Path
    texts: list[str]
    labels: list[str]
    skipped: int
    sha256: str

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Split:
    """Rows for training and for validation; `labels` is every label of either, sorted by code point."""

    train_texts: list[str]
    train_labels: list[str]
    validation_texts: list[str]
    validation_labels: list[str]
    labels: list[str]


def split(train: Rows, dev: Rows | None, seed: int) -> Split:
    """With `dev`, its rows validate; without, a tenth of each label of `train`, drawn by `seed`. Raises InvalidInput
    where there is one label only, or too few rows to hold any back."""
    if len(set(train.labels)) < 2:
        raise InvalidInput(
            f"{train.path}: all {len(train)} rows have the label {train.labels[0]!r}; a head needs at least two labels"
        )
    if dev is not None:
        labels = sorted({*train.labels, *dev.labels})
        return Split(train.texts, train.labels, dev.texts, dev.labels, labels)
    if len(train) < FEWEST_ROWS:
        raise InvalidInput(
            f"{train.path}: {len(train)} rows are too few to hold some back for validation: "
            f"give at least {FEWEST_ROWS}, or validation rows of their own with --dev"
        )
    held = set(held_back(train.labels, seed))
    kept = [index for index in range(len(train)) if index not in held]
    validation = sorted(held)
    return Split(
        [train.texts[index] for index in kept],
        [train.labels[index] for index in kept],
        [train.texts[index] for index in validation],
        [train.labels[index] for index in validation],
        sorted(set(train.labels)),
    )


def held_back(labels: Sequence[str], seed: int) -> list[int]:
    """The indices of a tenth of the rows, stratified: each label gives its share, and none gives its only row."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        by_label[label].append(index)
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in sorted(by_label):
        indices = generator.permutation(by_label[label]).tolist()
        count = min(len(indices) - 1, max(1, round(len(indices) * VALIDATION_SHARE)))
        chosen += indices[:count]
    return chosen
