"""One kind of head fitted on the vectors of one encoder, and what it says of rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.progress import Advance, Progress
from head_service.training import materials, rows
from head_service.training.heads.kinds import Kind
from head_service.training.heads.material import Material
from head_service.training.heads.objective import is_better
from head_service.training.heads.portion import STEPS
from head_service.training.heads.shared import Shared
from head_service.training.heads.trained import Trained, Trial
from head_service.training.rows import Split


@dataclass(frozen=True, eq=False)
class Fitted:
    """`trained` on all rows. `logits` [V, C]: of rows that they were not trained on, whose truth is `targets`."""

    trained: Trained
    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]


def fit(
    kind: Kind, material: Material, parts: Split, folds: int, seed: int, folder: Path, progress: Progress,
    shared: Sequence[Shared],
) -> Fitted:  # fmt: skip
    """Settings are chosen on the rows for validation, or, with `folds`, on each row by heads that were trained on the
    others. `folder`: whose disk holds copies of vectors; `shared`: one for each fold, or one."""
    with progress(f"fitting {kind.name}", STEPS * max(1, folds), unit="%" if not folds else "steps") as advance:
        if folds:
            return _on_folds(kind, material, parts, folds, seed, folder, advance, shared)
        train = materials.between(material, 0, parts.train_count)
        validation = materials.between(material, parts.train_count, len(material))
        trained = _fit(kind, train, validation, parts, seed, advance, shared[0])
        return Fitted(trained, trained.validation, validation.targets)


def _on_folds(
    kind: Kind, material: Material, parts: Split, count: int, seed: int, folder: Path, advance: Advance,
    shared: Sequence[Shared],
) -> Fitted:  # fmt: skip
    logits = np.empty((len(material), len(parts.labels)), np.float32)
    found: list[Trained] = []
    for held, of_fold in zip(rows.folds(rows.strata(parts.label_sets), count, seed), shared, strict=True):
        others = np.setdiff1d(np.arange(len(material)), held).tolist()
        train, validation = materials.at(material, others, folder), materials.at(material, held, folder)
        trained = _fit(kind, train, validation, parts, seed, advance, of_fold)
        logits[held] = trained.validation
        found.append(trained)
    return Fitted(agreed(found, parts.multi_label), logits, material.targets)


def _fit(
    kind: Kind, train: Material, validation: Material, parts: Split, seed: int, advance: Advance, shared: Shared
) -> Trained:
    return kind.fit(
        train, validation, len(parts.labels), seed=seed, multi_label=parts.multi_label, advance=advance, shared=shared
    )


def agreed(found: Sequence[Trained], multi_label: bool) -> Trained:
    """Of heads that are each trained on all rows, with settings chosen on one fold: the one whose settings did best on
    average over all folds. A fold that did not try them counts with the worst that it saw."""
    best = found[0]
    for trained in found[1:]:
        if is_better(_mean(found, trained.settings), _mean(found, best.settings), multi_label):
            best = trained
    return best


def _mean(found: Sequence[Trained], settings: Mapping[str, float]) -> Trial:
    trials = [_trial_of(trained.trials, settings) for trained in found]
    accuracy = np.mean([trial.accuracy for trial in trials])
    return Trial(settings, float(accuracy), float(np.mean([trial.cross_entropy for trial in trials])))


def _trial_of(trials: Sequence[Trial], settings: Mapping[str, float]) -> Trial:
    same = [trial for trial in trials if trial.settings == settings]
    return same[0] if same else min(trials, key=lambda trial: (trial.accuracy, -trial.cross_entropy))
