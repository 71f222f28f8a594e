"""Who else can say something about these rows: baselines that are fitted on the training rows, and their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from head_service.evaluation import baselines, learning_curve, mistakes
from head_service.evaluation.intervals import Paired, paired
from head_service.evaluation.judgement import Judgement
from head_service.evaluation.learning_curve import Curve
from head_service.evaluation.mistakes import Known, Suspect
from head_service.training import vectors
from head_service.training.rows import Rows, Split, split
from twohop.embedding import EmbeddingClient
from twohop.types import Encoder

MAJORITY, REGRESSION, TFIDF = "majority", "logistic_regression", "tfidf_logistic_regression"


@dataclass(frozen=True)
class Witnesses:
    """`baselines`: accuracy by name; `against`: the head paired with each on the same rows. `encoder` is the one whose
    vectors they saw; None: no pooled one was to be had. `suspects`: rows whose label may be wrong."""

    baselines: dict[str, float]
    against: dict[str, Paired]
    encoder: str | None = None
    suspects: list[Suspect] = field(default_factory=list)
    curve: Curve | None = None
    notes: list[str] = field(default_factory=list)


def witnesses(
    hop_1: EmbeddingClient, fingerprint: str, judged: Judgement, rows: Rows, train: Rows | None, dev: Rows | None, folder: Path
) -> Witnesses:
    """Needs one label a text: with several there is none but the most frequent set. Raises what the client raises, and
    InvalidInput for training rows that cannot be split."""
    sets = [", ".join(labels) for labels in rows.label_sets]
    frequent = baselines.majority([", ".join(labels) for labels in train.label_sets] if train else sets, len(rows))
    if rows.multi_label or (train and train.multi_label):
        notes = ["several labels a text: the regressions, the learning curve and suspected labels are left out"]
        return _found(judged, sets, {MAJORITY: frequent}, notes=notes if train else [])
    encoder, notes = _pooled(hop_1, fingerprint)
    answers = {MAJORITY: frequent}
    if encoder is None:
        if train:
            answers[TFIDF] = _tfidf(split(train, dev, seed=0), rows)
        return _found(judged, sets, answers, notes=notes)
    if train is None:
        known = Known(vectors.pooled(hop_1, encoder, rows.texts, folder).matrix, np.array(rows.labels))
        return _found(judged, sets, answers, encoder.name, mistakes.suspects(judged, rows.texts, known, None), notes=notes)
    parts = split(train, dev, seed=0)
    labels = parts.row_labels
    matrix = vectors.pooled(hop_1, encoder, [*rows.texts, *parts.texts], folder).matrix
    test, fit_on = matrix[: len(rows)], matrix[len(rows) :]
    regression = baselines.logistic_regression(fit_on, labels, parts.validation, test)
    tfidf = _tfidf(parts, rows)
    answers |= {REGRESSION: regression.predicted, TFIDF: tfidf}
    known = Known(matrix, np.array([*rows.labels, *labels]))
    doubted = mistakes.suspects(judged, rows.texts, known, tfidf.tolist())  # sees words, where all others see vectors
    curve = learning_curve.curve(fit_on, labels, regression.strength, test, rows.labels)
    return _found(judged, sets, answers, encoder.name, doubted, curve, notes)


def _pooled(hop_1: EmbeddingClient, fingerprint: str) -> tuple[Encoder | None, list[str]]:
    """The head's own encoder; for a head on token vectors the first that gives one vector a text."""
    listed = hop_1.encoders()
    own = listed.with_fingerprint(fingerprint)
    if own and not own.per_token:
        return own, []
    other = next((encoder for encoder in listed if not encoder.per_token), None)
    if other is None:
        return None, ["hop 1 has no encoder that gives one vector per text: no logistic regression, no neighbours"]
    return other, [f"the head takes one vector per token: baselines and neighbours are on encoder {other.name}, one per text"]


def _tfidf(parts: Split, rows: Rows) -> npt.NDArray[np.str_]:
    return baselines.tfidf_logistic_regression(parts.texts, parts.row_labels, parts.validation, rows.texts).predicted


def _found(
    judged: Judgement, truth: Sequence[str], answers: dict[str, npt.NDArray[np.str_]], encoder: str | None = None,
    suspects: list[Suspect] | None = None, curve: Curve | None = None, notes: list[str] | None = None,
) -> Witnesses:  # fmt: skip
    right = {name: predicted == np.array(truth) for name, predicted in answers.items()}
    return Witnesses(
        baselines={name: float(hits.mean()) for name, hits in right.items()},
        against={name: paired(judged.hits, hits) for name, hits in right.items()},
        encoder=encoder,
        suspects=suspects or [],
        curve=curve,
        notes=notes or [],
    )
