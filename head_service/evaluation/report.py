"""What `evaluate` says: the contract's document, or a few lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from head_service.evaluation.evaluate import Evaluation

MOST_CONFUSIONS = 5


def document(found: Evaluation) -> dict[str, Any]:
    return {
        "command": "evaluate",
        "head": found.head,
        "version": found.version,
        "fingerprint": found.fingerprint,
        "rows": found.rows,
        "accuracy": found.accuracy,
        "macro_f1": found.macro_f1,
        "calibration_error": found.calibration_error,
        "confusion": {"labels": found.labels, "counts": found.counts.tolist()},
        "abstained": found.abstained,
        "baselines": found.baselines,
        "gate": {"passed": not found.failed, "failed": found.failed},
    }


def lines(found: Evaluation) -> Iterator[str]:
    yield f"{found.head} version {found.version} ({found.fingerprint}) on {found.rows} rows, through both hops"
    yield ""
    yield f"  accuracy              {found.accuracy:.4f}"
    for name, value in found.baselines.items():
        yield f"    {name:19} {value:.4f}   ({100 * (found.accuracy - value):+.2f} points)"
    yield f"  macro F1              {found.macro_f1:.4f}"
    yield f"  calibration error     {found.calibration_error:.4f}"
    if found.abstained:
        yield f"  abstained             {found.abstained} rows, counted as wrong"
    mistaken = list(confusions(found))
    if mistaken:
        yield ""
        yield "  most often confused (true -> given)"
        yield from (f"  {count:5}  {true} -> {given}" for count, true, given in mistaken)
    for requirement in found.failed:
        yield f"FAILED: {requirement} is required"


def confusions(found: Evaluation) -> Iterator[tuple[int, str, str]]:
    wrong = found.counts - np.diag(np.diag(found.counts))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]:
        true, given = divmod(int(place), len(found.labels))
        if wrong[true, given]:
            yield int(wrong[true, given]), found.labels[true], found.labels[given]
