"""What the signals come to: whether to retrain, and why, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from head_service.drift.signals import Signal

FEW_TEXTS = 200

_WHY = {                    # some, much
    "labels": ("labels come in somewhat other shares", "labels come in quite other shares"),
    "confidence": ("the head's scores have shifted", "the head is not nearly as sure, or as unsure, as it was"),
    "vectors": ("the texts have shifted a little", "the texts are of another kind than those it was trained on"),
    "distance": ("more texts than before lie at the edge of training, or in its middle",
                 "texts lie where there were hardly any in training"),
}
_WHAT = {
    "labels": "train again with rows in today's shares; the head's scores are calibrated for the shares of then.",
    "confidence": "label some of the live texts, evaluate the head on them, and train again with them.",
    "vectors": "label some hundred of these texts, add them to the training data, and train again.",
    "distance": "label some hundred of the furthest texts, or make a label of their own for them, and train again.",
}
_FIRST = ("vectors", "distance", "confidence", "labels")    # what explains the others first


@dataclass(frozen=True)
class Verdict:
    """`drift`: something has changed; `retrain`: much has."""

    drift: bool
    retrain: bool
    words: str


def verdict(found: Sequence[Signal], texts: int) -> Verdict:
    levels = {signal.name: signal.level for signal in found}
    much = [name for name in _FIRST if levels.get(name) == "much"]
    some = [name for name in _FIRST if levels.get(name) == "some"]
    also = f" Also, {_listed(some, 0)}." if some else ""
    if much:
        return Verdict(True, True, f"Retrain: {_listed(much, 1)}.{also} What to do: {_WHAT[much[0]]}")
    if some:
        return Verdict(True, False, f"Watch: {_listed(some, 0)}, though not by so much that it must be trained again now. "
                                    "What to do: evaluate it on some labelled live texts, and look again soon.")  # fmt: skip
    few = f" With {texts} texts only a large change would show: look at {FEW_TEXTS} or more." if texts < FEW_TEXTS else ""
    return Verdict(False, False, f"No drift: there is no need to retrain.{few}")


def _listed(names: Sequence[str], much: int) -> str:
    words = [_WHY[name][much] for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"
