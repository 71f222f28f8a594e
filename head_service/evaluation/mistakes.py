"""Rows to look at: the surest mistakes, and those where the label and not the head may be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from head_service.evaluation.judgement import Judgement

MOST_MISTAKES = 50
MOST_SUSPECTS = 100
NEIGHBOURS = 10
CANDIDATES = 500
ROWS_AT_ONCE = 64
SIDES, FEWEST = 0.6, 3  # of the neighbours that have either label as many must have the head's, and so many at least


@dataclass(frozen=True)
class Mistake:
    """`row` counts the data's rows from 1, without its header and blank lines. `label` as the data says, `given` by the
    head, with the score of either."""

    row: int
    text: str
    label: str
    label_score: float
    given: str
    given_score: float


@dataclass(frozen=True)
class Suspect:
    """A mistake that may be the data's. Of its `neighbours` nearest rows so many have the label `given`, so many the
    row's own."""

    mistake: Mistake
    neighbours: int
    with_given: int
    with_label: int


@dataclass(frozen=True)
class Known:
    """Rows to look for neighbours among: `vectors` float32 [M, D], one label each; the rows that are judged come
    first."""

    vectors: npt.NDArray[np.float32]
    labels: npt.NDArray[np.str_]


def worst(judgement: Judgement, texts: list[str]) -> list[Mistake]:
    """The answers that were given, wrong and surest; `given_score - label_score` orders them."""
    return [_mistake(judgement, texts, row) for row in _wrong(judgement)[:MOST_MISTAKES]]


def suspects(judgement: Judgement, texts: list[str], known: Known, regression: Sequence[str] | None) -> list[Suspect]:
    """Rows where the head is as sure of another label as it is, on average, on rows of that label (confident learning:
    Northcutt et al. 2021), and where the other witnesses say the same: most of the nearest rows that have either label, and
    the regression on words where there is one. The surest first. With one label a text only."""
    usual = _usual_scores(judgement)
    rows = [row for row in _wrong(judgement).tolist() if judgement.in_scope[row] and _is_sure(judgement, usual, row)][:CANDIDATES]
    found = []
    for row, near in zip(rows, _nearest(known, rows), strict=False):  # no neighbours in a file of one row
        mistake = _mistake(judgement, texts, row)
        with_given, with_label = (int(np.sum(known.labels[near] == label)) for label in (mistake.given, mistake.label))
        agreed = with_given >= max(FEWEST, SIDES * (with_given + with_label))
        if agreed and (regression is None or regression[row] == mistake.given):
            found.append(Suspect(mistake, len(near), with_given, with_label))
    return found[:MOST_SUSPECTS]


def _wrong(judgement: Judgement) -> npt.NDArray[np.int64]:
    """Rows with a wrong answer, the surest first."""
    rows = np.flatnonzero(~judgement.hits & judgement.given.any(1))
    gaps = [_given_score(judgement, row) - _label_score(judgement, row) for row in rows.tolist()]
    return np.asarray(rows[np.argsort(-np.array(gaps), kind="stable")])


def _usual_scores(judgement: Judgement) -> npt.NDArray[np.float64]:
    """[L] The mean score of each label on the rows that have it; 1 where none has."""
    rows = judgement.wanted.sum(0)
    sums = np.where(judgement.wanted, judgement.scores, 0).sum(0, dtype=np.float64)
    return np.asarray(np.where(rows > 0, sums / np.maximum(rows, 1), 1.0))


def _is_sure(judgement: Judgement, usual: npt.NDArray[np.float64], row: int) -> bool:
    given = judgement.given[row]
    return bool(judgement.scores[row, given].max() >= usual[given].max())


def _mistake(judgement: Judgement, texts: list[str], row: int) -> Mistake:
    return Mistake(
        row=int(row) + 1,
        text=texts[row],
        label=judgement.names(judgement.wanted[row]),
        label_score=_label_score(judgement, row),
        given=judgement.names(judgement.given[row]),
        given_score=_given_score(judgement, row),
    )


def _given_score(judgement: Judgement, row: int) -> float:
    """Of several labels the surest that is wrong, if one is."""
    given, wanted = judgement.given[row], judgement.wanted[row]
    in_vain = given & ~wanted
    return float(judgement.scores[row, in_vain if in_vain.any() else given].max())


def _label_score(judgement: Judgement, row: int) -> float:
    """Of several labels the least sure; where no label applies, 0."""
    return float(judgement.scores[row, judgement.wanted[row]].min(initial=1.0)) if judgement.wanted[row].any() else 0.0


def _nearest(known: Known, rows: Sequence[int]) -> Iterator[npt.NDArray[np.int64]]:
    """The places of the nearest rows by cosine, from the mean of all: vectors of one encoder share a direction."""
    centred = known.vectors - known.vectors.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    count = min(NEIGHBOURS, len(centred) - 1)
    for start in range(0, len(rows) if count else 0, ROWS_AT_ONCE):
        some = np.array(rows[start : start + ROWS_AT_ONCE])
        likeness = centred[some] @ centred.T
        likeness[np.arange(len(some)), some] = -np.inf  # none is its own neighbour
        yield from np.argpartition(-likeness, count - 1, axis=1)[:, :count]
