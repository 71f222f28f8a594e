"""One attempt: a kind of head on an encoder, from texts to figures on validation rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from head_service.progress import Progress
from head_service.training import fitting, materials
from head_service.training.figures import Validated, validated
from head_service.training.heads.kinds import Kind
from head_service.training.heads.material import Material, Matrix, vector_matrix
from head_service.training.heads.ngram_regression import Regression
from head_service.training.heads.shared import Shared
from head_service.training.heads.trained import Trained
from head_service.training.materials import ClassWeights
from head_service.training.profile import Profile, profile, token_means
from head_service.training.rows import Split
from twohop.embedding import EmbeddingClient
from twohop.types import Encoder


@dataclass(frozen=True)
class Candidate:
    kind: Kind
    encoder: Encoder

    @property
    def name(self) -> str:
        return f"{self.kind.name} on {self.encoder.name}"


@dataclass(frozen=True)
class Choices:
    """What a person decided about training. `folds` 0: validation rows are held back; `precision`: of the answers."""

    seed: int
    folds: int
    class_weights: ClassWeights
    precision: float | None


@dataclass(frozen=True, eq=False)
class Attempt:
    """`seconds`: of embedding what was missing, fitting and judging."""

    candidate: Candidate
    trained: Trained
    validated: Validated
    seconds: float


class Workshop:
    """The rows, and the vectors of each encoder as they are asked for; `embedded` texts went through hop 1 up to now,
    `reused` did not."""

    def __init__(self, client: EmbeddingClient, parts: Split, choices: Choices, folder: Path) -> None:
        self._client, self._parts, self._choices, self._folder = client, parts, choices, folder
        self._materials: dict[str, Material] = {}
        self._ngrams = [Regression() for _ in range(max(1, choices.folds))]
        self._shared: dict[str, list[Shared]] = {}
        self.embedded = self.reused = 0

    def attempt(self, candidate: Candidate, progress: Progress) -> Attempt:
        """Raises what `vectors.pooled` does, and what `progress` does."""
        begun = time.monotonic()
        parts, choices = self._parts, self._choices
        material = self._material(candidate.encoder, progress)
        shared = self._shared.setdefault(candidate.encoder.name, [Shared(ngrams) for ngrams in self._ngrams])
        fitted = fitting.fit(candidate.kind, material, parts, choices.folds, choices.seed, self._folder, progress, shared)
        judged = validated(fitted.logits, fitted.targets, parts.labels, choices.precision)
        return Attempt(candidate, fitted.trained, judged, time.monotonic() - begun)

    def profile(self, attempt: Attempt) -> Profile:
        """What its version keeps of the training, for `drift`."""
        parts, material = self._parts, self._materials[attempt.candidate.encoder.name]
        scores, several = attempt.validated.scores, parts.multi_label
        if self._choices.folds:
            return profile(_mean_vectors(material), None, scores, parts.labels, multi_label=several)
        train = materials.between(material, 0, parts.train_count)
        held = materials.between(material, parts.train_count, len(material))
        return profile(_mean_vectors(train), _mean_vectors(held), scores, parts.labels, multi_label=several)

    def _material(self, encoder: Encoder, progress: Progress) -> Material:
        if encoder.name not in self._materials:
            found = materials.embedded(
                self._client, encoder, self._parts, self._choices.class_weights, self._folder, progress
            )
            self.embedded, self.reused = self.embedded + found.embedded, self.reused + found.reused
            self._materials[encoder.name] = found.material
        return self._materials[encoder.name]


def _mean_vectors(material: Material) -> Matrix:
    """[N, D]; of tokens the mean of each text, for some of many texts."""
    if material.tokens is not None:
        return token_means(material.tokens)
    return vector_matrix(material)
