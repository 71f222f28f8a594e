"""What `versions`, `promote`, `rollback` and `prune` say: the contract's documents, or a table for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from head_service.repository.prune import Pruned
from head_service.repository.roles import Move
from head_service.repository.versions import Version

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))
METRICS = ("accuracy", "macro_f1", "calibration_error")


def versions_document(head: str, found: Sequence[Version], before: int | None) -> dict[str, Any]:
    return {"head": head, "versions": [_row(version) for version in found], "rollback_to": before}


def moved_document(command: str, head: str, move: Move, found: Sequence[Version], before: int | None) -> dict[str, Any]:
    moved = {"role": move.role, "from": move.before, "to": move.after}
    return {"command": command, "moved": moved, **versions_document(head, found, before)}


def pruned_document(head: str, pruned: Pruned) -> dict[str, Any]:
    kept = [{"version": number, "because": why} for number, why in pruned.kept.items()]
    return {
        "command": "prune", "head": head, "removed": pruned.removed, "kept": kept, "freed_bytes": pruned.freed_bytes,
        "dry_run": pruned.dry_run,
    }  # fmt: skip


def versions_lines(found: Sequence[Version], before: int | None) -> Iterator[str]:
    """Metrics are of the rows that the version was validated on."""
    header = ["version", "roles", "kind", "accuracy", "macro-F1", "cal. error", "encoder", "size", "age"]
    rows = [header, *(_cells(version) for version in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    right = {0, 3, 4, 5, 7}
    for row in rows:
        padded = [cell.rjust(width) if column in right else cell.ljust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        yield "  ".join(padded).rstrip()
    if before is not None:
        yield f"rollback goes to version {before}"


def moved_lines(head: str, move: Move) -> Iterator[str]:
    was = f"version {move.before} was" if move.before is not None else "none was"
    if move.before == move.after:
        yield f"{head}: version {move.after} is {move.role} already"
    elif move.after is None:
        yield f"{head}: no version is {move.role} now ({was}); a head server that follows models.config drops {head}-{move.role}"
    else:
        served = head if move.role == "stable" else f"{head}-{move.role}"
        yield (f"{head}: version {move.after} is {move.role} now ({was}); a head server that follows models.config moves "
               f"{served} to it")


def pruned_lines(head: str, pruned: Pruned) -> Iterator[str]:
    for number, why in pruned.kept.items():
        yield f"kept     version {number}: {', '.join(why)}"
    would = "would go" if pruned.dry_run else "removed "
    for number in pruned.removed:
        yield f"{would} version {number}"
    if pruned.removed:
        yield f"{head}: {_size(pruned.freed_bytes)} {'would be ' if pruned.dry_run else ''}freed"
    else:
        yield f"{head}: nothing to remove"


def _row(version: Version) -> dict[str, Any]:
    manifest = version.manifest
    created = _created(version)
    return {
        "version": version.number,
        "roles": version.roles,
        "fingerprint": manifest.encoder.fingerprint if manifest else None,
        "accuracy": manifest.metrics.get("accuracy") if manifest else None,
        "created": manifest.created if manifest else None,
        "kind": manifest.kind if manifest else None,
        "encoder": manifest.encoder.name if manifest else None,
        "metrics": dict(manifest.metrics) if manifest else None,
        "rows": dict(manifest.rows) if manifest else None,
        "age_seconds": round((datetime.now(UTC) - created).total_seconds()) if created else None,
        "bytes": version.size_bytes(),
    }


def _cells(version: Version) -> list[str]:
    manifest = version.manifest
    metrics: Mapping[str, float] = manifest.metrics if manifest else {}
    return [
        str(version.number),
        ", ".join(version.roles) or "-",
        manifest.kind if manifest else "-",
        *(f"{metrics[name]:.4f}" if name in metrics else "-" for name in METRICS),
        f"{manifest.encoder.name} {manifest.encoder.fingerprint}" if manifest else "(no head.json)",
        _size(version.size_bytes()),
        _age(_created(version)),
    ]


def _created(version: Version) -> datetime | None:
    """None where there is no manifest, or one of another hand that writes no time there."""
    try:
        created = datetime.fromisoformat(version.manifest.created) if version.manifest else None
    except ValueError:
        return None
    return created.replace(tzinfo=created.tzinfo or UTC) if created else None


def _age(created: datetime | None) -> str:
    if created is None:
        return "-"
    seconds = (datetime.now(UTC) - created).total_seconds()
    for length, unit in UNITS:
        if (count := int(seconds // length)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "just now"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
