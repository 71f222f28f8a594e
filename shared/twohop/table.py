"""Answers for people: aligned tables on a terminal, a row as soon as it is known."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twohop.types import Classification, Classifications, Embeddings

LABEL_COLUMNS, TEXT_COLUMNS = 24, 60
VALUES_SHOWN = 4


class ClassificationTable:
    """One row per text: the text, then label and score of each head. Widths are those of the first rows."""

    def __init__(self) -> None:
        self._label_columns: dict[str, int] = {}
        self._text_columns = 0
        self._texts, self._cut = 0, 0
        self._ms: dict[str, float] = {"total": 0.0, "embed": 0.0}

    def rows(self, texts: Sequence[str], answers: Mapping[str, Classifications]) -> Iterator[str]:
        if not self._label_columns:
            self._measure(texts, answers)
            names = "  ".join(padded(head, columns + 7) for head, columns in self._label_columns.items())
            yield f"{padded('text', self._text_columns)}  {names}".rstrip()
        for index, text in enumerate(texts):
            cells = "  ".join(self._cell(head, answers[head][index]) for head in answers)
            yield f"{padded(text, self._text_columns)}  {cells}"
            for head in answers:
                if (scores := answers[head][index].scores) is not None:
                    ranked = sorted(scores.items(), key=lambda item: -item[1])
                    yield f"    {head}: " + "  ".join(f"{plain(label)} {score:.3f}" for label, score in ranked)
        self._count(len(texts), answers)

    def summary(self) -> str:
        heads = ", ".join(f"{head} {self._ms[head]:.1f} ms" for head in self._label_columns)
        cut = f"; {self._cut} longer than the encoder reads, and cut" if self._cut else ""
        texts = "1 text" if self._texts == 1 else f"{self._texts} texts"
        return f"{texts} in {self._ms['total']:.1f} ms: hop 1 {self._ms['embed']:.1f} ms, hop 2 {heads}{cut}"

    def _measure(self, texts: Sequence[str], answers: Mapping[str, Classifications]) -> None:
        for head, found in answers.items():
            longest = max(columns_of(shown_label(answer)) for answer in found)
            self._label_columns[head] = min(LABEL_COLUMNS, max(longest, len(head) - 7))
        taken = sum(columns + 9 for columns in self._label_columns.values())
        room = max(20, shutil.get_terminal_size((100, 24)).columns - taken - 2)
        self._text_columns = min(room, TEXT_COLUMNS, max(4, *(columns_of(plain(text)) for text in texts)))

    def _cell(self, head: str, answer: Classification) -> str:
        return f"{padded(shown_label(answer), self._label_columns[head])}  {answer.score:.3f}"

    def _count(self, texts: int, answers: Mapping[str, Classifications]) -> None:
        first = next(iter(answers.values()))
        self._texts += texts
        self._cut += sum(any(found[index].truncated for found in answers.values()) for index in range(len(first)))
        self._ms["total"] += max(found.timings_ms["total"] for found in answers.values())
        self._ms["embed"] += max(found.timings_ms["embed"] for found in answers.values())
        for head, found in answers.items():
            self._ms[head] = self._ms.get(head, 0.0) + found.timings_ms["head"]


def embedding_rows(texts: Sequence[str], found: Embeddings) -> Iterator[str]:
    """One row per text: its tokens, the vectors' shape and the first values."""
    for index, text in enumerate(texts):
        vectors = found.of(index)
        values = " ".join(f"{value:+.4f}" for value in vectors[0][:VALUES_SHOWN])
        cut = " (cut)" if found.truncated[index] else ""
        yield f"{padded(text, 40)}  {found.tokens[index]:4d} tokens{cut}  {list(vectors.shape)}  {values} …"


def status_rows(found: Mapping[str, Any]) -> Iterator[str]:
    for hop, title in (("embedding", "hop 1, embedding service"), ("heads", "hop 2, head service")):
        if (part := found[hop]) is None:
            continue
        state = "ready" if part["ready"] else "NOT READY"
        yield f"{title}  {part['address']}  {state}"
        if "error" in part:
            yield f"    {part['error']['message']}"
        for encoder in part.get("encoders", ()):
            ready = "" if encoder["ready"] else "  not ready"
            yield f"    {encoder['name']:<16} {encoder['fingerprint']}  {encoder['numerics']}  {encoder['dimension']}{ready}"
        for head in part.get("heads", ()):
            fits = {True: "its encoder is served", False: "NO ENCODER OF HOP 1 FITS", None: ""}[head["matches"]]
            version = "" if head["version"] is None else f"version {head['version']}"
            yield f"    {head['name']:<16} {version}  {head['state']}  {head['fingerprint'] or ''}  {fits}".rstrip()


def shown_label(answer: Classification) -> str:
    return "(abstained)" if answer.label is None else plain(answer.label)


def plain(text: str) -> str:
    """Without what would move the cursor or change the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def columns_of(text: str) -> int:
    return sum(map(_columns, text))


def padded(text: str, columns: int) -> str:
    """Exactly so many columns of a terminal: filled with blanks, or cut with an ellipsis."""
    text = plain(text)
    if columns_of(text) > columns:
        while columns_of(text) > columns - 1:
            over = columns_of(text) - columns + 1
            text = text[: -max(1, over // 2)]
        text += "…"
    return text + " " * (columns - columns_of(text))


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
