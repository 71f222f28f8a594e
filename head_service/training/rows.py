"""Labelled rows, checked, and how validation rows are chosen among them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twohop.errors import InvalidInput

VALIDATION_SHARE = 0.1
FEWEST_ROWS = 10


@dataclass(frozen=True)
class Rows:
    """What one data file held. `label_sets` are the labels of each text, sorted: one, or in a `multi_label` file any
    number. `skipped` counts blank lines; `sha256` is of the file's bytes."""

    path: Path
    texts: list[str]
    label_sets: list[tuple[str, ...]]
    skipped: int
    sha256: str
    multi_label: bool = False

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labels(self) -> list[str]:
        """The label of each text. Raises InvalidInput where texts have several."""
        if self.multi_label:
            raise InvalidInput(f"{self.path}: its texts have lists of labels, and one label a text is needed here")
        return [label for (label,) in self.label_sets]


@dataclass(frozen=True)
class Split:
    """Rows for training, then rows for validation (from place `train_count`): `texts` and their `label_sets` side by
    side. `labels` is every label of either, sorted by code point."""

    texts: list[str]
    label_sets: list[tuple[str, ...]]
    train_count: int
    labels: list[str]
    multi_label: bool

    @property
    def row_labels(self) -> list[str]:
        """The label of each row, of single-label rows."""
        return [label for (label,) in self.label_sets]

    @property
    def validation(self) -> range:
        """The places of the rows for validation."""
        return range(self.train_count, len(self.texts))


def named(labels: Sequence[str]) -> str:
    """Some labels for a message, the first of many."""
    return ", ".join(map(repr, labels[:5])) + (", …" if len(labels) > 5 else "")


def split(train: Rows, dev: Rows | None, seed: int) -> Split:
    """With `dev`, its rows validate; without, a tenth of each label of `train`, drawn by `seed`. Raises InvalidInput
    where there are too few labels to choose from, or too few rows to hold any back."""
    _check_labels(train)
    if dev is not None:
        multi_label = train.multi_label or dev.multi_label
        return _joined([*train.texts, *dev.texts], [*train.label_sets, *dev.label_sets], len(train), multi_label)
    if len(train) < FEWEST_ROWS:
        raise InvalidInput(
            f"{train.path}: {len(train)} rows are too few to hold some back for validation: "
            f"give at least {FEWEST_ROWS}, or validation rows of their own with --dev"
        )
    held = set(held_back(strata(train.label_sets), seed))
    if not held:
        raise InvalidInput(f"{train.path}: no label has a second row to hold back for validation: give more rows, or --dev")
    order = [*(index for index in range(len(train)) if index not in held), *sorted(held)]
    return _joined(
        [train.texts[index] for index in order],
        [train.label_sets[index] for index in order],
        len(train) - len(held),
        train.multi_label,
    )


def whole(train: Rows, folds: int) -> Split:
    """All rows for training, where each is validated by heads that were trained on others. Raises InvalidInput."""
    _check_labels(train)
    if len(train) < folds:
        raise InvalidInput(f"{train.path}: {len(train)} rows are too few for {folds} folds: give more rows, or fewer folds")
    return _joined(train.texts, train.label_sets, len(train), train.multi_label)


def strata(label_sets: Sequence[tuple[str, ...]]) -> list[str]:
    """One label for each row, to spread rows evenly by: its only one, or the rarest of several; "" where it has none."""
    counts = Counter(label for labels in label_sets for label in labels)
    return [min(labels, key=lambda label: (counts[label], label), default="") for labels in label_sets]


def held_back(labels: Sequence[str], seed: int) -> list[int]:
    """The indices of a tenth of the rows, stratified: each label gives its share, and none gives its only row."""
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for indices in _by_label(labels):
        drawn = generator.permutation(indices).tolist()
        chosen += drawn[: min(len(drawn) - 1, max(1, round(len(drawn) * VALIDATION_SHARE)))]
    return chosen


def folds(labels: Sequence[str], count: int, seed: int) -> list[list[int]]:
    """The indices of all rows in `count` parts of nearly equal size, each label spread over the parts."""
    generator = np.random.default_rng(seed)
    dealt = [index for indices in _by_label(labels) for index in generator.permutation(indices).tolist()]
    return [sorted(dealt[start::count]) for start in range(count)]


def _by_label(labels: Sequence[str]) -> list[list[int]]:
    """The indices of each label's rows, labels sorted."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        groups[label].append(index)
    return [groups[label] for label in sorted(groups)]


def _joined(texts: list[str], label_sets: list[tuple[str, ...]], train_count: int, multi_label: bool) -> Split:
    labels = sorted({label for labels in label_sets for label in labels})
    return Split(texts, label_sets, train_count, labels, multi_label)


def _check_labels(rows: Rows) -> None:
    found = {label for labels in rows.label_sets for label in labels}
    if rows.multi_label and not found:
        raise InvalidInput(f"{rows.path}: none of its {len(rows)} rows has a label; a head needs at least one")
    if not rows.multi_label and len(found) < 2:
        raise InvalidInput(
            f"{rows.path}: all {len(rows)} rows have the label {next(iter(found))!r}; a head needs at least two labels"
        )
