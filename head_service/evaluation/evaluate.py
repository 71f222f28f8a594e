"""`head-service evaluate`: a head on labelled rows, through both hops, beside its baselines and the stable version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from head_service.evaluation import answers, calibration, gate, judgement, mistakes, selective
from head_service.evaluation.answers import Answers
from head_service.evaluation.calibration import Calibration
from head_service.evaluation.contenders import Contenders
from head_service.evaluation.gate import Requirement
from head_service.evaluation.intervals import Paired, paired
from head_service.evaluation.judgement import Judgement
from head_service.evaluation.mistakes import Mistake
from head_service.evaluation.selective import OutOfScope, Point
from head_service.evaluation.witnesses import Witnesses, witnesses
from head_service.repository import versions
from head_service.repository.manifest import Manifest
from head_service.training import data
from head_service.training.rows import Rows, named
from twohop.chain import TwoHop
from twohop.embedding import EmbeddingClient
from twohop.errors import TwoHopError


@dataclass(frozen=True)
class Order:
    """What to evaluate. `train`, and `dev` to choose C on: rows for the baselines and the learning curve; `vectors`: the
    folder of kept vectors; `repository`: where the version says what it was trained on; `no_worse`: than stable."""

    data: Path
    head: str
    train: Path | None
    dev: Path | None
    repository: Path | None
    vectors: Path
    requirements: Sequence[Requirement]
    no_worse: bool


@dataclass(frozen=True)
class Comparison:
    """The evaluated version against the one that is stable."""

    version: int
    accuracy: float
    paired: Paired


@dataclass(frozen=True)
class Evaluation:
    """All that was found. `selection`: what answering only the sure rows would bring. `comparison`: None where the version
    is the stable one, or where that one could not be asked (`notes` say so). `failed` are those `requirements` not met."""

    rows: Rows
    head: str
    version: int
    fingerprint: str
    manifest: Manifest | None
    judgement: Judgement
    calibration: Calibration
    selection: list[Point]
    out_of_scope: OutOfScope | None
    mistakes: list[Mistake]
    witnesses: Witnesses
    comparison: Comparison | None
    requirements: list[str]
    failed: list[str]
    notes: list[str]


def evaluate(order: Order, contenders: Contenders, hops: TwoHop, hop_1: EmbeddingClient) -> Evaluation:
    """Raises InvalidInput (the data), NotFound (head, encoder), Failed, and what the clients raise."""
    rows = data.read(order.data)
    train = data.read(order.train) if order.train else None
    dev = data.read(order.dev) if order.dev else None
    names = [contenders.name, *([contenders.stable] if contenders.stable else [])]
    asked = answers.ask(hops, names, rows.texts)
    given = asked[contenders.name]
    if isinstance(given, TwoHopError):
        raise given
    manifests = _manifests(order)
    judged = _judged(rows, given, manifests)
    rival = asked.get(contenders.stable or "")
    comparison = _compared(judged, _judged(rows, rival, manifests), rival) if isinstance(rival, Answers) else None
    found = witnesses(hop_1, given.fingerprint, judged, rows, train, dev, order.vectors)
    calibrated = calibration.calibration(judged)
    figures = {
        "accuracy": judged.accuracy,
        "macro_f1": judged.macro_f1,
        "calibration_error": calibrated.error,
        "coverage": judged.coverage,
        "precision": judged.precision,
    }
    failed = gate.failed(order.requirements, figures)
    unasked = contenders.stable_version is not None and comparison is None
    if order.no_worse and (unasked or (comparison and gate.is_worse(comparison.paired))):
        failed.append(gate.NO_WORSE)
    return Evaluation(
        rows=rows,
        head=order.head,
        version=given.version,
        fingerprint=given.fingerprint,
        manifest=manifests.get(given.version),
        judgement=judged,
        calibration=calibrated,
        selection=selective.curve(judged),
        out_of_scope=selective.out_of_scope(judged),
        mistakes=mistakes.worst(judged, rows.texts),
        witnesses=found,
        comparison=comparison,
        requirements=[*map(str, order.requirements), *([gate.NO_WORSE] if order.no_worse else [])],
        failed=failed,
        notes=[
            *_remarks(rows, judged, manifests.get(given.version)),
            *_about_stable(order, contenders, rival),
            *found.notes,
        ],
    )


def _manifests(order: Order) -> dict[int, Manifest]:
    """What each version says of itself, by number."""
    if order.repository is None:
        return {}
    found = versions.versions(order.repository, order.head)
    return {version.number: version.manifest for version in found if version.manifest}


def _judged(rows: Rows, given: Answers, manifests: dict[int, Manifest]) -> Judgement:
    manifest = manifests.get(given.version)
    thresholds = manifest.thresholds if manifest else None
    return judgement.judge(rows.label_sets, given, multi_label=rows.multi_label, thresholds=thresholds)


def _compared(judged: Judgement, rival: Judgement, answered: Answers) -> Comparison:
    return Comparison(answered.version, rival.accuracy, paired(judged.hits, rival.hits))


def _remarks(rows: Rows, judged: Judgement, manifest: Manifest | None) -> Iterator[str]:
    """What a person should know about these figures."""
    unknown = int((~judged.in_scope).sum())
    if unknown:
        labels = [label for label, known in zip(judged.labels, judged.known, strict=True) if not known]
        yield f"{unknown} rows have labels that the head does not know, and count as wrong: {named(labels)}"
    if manifest and rows.sha256 in (manifest.data_sha256, manifest.training.get("dev_sha256")):
        yield f"version {manifest.version} was trained on this very file: these figures say little about new texts"


def _about_stable(order: Order, contenders: Contenders, rival: Answers | TwoHopError | None) -> Iterator[str]:
    if isinstance(rival, TwoHopError):
        yield f"stable version {contenders.stable_version} could not be asked, so there is no comparison: {rival.message}"
    elif rival is None and contenders.stable_version is not None:
        known = f"version {contenders.stable_version} is stable in --repository, which has no version {contenders.version}"
        yield f"{known}: hop 2 serves another repository, so there is no comparison"
    elif rival is None and order.no_worse:
        yield f"version {contenders.version} is the stable one, or none is: there is nothing that it could be worse than"
