"""The demo's table: text, label and score per head, milliseconds per hop, held-out accuracy."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from twohop import Classifications


@dataclass(frozen=True)
class Answer:
    head: str
    label: str              # empty: abstained
    score: float
    head_ms: float


@dataclass(frozen=True)
class Row:
    """One text's answers; hop 1 ran once for all of them."""

    text: str
    embed_ms: float
    answers: tuple[Answer, ...]

    @classmethod
    def of(cls, text: str, found: Mapping[str, Classifications]) -> Row:
        answers = tuple(
            Answer(head, each[0].label or "", each[0].score, each.timings_ms["head"]) for head, each in found.items()
        )
        return cls(text, max(each.timings_ms["embed"] for each in found.values()), answers)

    @property
    def labels(self) -> list[str]:
        return [answer.label for answer in self.answers]


@dataclass(frozen=True)
class HeldOut:
    head: str
    rows: int
    accuracy: float
    majority: float         # accuracy of always saying the most frequent label


def show(console: Console, rows: Sequence[Row], held_out: Sequence[HeldOut], *, gateway: str) -> None:
    heads = [answer.head for answer in rows[0].answers]
    table = Table(title="\ntexts through both hops", title_justify="left", title_style="bold", header_style="bold", expand=False)
    table.add_column("text", max_width=54, overflow="fold")
    for head in heads:
        table.add_column(head, no_wrap=True)
    table.add_column("hop 1\nms", justify="right")
    table.add_column("hop 2\nms", justify="right")
    for row in rows:
        labels = [Text.assemble(answer.label or "(abstains)", " ", (f"{answer.score:.2f}", "dim")) for answer in row.answers]
        table.add_row(Text(row.text), *labels, f"{row.embed_ms:.1f}", f"{slowest_head_ms(row):.1f}")
    console.print(table)
    embed = statistics.median(row.embed_ms for row in rows)
    head_ms = statistics.median(slowest_head_ms(row) for row in rows)
    console.print(f"median per text: hop 1 {embed:.1f} ms, hop 2 {head_ms:.1f} ms; {gateway}", highlight=False)
    scores = Table(title="\nheld-out texts", title_justify="left", title_style="bold", header_style="bold")
    scores.add_column("head")
    for column in ("texts", "accuracy", "always the commonest label"):
        scores.add_column(column, justify="right")
    for each in held_out:
        scores.add_row(each.head, str(each.rows), f"{each.accuracy:.1%}", f"{each.majority:.1%}")
    console.print(scores)


def slowest_head_ms(row: Row) -> float:
    """Heads are asked side by side: the slowest one is what the caller waits for."""
    return max(answer.head_ms for answer in row.answers)
