"""Answers held against the true labels: who was right, and the tables that follow. One label a text, or any number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from head_service.evaluation.answers import Answers
from head_service.training.answering import MULTI_LABEL_THRESHOLD

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    true: str
    given: str
    count: int


@dataclass(frozen=True)
class LabelFigures:
    """How one label did: `rows` have it, `answers` gave it, `right` both."""

    label: str
    rows: int
    answers: int
    right: int

    @property
    def precision(self) -> float | None:
        return self.right / self.answers if self.answers else None

    @property
    def recall(self) -> float | None:
        return self.right / self.rows if self.rows else None

    @property
    def f1(self) -> float | None:
        return 2 * self.right / (self.rows + self.answers) if self.rows + self.answers else None


@dataclass(frozen=True)
class Judgement:
    """`labels` [L]: of head and data together, sorted. `wanted` and `given` [N, L]: which labels each text has and got
    (none: the head abstained). `score` [N]: of the answer. `scores` [N, L]: of every label; 0 for those that the head does not
    know (`known` [L])."""

    labels: list[str]
    known: Marks
    wanted: Marks
    given: Marks
    score: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]
    multi_label: bool

    def __len__(self) -> int:
        return len(self.wanted)

    @cached_property
    def hits(self) -> Marks:
        """[N] All labels right, and no other given."""
        return np.asarray((self.wanted == self.given).all(1))

    @cached_property
    def spoke(self) -> Marks:
        """[N] With several labels a text, none is an answer as well."""
        return np.ones(len(self), bool) if self.multi_label else np.asarray(self.given.any(1))

    @cached_property
    def in_scope(self) -> Marks:
        """[N] The head knows every label of the text."""
        return ~np.asarray((self.wanted & ~self.known).any(1))

    @property
    def accuracy(self) -> float:
        return float(self.hits.mean())

    @property
    def coverage(self) -> float:
        """The share of rows that were answered."""
        return float(self.spoke.mean())

    @property
    def precision(self) -> float:
        """Accuracy on the rows that were answered; 0 where none was."""
        return float(self.hits[self.spoke].mean()) if self.spoke.any() else 0.0

    @property
    def macro_f1(self) -> float:
        return float(np.mean([each.f1 for each in self.per_label() if each.f1 is not None] or [0.0]))

    def decisions(self) -> tuple[npt.NDArray[np.float64], Marks]:
        """Scores and whether each held: of the answers given; with several labels a text, of every label of every text."""
        if self.multi_label:
            return self.scores[:, self.known].ravel().astype(np.float64), self.wanted[:, self.known].ravel()
        return self.score[self.spoke], self.hits[self.spoke]

    def counts(self) -> npt.NDArray[np.int64]:
        """[L, L]: rows are true labels, columns given ones. With several labels a text: right ones on the diagonal, and
        each label that was missed against each that was given in vain."""
        right = np.diag((self.wanted & self.given).sum(0))
        wanted, given = self.wanted[~self.hits], self.given[~self.hits]
        missed, in_vain = (wanted & ~given).astype(np.float64), (given & ~wanted).astype(np.float64)
        return np.asarray(right + np.rint(missed.T @ in_vain).astype(np.int64))

    def per_label(self) -> Iterator[LabelFigures]:
        """Labels that neither data nor answers have are there too, with zeros."""
        sums = (self.wanted.sum(0), self.given.sum(0), (self.wanted & self.given).sum(0))
        for label, rows, answers, right in zip(self.labels, *(each.tolist() for each in sums), strict=True):
            yield LabelFigures(label, rows, answers, right)

    def confusions(self) -> list[Confusion]:
        """Pairs of labels that were mixed up, the most frequent first."""
        counts = self.counts()
        np.fill_diagonal(counts, 0)
        pairs = sorted(zip(*(each.tolist() for each in np.nonzero(counts)), strict=True), key=lambda pair: -counts[pair])
        return [Confusion(self.labels[true], self.labels[given], int(counts[true, given])) for true, given in pairs]

    def names(self, marks: Marks) -> str:
        """The labels of one row of `wanted` or `given`; "" for none."""
        return ", ".join(self.labels[place] for place in np.flatnonzero(marks))


def judge(
    truth: Sequence[Sequence[str]], answers: Answers, *, multi_label: bool = False, thresholds: Mapping[str, float] | None = None
) -> Judgement:
    """`truth` [N]: the labels of each text, exactly one unless `multi_label`. There a label was given whose score reaches
    its threshold, by default 0.5; a head that was trained on one label a text gives that one."""
    labels = sorted({*answers.labels, *(label for labels in truth for label in labels)})
    places = {label: place for place, label in enumerate(labels)}
    wanted = np.zeros((len(truth), len(labels)), bool)
    for row, marked in enumerate(truth):
        wanted[row, [places[label] for label in marked]] = True
    scores = np.zeros((len(truth), len(labels)), np.float32)
    columns = [places[label] for label in answers.labels]
    scores[:, columns] = answers.scores
    given = np.zeros_like(wanted)
    if multi_label and not _exclusive(answers.scores):
        bounds = np.array([(thresholds or {}).get(label, MULTI_LABEL_THRESHOLD) for label in answers.labels], np.float32)
        given[:, columns] = answers.scores >= bounds
    else:
        for row, label in enumerate(answers.predicted):
            if label is not None:
                given[row, places[label]] = True
    known = np.zeros(len(labels), bool)
    known[columns] = True
    return Judgement(labels, known, wanted, given, answers.score, scores, multi_label)


def _exclusive(scores: npt.NDArray[np.float32]) -> bool:
    """Whether the scores of each text are shares of one: a head for one label a text."""
    return bool(np.allclose(scores.sum(1), 1, atol=1e-3))
