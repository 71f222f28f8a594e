"""What a version remembers of its training, so that live texts can be compared with it later: how often each label came and how
sure the head was, on rows that it was not trained on, and where vectors lay. No text and no single vector is kept."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from head_service.repository.layout import PROFILE
from head_service.training import gaussian
from head_service.training.answering import MULTI_LABEL_THRESHOLD
from head_service.training.gaussian import Floats, Gaussian
from head_service.training.heads.material import Matrix, Tokens
from twohop.errors import Failed, NotFound
from twohop_service import durable

QUANTILES = 1000
PARTS = 5


@dataclass(frozen=True)
class Profile:
    """`label_counts` [C] of what was predicted on `validation_rows` rows, by the order of `labels`; `confidences` (the best
    label's score) and `distances` (of the vectors) of the same rows, sorted, or QUANTILES values that stand for all of them;
    `vectors` is fitted to the `rows` training rows."""

    labels: list[str]
    multi_label: bool
    rows: int
    validation_rows: int
    label_counts: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float32]
    distances: npt.NDArray[np.float32]
    vectors: Gaussian


def profile(
    vectors: Matrix, validation_vectors: Matrix | None, validation_scores: Floats, labels: Sequence[str], *,
    multi_label: bool = False,
) -> Profile:  # fmt: skip
    """`vectors` [N, D] of the training rows, `validation_vectors` [V, D] of rows that the head was not trained on: of a token
    encoder the mean of each text (`token_means`). None: all rows validated heads that were trained on the others (folds).
    `validation_scores` [V, C]: as the served head would give them, for its C `labels`. N is at least 2, V at least 1; maps on
    disk are fine, for of many rows some are read."""
    lying = gaussian.fit(vectors)
    if validation_vectors is None:
        distances = _unseen_distances(gaussian.spread(vectors))
    else:
        distances = lying.distances(gaussian.spread(validation_vectors))
    return Profile(
        labels=list(labels),
        multi_label=multi_label,
        rows=len(vectors),
        validation_rows=len(validation_scores),
        label_counts=count_labels(validation_scores, multi_label),
        confidences=_quantiles(validation_scores.max(1)),
        distances=_quantiles(distances),
        vectors=lying,
    )


def count_labels(scores: Floats, multi_label: bool) -> npt.NDArray[np.int64]:
    """scores [N, C] -> how many of the N texts have each label [C]: the best one each, or all that are likely."""
    if multi_label:
        return np.asarray((scores >= MULTI_LABEL_THRESHOLD).sum(0), np.int64)
    return np.bincount(scores.argmax(1), minlength=scores.shape[1]).astype(np.int64)


def token_means(tokens: Tokens) -> npt.NDArray[np.float32]:
    """The mean of each text's token vectors, [N, D]; of many texts some, evenly spread, so that vectors on disk may be larger
    than memory."""
    chosen = gaussian.evenly(len(tokens.offsets) - 1)
    means = np.empty((len(chosen), tokens.flat.shape[1]), np.float32)
    for row, text in enumerate(chosen):
        means[row] = tokens.flat[int(tokens.offsets[text]) : int(tokens.offsets[text + 1])].mean(0, dtype=np.float32)
    return means


def write(version_folder: Path, kept: Profile) -> None:
    """Raises OSError."""
    path = version_folder / PROFILE
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        labels=np.array(kept.labels),
        multi_label=kept.multi_label,
        rows=kept.rows,
        validation_rows=kept.validation_rows,
        label_counts=kept.label_counts,
        confidences=kept.confidences,
        distances=kept.distances,
        mean=kept.vectors.mean,
        axes=kept.vectors.axes,
        deviations=kept.vectors.deviations,
        rest=kept.vectors.rest,
    )


def read(version_folder: Path) -> Profile:
    """Raises NotFound where the version has none, Failed where it cannot be read."""
    path = version_folder / PROFILE
    if not path.is_file():
        raise NotFound(
            f"{version_folder} keeps no profile of its training (no {PROFILE}), so live texts cannot be compared with it: "
            "train the head once more",
            detail={"path": str(path)},
        )
    try:
        with durable.explained("read", path), path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return Profile(
                labels=[str(label) for label in found["labels"]],
                multi_label=bool(found["multi_label"]),
                rows=int(found["rows"]),
                validation_rows=int(found["validation_rows"]),
                label_counts=found["label_counts"],
                confidences=found["confidences"],
                distances=found["distances"],
                vectors=Gaussian(found["mean"], found["axes"], found["deviations"], float(found["rest"])),
            )
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Failed(f"{path} is damaged ({error}): train the head once more", detail={"path": str(path)}) from error


def _unseen_distances(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The distance of each row [N, D] from the middle of rows that it is not among: its own would lie too near."""
    distances = np.empty(len(rows), np.float32)
    parts = np.arange(len(rows)) % PARTS
    for part in range(min(PARTS, len(rows))):
        distances[parts == part] = gaussian.fit(rows[parts != part]).distances(rows[parts == part])
    return distances


def _quantiles(values: Floats) -> npt.NDArray[np.float32]:
    if len(values) <= QUANTILES:
        return np.sort(values).astype(np.float32)
    return np.quantile(values, (np.arange(QUANTILES) + 0.5) / QUANTILES).astype(np.float32)
