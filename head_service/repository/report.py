"""What `versions`, `promote` and `rollback` say: the contract's documents, or a table for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from head_service.repository.roles import Move
from head_service.repository.versions import Version


def versions_document(head: str, found: Sequence[Version]) -> dict[str, Any]:
    return {"head": head, "versions": [_row(version) for version in found]}


def moved_document(command: str, head: str, move: Move, found: Sequence[Version]) -> dict[str, Any]:
    moved = {"role": "stable", "from": move.before, "to": move.after}
    return {"command": command, "head": head, "moved": moved, "versions": [_row(version) for version in found]}


def versions_lines(found: Sequence[Version]) -> Iterator[str]:
    yield f"{'version':>7}  {'roles':15}  {'accuracy':>8}  {'encoder':28}  created"
    for version in found:
        manifest = version.manifest
        roles = ", ".join(version.roles) or "-"
        if manifest is None:
            yield f"{version.number:7}  {roles:15}  {'-':>8}  {'(no head.json)':28}  -"
            continue
        encoder = f"{manifest.encoder.name} {manifest.encoder.fingerprint}"
        accuracy = f"{manifest.metrics['accuracy']:.4f}" if "accuracy" in manifest.metrics else "-"
        yield f"{version.number:7}  {roles:15}  {accuracy:>8}  {encoder:28}  {manifest.created}"


def moved_lines(head: str, move: Move) -> Iterator[str]:
    if move.before == move.after:
        yield f"{head}: version {move.after} is stable already"
    else:
        before = f"version {move.before}" if move.before is not None else "none"
        yield f"{head}: version {move.after} is stable now ({before} was); a head server that follows models.config moves to it"


def _row(version: Version) -> dict[str, Any]:
    manifest = version.manifest
    return {
        "version": version.number,
        "roles": version.roles,
        "fingerprint": manifest.encoder.fingerprint if manifest else None,
        "accuracy": manifest.metrics.get("accuracy") if manifest else None,
        "created": manifest.created if manifest else None,
    }
