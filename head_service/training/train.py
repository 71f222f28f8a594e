"""`head-service train`: labelled data -> vectors through hop 1 -> a head -> a published version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from head_service.evaluation import metrics
from head_service.progress import progress
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.publish import Published, draft, publish
from head_service.training import data, vectors
from head_service.training.answering import Answering
from head_service.training.rows import Rows, Split, split
from twohop.embedding import EmbeddingClient
from twohop.errors import InvalidInput, NotFound
from twohop.types import Encoder, Encoders
from twohop_service import durable

if TYPE_CHECKING:
    from head_service.training.heads.trained import Trained

SHORTEST_WAIT_S = 1.0


@dataclass(frozen=True)
class Order:
    """What to train, from which files, and where it goes. `wait_s`: how long hop 1 may take to become ready;
    `vectors`: the folder of kept vectors; `serve_root`: the repository's path as TF-Serving sees it."""

    data: Path
    dev: Path | None
    head: str
    kind: str
    repository: Path
    vectors: Path
    wait_s: float
    seed: int
    promote: bool
    serve_root: str | None


@dataclass(frozen=True)
class Outcome:
    """A version that now lies in the repository. `embedded` texts went through hop 1, `reused` did not."""

    manifest: Manifest
    published: Published
    trained: Trained
    embedded: int
    reused: int
    notes: list[str]
    seconds: float


def train(order: Order, client: EmbeddingClient) -> Outcome:
    """Raises InvalidInput (data, names), NotFound (the encoder), Failed (files), and what the client raises."""
    begun = time.monotonic()
    rows = data.read(order.data)
    dev = data.read(order.dev) if order.dev else None
    parts = split(rows, dev, order.seed)
    # The draft first: a repository that cannot be written is known before the first text is embedded.
    with draft(order.repository, order.head) as folder:
        encoder = choose_encoder(client.wait_until_ready(max(SHORTEST_WAIT_S, order.wait_s)), client.encoder)
        found = vectors.pooled(client, encoder, [*parts.train_texts, *parts.validation_texts], order.vectors)
        trained = fit(parts, found.matrix)
        manifest = describe(order, rows, dev, parts, encoder, trained)
        write(folder, trained, manifest)
        published = publish(order.repository, folder, manifest, promote=order.promote, serve_root=order.serve_root)
    return Outcome(
        manifest=manifest.numbered(published.version),
        published=published,
        trained=trained,
        embedded=found.embedded,
        reused=found.reused,
        notes=remarks(parts),
        seconds=time.monotonic() - begun,
    )


def choose_encoder(listed: Encoders, name: str) -> Encoder:
    """The named encoder, else the first pooled one. Raises NotFound, InvalidInput (a token encoder)."""
    pooled = [encoder for encoder in listed if not encoder.per_token]
    offered = ", ".join(encoder.name for encoder in pooled) or "none"
    if name:
        encoder = listed.named(name)
        if encoder.per_token:
            raise InvalidInput(
                f"encoder {name} gives one vector per token, and a linear head needs one per text; such are: {offered}",
                detail={"encoder": name},
            )
        return encoder
    if not pooled:
        raise NotFound("hop 1 has no encoder that gives one vector per text; start it with such a --model")
    return pooled[0]


def fit(parts: Split, matrix: npt.NDArray[np.float32]) -> Trained:
    """`matrix` [N, D]: the vectors of the training rows, then of the validation rows."""
    from head_service.training.heads.kinds import KINDS
    from head_service.training.heads.material import Material

    def material(texts: list[str], labels: list[str], some: npt.NDArray[np.float32]) -> Material:
        return Material(texts, classes(labels, parts.labels), np.ones(len(texts), np.float32), vectors=some)

    count, kind = len(parts.train_texts), KINDS["linear"]
    with progress("fitting", kind.steps, unit="%") as advance:
        return kind.fit(
            material(parts.train_texts, parts.train_labels, matrix[:count]),
            material(parts.validation_texts, parts.validation_labels, matrix[count:]),
            len(parts.labels),
            seed=0,
            multi_label=False,
            advance=advance,
        )


def classes(labels: Sequence[str], known: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each label in `known`."""
    places = {label: place for place, label in enumerate(known)}
    return np.array([places[label] for label in labels], np.int64)


def describe(order: Order, rows: Rows, dev: Rows | None, parts: Split, encoder: Encoder, trained: Trained) -> Manifest:
    """The manifest of a version that has no number yet."""
    truth = classes(parts.validation_labels, parts.labels)
    scores = Answering().scores(trained.validation)
    predicted = scores.argmax(1)
    return Manifest(
        head=order.head,
        version=0,
        kind=order.kind,
        labels=parts.labels,
        encoder=EncoderIdentity(encoder.name, encoder.fingerprint, encoder.numerics, encoder.dimension),
        data_sha256=rows.sha256,
        rows={
            "train": len(parts.train_texts),
            "validation": len(parts.validation_texts),
            "skipped": rows.skipped + (dev.skipped if dev else 0),
        },
        metrics={
            "accuracy": metrics.accuracy(truth, predicted),
            "macro_f1": metrics.macro_f1(truth, predicted),
            "cross_entropy": metrics.cross_entropy(truth, scores),
            "calibration_error": metrics.calibration_error(scores.max(1), truth == predicted),
        },
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        training={"seed": order.seed, "dev_sha256": dev.sha256 if dev else None, **trained.settings},
    )


def write(folder: Path, trained: Trained, manifest: Manifest) -> None:
    from head_service.training.export import export

    with durable.explained("write", folder):
        encoder = manifest.encoder
        export(trained.model, Answering(), manifest.labels, manifest.head, encoder.fingerprint, encoder.dimension, folder)


def remarks(parts: Split) -> list[str]:
    """What a person should know about the data, though it stops nothing."""
    unseen = sorted(set(parts.validation_labels) - set(parts.train_labels))
    if not unseen:
        return []
    names = ", ".join(repr(label) for label in unseen[:5]) + (", …" if len(unseen) > 5 else "")
    return [f"{len(unseen)} label(s) occur in validation rows only, so validation counts those rows as wrong: {names}"]
