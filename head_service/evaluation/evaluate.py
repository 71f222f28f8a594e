"""`head-service evaluate`: a served head on labelled rows, through both hops, beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from head_service.evaluation import baselines, chain, gate, metrics
from head_service.evaluation.gate import Requirement
from head_service.repository import versions
from head_service.training import data, vectors
from head_service.training.rows import Rows, split
from twohop.chain import TwoHop
from twohop.embedding import EmbeddingClient
from twohop.errors import NotFound


@dataclass(frozen=True)
class Order:
    """What to evaluate. `train`, and `dev` to choose C on: rows for the logistic regression; `vectors`: the folder of
    kept vectors; `repository`: where the version says what it was trained on."""

    data: Path
    head: str
    train: Path | None
    dev: Path | None
    repository: Path | None
    vectors: Path
    requirements: Sequence[Requirement]


@dataclass(frozen=True)
class Evaluation:
    """`counts` [L, L]: rows are true labels, columns predicted ones, in the order of `labels`; the `abstained` rows are
    in no column and count as wrong."""

    head: str
    version: int
    fingerprint: str
    rows: int
    accuracy: float
    macro_f1: float
    calibration_error: float
    labels: list[str]
    counts: npt.NDArray[np.int64]
    abstained: int
    baselines: dict[str, float]
    failed: list[str]
    notes: list[str]


def evaluate(order: Order, hops: TwoHop, hop_1: EmbeddingClient) -> Evaluation:
    """Raises InvalidInput (the data), NotFound (head, encoder), Failed, and what the clients raise."""
    rows = data.read(order.data)
    train = data.read(order.train) if order.train else None
    dev = data.read(order.dev) if order.dev else None
    answers = chain.ask(hops, order.head, rows.texts)
    figures, labels, counts = measure(rows.labels, answers)
    compared = {"majority": baselines.majority(train.labels if train else rows.labels, rows.labels)}
    if train:
        compared["logistic_regression"] = compare(hop_1, answers.fingerprint, rows, train, dev, order.vectors)
    return Evaluation(
        head=order.head,
        version=answers.version,
        fingerprint=answers.fingerprint,
        rows=len(rows),
        **figures,
        labels=labels,
        counts=counts,
        abstained=answers.predicted.count(None),
        baselines=compared,
        failed=gate.failed(order.requirements, figures),
        notes=list(remarks(order, rows, answers)),
    )


def measure(truth: Sequence[str], answers: chain.Answers) -> tuple[dict[str, float], list[str], npt.NDArray[np.int64]]:
    """Figures by name, the labels of head and data together (sorted), and the confusion [L, L]."""
    labels = sorted({*truth, *answers.labels})
    places: dict[str | None, int] = {label: place for place, label in enumerate(labels)}
    places[None] = -1
    wanted = np.array([places[label] for label in truth])
    given = np.array([places[label] for label in answers.predicted])
    spoke = given >= 0
    figures = {
        "accuracy": metrics.accuracy(wanted, given),
        "macro_f1": metrics.macro_f1(wanted, given),
        "calibration_error": metrics.calibration_error(answers.scores[spoke], (wanted == given)[spoke]),
    }
    return figures, labels, metrics.confusion(wanted, given, len(labels))


def compare(hop_1: EmbeddingClient, fingerprint: str, test: Rows, train: Rows, dev: Rows | None, folder: Path) -> float:
    """Accuracy of logistic regression on vectors of the encoder that the head uses. C is chosen on `dev`, or on a tenth
    of `train`; then it is fitted on all of both."""
    encoder = hop_1.encoders().with_fingerprint(fingerprint)
    if encoder is None or encoder.per_token:
        raise NotFound(
            f"hop 1 has no pooled encoder {fingerprint} for the logistic regression: leave --train out",
            detail={"fingerprint": fingerprint},
        )
    parts = split(train, dev, seed=0)
    texts = [*parts.train_texts, *parts.validation_texts]
    found = vectors.pooled(hop_1, encoder, [*texts, *test.texts], folder).matrix
    validation = range(len(parts.train_texts), len(texts))
    return baselines.logistic_regression(
        found[: len(texts)], [*parts.train_labels, *parts.validation_labels], validation, found[len(texts) :], test.labels
    )


def remarks(order: Order, rows: Rows, answers: chain.Answers) -> list[str]:
    """What a person should know about these figures."""
    notes = []
    known_labels = set(answers.labels)
    unknown = [label for label in rows.labels if label not in known_labels]
    if unknown:
        names = ", ".join(repr(label) for label in sorted(set(unknown))[:5])
        notes.append(f"{len(unknown)} rows have labels that the head does not know, and count as wrong: {names}")
    if order.repository:
        known = {version.number: version.manifest for version in versions.versions(order.repository, order.head)}
        manifest = known.get(answers.version)
        if manifest and rows.sha256 in (manifest.data_sha256, manifest.training.get("dev_sha256")):
            notes.append(f"version {answers.version} was trained on this very file: these figures say little about new texts")
    return notes
