"""What `drift` says: a document for programs, or lines for a person."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from head_service.drift.compare import Comparison

WIDTH = 110
LEVELS = {"none": "as before", "some": "changed", "much": "changed much"}


def document(found: Comparison) -> dict[str, Any]:
    signals = [
        {
            "name": each.name, "level": each.level, "measure": each.measure, "size": round(each.size, 4), "some": each.some,
            "much": each.much, "p_value": each.p_value, "words": each.words,
        }
        for each in found.signals
    ]  # fmt: skip
    return {
        "command": "drift",
        "head": found.head,
        "version": found.version.number,
        "fingerprint": found.version.manifest.encoder.fingerprint if found.version.manifest else None,
        "rows": {"live": found.rows, "compared": found.texts, "skipped": found.skipped,
                 "train": found.kept.rows, "validation": found.kept.validation_rows},
        "drift": found.verdict.drift,
        "retrain": found.verdict.retrain,
        "why": found.verdict.words,
        "signals": signals,
        "furthest": [asdict(each) for each in found.furthest],
    }  # fmt: skip


def lines(found: Comparison) -> Iterator[str]:
    skipped = f" ({found.skipped} rows without a text)" if found.skipped else ""
    some = f"{found.texts} of {found.rows}" if found.texts < found.rows else f"{found.texts}"
    yield (f"{found.head}, version {found.version.number}: {some} live texts{skipped} beside {found.kept.rows} rows that it was "
           f"trained on and {found.kept.validation_rows} that it was not")
    yield ""
    for each in found.signals:
        size = f"{each.measure} {each.size:.3f}"
        yield f"{each.name:10}  {LEVELS[each.level]:12}  {size:10}  changed from {each.some:g}, much from {each.much:g}"
        yield f"{'':10}  {each.words}"
    yield ""
    yield from textwrap.wrap(found.verdict.words, WIDTH)
    if found.verdict.drift and found.furthest:
        yield ""
        yield "furthest from what it was trained on:"
        for text in found.furthest:
            yield f"  {text.label} ({text.score:.2f})  {textwrap.shorten(text.text, WIDTH - 20, placeholder=' …')}"
