"""`head-service train`: labelled data -> vectors through hop 1 -> a head -> a published version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from head_service.progress import progress
from head_service.repository.drafts import draft
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.publish import Published, publish
from head_service.training import auto, data, encoders, profile
from head_service.training.attempts import Attempt, Candidate, Choices, Workshop
from head_service.training.heads.kinds import KINDS
from head_service.training.rows import Rows, Split, named, split, whole
from twohop.embedding import EmbeddingClient
from twohop.types import Encoders
from twohop_service import durable

AUTO = "auto"


@dataclass(frozen=True)
class Order:
    """What to train, from which files, and where it goes. `minutes`: what `auto` may take; `wait_s`: how long hop 1 may
    take to become ready; `vectors`: the folder of kept vectors; `serve_root`: the repository's path as TF-Serving sees it."""

    data: Path
    dev: Path | None
    head: str
    kind: str
    minutes: float
    choices: Choices
    repository: Path
    vectors: Path
    wait_s: float
    promote: bool
    serve_root: str | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A version that now lies in the repository. `embedded` texts went through hop 1, `reused` did not. `choice`: what
    `auto` tried."""

    manifest: Manifest
    published: Published
    attempt: Attempt
    choice: auto.Choice | None
    embedded: int
    reused: int
    notes: list[str]
    seconds: float


def train(order: Order, client: EmbeddingClient) -> Outcome:
    """Raises InvalidInput (data, names), NotFound (the encoder), Failed (files), and what the client raises."""
    begun = time.monotonic()
    rows = data.read(order.data)
    dev = data.read(order.dev) if order.dev else None
    parts = whole(rows, order.choices.folds) if order.choices.folds else split(rows, dev, order.choices.seed)
    # The draft first: a repository that cannot be written is known before the first text is embedded.
    with draft(order.repository, order.head) as folder:
        listed = encoders.listed(client, order.wait_s)
        workshop = Workshop(client, parts, order.choices, order.vectors)
        attempt, choice = make(order, listed, client.encoder, workshop)
        manifest = describe(order, rows, dev, parts, attempt, choice)
        write(folder, attempt, manifest)
        with durable.explained("write", folder):
            profile.write(folder, workshop.profile(attempt))
        published = publish(order.repository, folder, manifest, promote=order.promote, serve_root=order.serve_root)
    return Outcome(
        manifest=manifest.numbered(published.version),
        published=published,
        attempt=attempt,
        choice=choice,
        embedded=workshop.embedded,
        reused=workshop.reused,
        notes=remarks(parts, attempt),
        seconds=time.monotonic() - begun,
    )


def make(order: Order, listed: Encoders, encoder: str, workshop: Workshop) -> tuple[Attempt, auto.Choice | None]:
    """The kind that was asked for, or the best of those that `auto` tries; `encoder`: its name, "" for any."""
    if order.kind == AUTO:
        choice = auto.choose(listed, encoder, workshop.attempt, progress, order.minutes)
        return choice.best, choice
    kind = KINDS[order.kind]
    return workshop.attempt(Candidate(kind, encoders.choose(listed, encoder, kind)), progress), None


def describe(
    order: Order, rows: Rows, dev: Rows | None, parts: Split, attempt: Attempt, choice: auto.Choice | None
) -> Manifest:
    """The manifest of a version that has no number yet."""
    encoder, found, choices = attempt.candidate.encoder, attempt.validated, order.choices
    return Manifest(
        head=order.head,
        version=0,
        kind=attempt.candidate.kind.name,
        labels=parts.labels,
        encoder=EncoderIdentity(encoder.name, encoder.fingerprint, encoder.numerics, encoder.dimension),
        data_sha256=rows.sha256,
        rows={
            "train": parts.train_count,
            "validation": len(found.scores),
            "skipped": rows.skipped + (dev.skipped if dev else 0),
        },
        metrics=found.metrics,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        calibration=found.calibration.document(),
        thresholds=found.thresholds.document(parts.labels) if found.thresholds else None,
        training={
            "seed": choices.seed,
            "dev_sha256": dev.sha256 if dev else None,
            "class_weights": choices.class_weights,
            "folds": choices.folds,
            "precision_wanted": choices.precision,
            "multi_label": parts.multi_label,
            **attempt.trained.settings,
            **({"auto": choice.document()} if choice else {}),
        },
    )


def write(folder: Path, attempt: Attempt, manifest: Manifest) -> None:
    from head_service.training.export import export

    encoder, answering = manifest.encoder, attempt.validated.answering
    with durable.explained("write", folder):
        export(attempt.trained.model, answering, manifest.labels, manifest.head, encoder.fingerprint, encoder.dimension, folder)


def remarks(parts: Split, attempt: Attempt) -> list[str]:
    """What a person should know about data and head, though it stops nothing."""
    notes = []
    trained = {label for labels in parts.label_sets[: parts.train_count] for label in labels}
    if unseen := sorted(set(parts.labels) - trained):
        notes.append(
            f"{len(unseen)} label(s) occur in validation rows only, so validation counts those rows as wrong: {named(unseen)}"
        )
    thresholds = attempt.validated.thresholds
    if thresholds and len(thresholds.silent) == len(parts.labels):
        notes.append(
            f"no threshold is sure to reach a precision of {thresholds.wanted:g}: this head abstains from every text. "
            "More rows for validation (--dev, --folds), a better kind or a lower --precision may help"
        )
    elif thresholds and thresholds.silent:
        notes.append(
            f"{len(thresholds.silent)} label(s) never answer, as no threshold is sure to reach a precision of "
            f"{thresholds.wanted:g}: {named(thresholds.silent)}"
        )
    return notes
