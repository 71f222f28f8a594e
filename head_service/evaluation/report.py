"""What `evaluate` says: the contract's document, or some lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from head_service.evaluation import selective, words
from head_service.evaluation.evaluate import Evaluation
from head_service.evaluation.intervals import Paired, wilson
from head_service.evaluation.judgement import LabelFigures
from head_service.evaluation.mistakes import Suspect

MOST_CONFUSIONS = 5
MOST_CONFUSED = 100
MOST_TEXTS = 3
SHOWN_LETTERS = 70


def document(found: Evaluation) -> dict[str, Any]:
    judged, known = found.judgement, found.witnesses
    curve, scope = known.curve, found.out_of_scope
    return {
        "command": "evaluate",
        "head": found.head,
        "version": found.version,
        "fingerprint": found.fingerprint,
        "rows": len(judged),
        "accuracy": judged.accuracy,
        "interval": wilson(int(judged.hits.sum()), len(judged)),
        "macro_f1": judged.macro_f1,
        "calibration_error": found.calibration.error,
        "calibration_by_chance": found.calibration.by_chance,
        "confusion": {"labels": judged.labels, "counts": judged.counts().tolist()},
        "confused": [asdict(pair) for pair in judged.confusions()[:MOST_CONFUSED]],
        "per_label": [_label(each) for each in judged.per_label()],
        "multi_label": judged.multi_label,
        "abstained": int((~judged.spoke).sum()),
        "coverage": judged.coverage,
        "precision": judged.precision,
        "accuracy_without_abstaining": judged.accuracy if judged.multi_label else found.selection[-1].precision,
        "out_of_scope": asdict(scope) if scope else None,
        "reliability": [{**asdict(each), "accuracy": each.accuracy} for each in found.calibration.bins],
        "selective": [asdict(point) for point in found.selection],
        "baselines": known.baselines,
        "against": {name: _paired(each) for name, each in known.against.items()},
        "comparison": None if found.comparison is None else {
            "version": found.comparison.version, "accuracy": found.comparison.accuracy, **_paired(found.comparison.paired),
        },
        "learning_curve": None if curve is None else {**asdict(curve), "gain": curve.gain, "likely_gain": curve.likely_gain},
        "mistakes": [asdict(each) for each in found.mistakes],
        "suspects": [_suspect(each) for each in known.suspects],
        "gate": {"passed": not found.failed, "failed": found.failed},
        "notes": found.notes,
    }  # fmt: skip


def lines(found: Evaluation, page: Path | None) -> Iterator[str]:
    judged, rows = found.judgement, len(found.judgement)
    yield f"{found.head} version {found.version} ({found.fingerprint}) on {rows} rows, through both hops"
    yield ""
    low, high = wilson(int(judged.hits.sum()), rows)
    yield f"  accuracy                  {judged.accuracy:.4f}   (95 % interval {low:.4f} to {high:.4f})"
    for name, value in found.witnesses.baselines.items():
        yield f"    {name:25} {value:.4f}   ({words.points(judged.accuracy - value)} points)"
    yield f"  macro F1                  {judged.macro_f1:.4f}"
    by_chance = found.calibration.by_chance[0]
    yield f"  calibration error         {found.calibration.error:.4f}   ({by_chance:.4f} if scores were exact)"
    if not judged.spoke.all():
        abstained = int((~judged.spoke).sum())
        yield f"  answered                  {judged.coverage:.4f}   ({abstained} rows abstained, counted as wrong)"
        every = found.selection[-1].precision
        yield f"  right of those answered   {judged.precision:.4f}   (of all, were it to answer all: {every:.4f})"
    elif not judged.multi_label:
        sure = selective.widest(found.selection, 0.95)
        yield f"  for 95 % right            {words.selected(0.95, sure)}"
    if found.out_of_scope:
        yield f"  out of scope              {words.strangers(found.out_of_scope)}"
    yield from _confusions(found)
    yield from _texts(found)
    yield ""
    if found.comparison:
        name = f"stable version {found.comparison.version}"
        yield f"Against {name} ({found.comparison.accuracy:.4f}): {words.compared(found.comparison.paired, 'it')}"
    if found.witnesses.curve:
        yield words.learned(found.witnesses.curve)
    if page:
        yield f"All of it, with plots: {page}"
    for requirement in found.failed:
        yield f"FAILED: {requirement} is required"


def _confusions(found: Evaluation) -> Iterator[str]:
    pairs = found.judgement.confusions()[:MOST_CONFUSIONS]
    if pairs:
        yield ""
        yield "  most often confused (true -> given)"
        yield from (f"  {pair.count:5}  {pair.true} -> {pair.given}" for pair in pairs)


def _texts(found: Evaluation) -> Iterator[str]:
    if found.mistakes:
        yield ""
        yield "  surest mistakes (row, true -> given, score)"
        for each in found.mistakes[:MOST_TEXTS]:
            yield f"  {each.row:5}  {each.label} -> {each.given} {each.given_score:.2f}   {_short(each.text)}"
    if found.witnesses.suspects:
        yield ""
        yield f"  labels to check: {len(found.witnesses.suspects)} (row, label, and what it may have to be)"
        for suspect in found.witnesses.suspects[:MOST_TEXTS]:
            each = suspect.mistake
            yield f"  {each.row:5}  {each.label}, rather {each.given}   {_short(each.text)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_LETTERS else line[: SHOWN_LETTERS - 1] + "…"


def _label(figures: LabelFigures) -> dict[str, Any]:
    return {**asdict(figures), "precision": figures.precision, "recall": figures.recall, "f1": figures.f1}


def _paired(paired: Paired) -> dict[str, Any]:
    return {
        "difference": paired.difference,
        "interval": paired.interval,
        "gained": paired.gained,
        "lost": paired.lost,
        "p_value": paired.p_value,
        "verdict": paired.verdict,
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    beside = {name: value for name, value in asdict(suspect).items() if name != "mistake"}
    return {**asdict(suspect.mistake), **beside}
