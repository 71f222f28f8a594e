"""`assets.extra/head.json`: what a version says about itself to people and to the other commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from head_service.repository.layout import MANIFEST


@dataclass(frozen=True)
class EncoderIdentity:
    """The encoder whose vectors the head understands; `dimension` is D."""

    name: str
    fingerprint: str
    numerics: str
    dimension: int


@dataclass(frozen=True)
class Manifest:
    """`labels` sorted by code point; `rows` counts of train, validation, skipped; `metrics` on the validation rows;
    `created` UTC, ISO 8601; `training` whatever the kind of head chose (penalty, seed)."""

    head: str
    version: int
    kind: str
    labels: list[str]
    encoder: EncoderIdentity
    data_sha256: str
    rows: Mapping[str, int]
    metrics: Mapping[str, float]
    created: str
    calibration: Mapping[str, Any] | None = None
    thresholds: Mapping[str, float] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def numbered(self, version: int) -> Manifest:
        return replace(self, version=version)

    def as_json(self) -> str:
        return json.dumps({"format": 1, **asdict(self)}, ensure_ascii=False, indent=1) + "\n"


def read(version_folder: Path) -> Manifest | None:
    """The manifest of one version; None where a foreign SavedModel has none that we understand."""
    try:
        fields = json.loads((version_folder / MANIFEST).read_text(encoding="utf-8"))
        known = {name: fields[name] for name in Manifest.__dataclass_fields__ if name in fields}
        return Manifest(**{**known, "encoder": EncoderIdentity(**fields["encoder"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
