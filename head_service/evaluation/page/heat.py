"""The confusion matrix as a picture: with numbers where labels are few; where they are many, an overview and, with
numbers, those that are mixed up most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from head_service.evaluation.page.markup import Markup, element

MOST_NUMBERED = 16
CELL, LETTERS = 36, 22
LETTER_WIDTH, TURNED_HEIGHT = 7, 6  # at most, as names stand: along, and turned
SMALLEST = 0.72  # of its size: a narrower screen scrolls
OVERVIEW = 600
DARK = 0.55

Counts = npt.NDArray[np.int64]


def busiest(counts: Counts) -> list[int]:
    """The places of the labels with most mistakes, true or given, in the order of the matrix."""
    wrong = counts - np.diag(np.diag(counts))
    involved = wrong.sum(0) + wrong.sum(1)
    chosen = np.argsort(-involved, kind="stable")[:MOST_NUMBERED]
    return sorted(int(place) for place in chosen if involved[place])


def numbered(labels: Sequence[str], counts: Counts, places: Sequence[int]) -> Markup:
    """Those labels against each other. Colour says what share of the true label's rows a cell has; the diagonal is right."""
    totals = np.maximum(counts.sum(1), 1)
    longest = max(len(_short(labels[place])) for place in places)
    left, top = 16 + LETTER_WIDTH * longest, 16 + TURNED_HEIGHT * longest
    cells = [_cell(labels, counts, totals, (row, true), (column, given), (left, top))
             for row, true in enumerate(places) for column, given in enumerate(places) if counts[true, given]]  # fmt: skip
    names = []
    for at, place in enumerate(places):
        middle, full, short = at * CELL + CELL / 2, element("title", labels[place]), _short(labels[place])
        names.append(element("text", full, short, x=left - 8, y=top + middle + 4, text_anchor="end"))
        turned = f"translate({left + middle + 4} {top - 8}) rotate(-55)"
        names.append(element("text", full, short, transform=turned))
    side = CELL * len(places)
    frame = element("rect", x=left, y=top, width=side, height=side, class_="frame")
    right = left + side + round(0.6 * LETTER_WIDTH * longest)
    size = f"width:min(100%,{right}px);min-width:{round(SMALLEST * right)}px"
    return element(
        "svg", element("title", f"Confusion of {len(places)} labels; rows are true, columns given"), frame, *names, *cells,
        viewBox=f"0 0 {right} {top + side + 4}", role="img", class_="heat", style=size,
    )  # fmt: skip


def overview(labels: Sequence[str], counts: Counts) -> Markup:
    """All labels, no names: a mark for each pair that was mixed up, the stronger the more often, on a faint diagonal."""
    size = OVERVIEW / len(labels)
    wrong = counts - np.diag(np.diag(counts))
    most = max(1, int(wrong.max()))
    marks = [
        element(
            "rect", element("title", f"{labels[true]} → {labels[given]}: {wrong[true, given]}"),
            x=round(given * size - 1, 1), y=round(true * size - 1, 1), width=round(size + 2, 1), height=round(size + 2, 1),
            class_="wrong", fill_opacity=round(0.3 + 0.7 * float(np.sqrt(wrong[true, given] / most)), 2),
        )
        for true, given in zip(*(each.tolist() for each in np.nonzero(wrong)), strict=True)
    ]  # fmt: skip
    return element(
        "svg", element("title", f"All {len(labels)} labels: true ones from top to bottom, given ones from left to right"),
        element("rect", x=0, y=0, width=OVERVIEW, height=OVERVIEW, class_="frame"),
        element("line", x1=0, y1=0, x2=OVERVIEW, y2=OVERVIEW, class_="ideal"), *marks,
        viewBox=f"-2 -2 {OVERVIEW + 4} {OVERVIEW + 4}", role="img", class_="overview",
    )  # fmt: skip


def _cell(
    labels: Sequence[str], counts: Counts, totals: Counts, row_of: tuple[int, int], column_of: tuple[int, int],
    corner: tuple[int, int],
) -> Markup:  # fmt: skip
    """`row_of` and `column_of`: where it stands, and which label that is."""
    (row, true), (column, given) = row_of, column_of
    share = float(counts[true, given] / totals[true])
    strength = 0.12 + 0.88 * share if true == given else 0.2 + 0.8 * min(1.0, 2 * share)
    x, y = corner[0] + column * CELL, corner[1] + row * CELL
    told = f"{labels[true]} → {labels[given]}: {counts[true, given]} ({100 * share:.1f} % of its rows)"
    return element(
        "g", element("title", told),
        element("rect", x=x + 1, y=y + 1, width=CELL - 2, height=CELL - 2, rx=3, class_="right" if true == given else "wrong",
                fill_opacity=round(strength, 2)),
        element("text", counts[true, given], x=x + CELL / 2, y=y + CELL / 2 + 4, text_anchor="middle",
                class_="on-dark" if strength > DARK else None),
    )  # fmt: skip


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"
