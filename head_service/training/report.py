"""What `train` says in the end: the contract's document, or a few lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from head_service.training.auto import Choice
from head_service.training.heads.trained import Trained
from head_service.training.train import Order, Outcome


def document(outcome: Outcome) -> dict[str, Any]:
    manifest = outcome.manifest
    return {
        "command": "train",
        "head": manifest.head,
        "version": manifest.version,
        "path": str(outcome.published.path),
        "kind": manifest.kind,
        "encoder": asdict(manifest.encoder),
        "labels": manifest.labels,
        "rows": dict(manifest.rows),
        "embedded": outcome.embedded,
        "reused": outcome.reused,
        "validation": dict(manifest.metrics),
        "data_sha256": manifest.data_sha256,
        "promoted": outcome.published.promoted,
        "seconds": round(outcome.seconds, 3),
        "calibration": manifest.calibration,
        "thresholds": manifest.thresholds,
        "training": dict(manifest.training),
        "auto": outcome.choice and outcome.choice.document(),
    }


def lines(outcome: Outcome, order: Order, encoder_address: str) -> Iterator[str]:
    manifest, rows = outcome.manifest, outcome.manifest.rows
    skipped = f", {rows['skipped']} blank lines skipped" if rows["skipped"] else ""
    yield f"rows        {rows['train']} for training, {rows['validation']} for validation{skipped}"
    yield f"labels      {len(manifest.labels)}: {', '.join(manifest.labels[:8])}{', …' if len(manifest.labels) > 8 else ''}"
    encoder = manifest.encoder
    yield f"encoder     {encoder.name} ({encoder.fingerprint}, {encoder.numerics}, {encoder.dimension} dimensions)"
    yield f"vectors     {outcome.embedded} embedded, {outcome.reused} reused from {order.vectors}"
    yield ""
    if outcome.choice:
        yield from _candidates(outcome.choice)
    yield from _trials(outcome.attempt.trained)
    yield from _validation(outcome)
    yield f"version     {manifest.version} in {outcome.published.path}, {outcome.seconds:.1f} s"
    yield ""
    repository = order.repository
    if outcome.published.promoted:
        yield f"Version {manifest.version} is stable. Serve it, then classify:"
    else:
        yield "Another version stays stable. Make this one stable, serve it, then classify:"
        yield f"  head-service promote --repository {repository} --head {manifest.head}"
    yield f"  head-service serve --repository={repository}"
    yield f'  twohop classify --embedding {encoder_address} --heads 127.0.0.1:8500 --head {manifest.head} "some text"'


def _candidates(choice: Choice) -> Iterator[str]:
    yield "  candidate                   accuracy   cross-entropy   seconds"
    for tried in choice.tried:
        if tried.attempt:
            figures = tried.attempt.validated.metrics
            place = {choice.best: "<- best", choice.runner_up: "<- runner-up"}.get(tried.attempt, "")
            told = f"{figures['accuracy']:8.4f}   {figures['cross_entropy']:13.4f}   {tried.seconds:7.1f}   {place}"
        else:
            told = f"left out: {tried.left_out}"
        yield f"  {tried.candidate.name:25}   {told}".rstrip()
    yield ""
    yield f"chosen      {choice.why}"
    yield ""


def _trials(trained: Trained) -> Iterator[str]:
    yield "  tried                 accuracy   cross-entropy"
    for trial in trained.trials:
        chosen = "<- chosen" if trial.settings == trained.settings else ""
        name = ", ".join(f"{key} {value:g}" for key, value in trial.settings.items())
        yield f"  {name:20}   {trial.accuracy:8.4f}   {trial.cross_entropy:13.4f}   {chosen}".rstrip()
    yield ""


def _validation(outcome: Outcome) -> Iterator[str]:
    figures, judged = outcome.manifest.metrics, outcome.attempt.validated
    yield (
        f"validation  accuracy {figures['accuracy']:.4f}, macro F1 {figures['macro_f1']:.4f}, "
        f"calibration error {figures['calibration_error']:.4f}; then trained on all rows"
    )
    calibration = judged.calibration
    kept = f"{calibration.temperature:.3f}" if calibration.temperature != 1 else "left out"
    yield (
        f"temperature {kept}: the best ({calibration.fitted:.3f}) saves {calibration.gain:.4f} of cross-entropy, "
        f"where {calibration.gain_needed:.4f} show that one helps"
    )
    if judged.thresholds:
        yield (
            f"abstaining  for a precision of {judged.thresholds.wanted:g}: answers {judged.thresholds.coverage:.1%} of the "
            f"validation rows, and {judged.thresholds.precision:.1%} of these rightly"
        )
