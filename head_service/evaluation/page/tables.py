"""The tables of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from head_service.evaluation.judgement import Confusion, Judgement, LabelFigures
from head_service.evaluation.mistakes import Mistake, Suspect
from head_service.evaluation.page.markup import Markup, element

OPEN_ROWS = 15
MOST_PAIRS = 100
LONGEST_TEXT = 600


def confusions(pairs: Sequence[Confusion], judged: Judgement) -> Markup:
    rows_of = {each.label: each.rows for each in judged.per_label()}
    rows = [[each.count, each.true, each.given, _share(each.count, rows_of[each.true])] for each in pairs[:MOST_PAIRS]]
    return _table("Pairs of labels that were mixed up", ["Rows", "True", "Given", "Of its rows"], rows, numbers={0, 3})


def labels(judged: Judgement) -> Markup:
    found = [each for each in judged.per_label() if each.f1 is not None]
    found.sort(key=lambda each: (each.f1 or 0.0, each.label))
    rows = [[each.label, each.rows, _percent(each.precision), _percent(each.recall), _bar(each)] for each in found]
    return _table("Figures of each label", ["Label", "Rows", "Precision", "Recall", "F1"], rows, numbers={1, 2, 3})


def mistakes(found: Sequence[Mistake]) -> Markup:
    rows = [[each.row, _text(each.text), _answer(each.label, each.label_score), _answer(each.given, each.given_score)]
            for each in found]  # fmt: skip
    return _table("The surest mistakes", ["Row", "Text", "Label", "Given"], rows, numbers={0}, class_="texts")


def suspects(found: Sequence[Suspect]) -> Markup:
    rows = [
        [each.mistake.row, _text(each.mistake.text), each.mistake.label, _answer(each.mistake.given, each.mistake.given_score),
         f"{each.with_given} of {each.neighbours} agree, {each.with_label} as labelled"]
        for each in found
    ]  # fmt: skip
    names = ["Row", "Text", "Label", "Head says", "Neighbours"]
    return _table("Labels that may be wrong", names, rows, numbers={0}, class_="texts")


def _table(
    caption: str, names: Sequence[str], rows: Sequence[Sequence[object]], numbers: Iterable[int] = (), class_: str = ""
) -> Markup:
    """The first rows; the rest unfolds. Each cell knows its column's name, which a narrow screen shows beside it."""

    def row(cells: Sequence[object]) -> Markup:
        return element("tr", *(element("td", cell, data_name=name, class_="number" if at in numbers else None)
                               for at, (name, cell) in enumerate(zip(names, cells, strict=True))))  # fmt: skip

    head = element("thead", element("tr", *(element("th", name, scope="col", class_="number" if at in numbers else None)
                                            for at, name in enumerate(names))))  # fmt: skip
    first, rest = rows[:OPEN_ROWS], rows[OPEN_ROWS:]

    def table(some: Sequence[Sequence[object]]) -> Markup:
        inner = element("table", element("caption", caption), head, element("tbody", *map(row, some)), class_=class_ or None)
        return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)

    more = element("details", element("summary", f"{len(rest)} more"), table(rest)) if rest else None
    return element("div", table(first), more)


def _text(value: str) -> Markup:
    shown = value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + " …"
    return element("span", shown, dir="auto", class_="text")


def _answer(label: str, score: float) -> Markup:
    return element("span", label or "none", " ", element("small", f"{score:.2f}"), class_="answer")


def _bar(figures: LabelFigures) -> Markup:
    share = figures.f1 or 0.0
    return element("span", _percent(share), element("i", style=f"width:{round(60 * share)}px"), class_="bar-cell")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _share(count: int, rows: int) -> str:
    return _percent(count / rows) if rows else "-"
