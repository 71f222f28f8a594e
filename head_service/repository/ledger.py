"""`ledger.json`: what models.config has no words for: the highest number ever given to a version (a number is never
given twice, TF-Serving does not read a version again), the versions that were stable before, the serve root."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from head_service.repository.layout import LEDGER
from twohop.errors import Failed
from twohop_service import durable


@dataclass
class Page:
    """One head's page. `stable_before`: oldest first; the present stable version stands in models.config alone."""

    newest_ever: int = 0
    stable_before: list[int] = field(default_factory=list)


@dataclass
class Ledger:
    """`serve_root`: the repository's path as TF-Serving sees it, where that differs."""

    serve_root: str | None = None
    heads: dict[str, Page] = field(default_factory=dict)

    def page(self, head: str) -> Page:
        return self.heads.setdefault(head, Page())


def read(repository: Path) -> Ledger:
    """Raises Failed where the file is there and not readable."""
    path = repository / LEDGER
    try:
        with durable.explained("read", path):
            fields = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return Ledger(fields.get("serve_root"), {head: Page(**page) for head, page in fields.get("heads", {}).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise Failed(f"{path} is damaged ({error}): repair it, or remove it to forget what was stable before") from error


def write(repository: Path, ledger: Ledger) -> None:
    """Raises OSError."""
    durable.replace(repository / LEDGER, json.dumps(asdict(ledger), indent=1) + "\n")
