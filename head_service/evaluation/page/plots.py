"""The plots of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from head_service.evaluation import words
from head_service.evaluation.calibration import Calibration
from head_service.evaluation.intervals import wilson
from head_service.evaluation.learning_curve import Curve
from head_service.evaluation.page.axes import Axes, Scale, shares
from head_service.evaluation.page.markup import Markup, element, together
from head_service.evaluation.selective import Point

QUARTERS = [(at / 4, f"{25 * at} %") for at in range(5)]
ROW_HEIGHT, NAME_WIDTH, STRIP_WIDTH = 30, 190, 480
WIDEST = 0.25  # below the head


@dataclass(frozen=True)
class Rival:
    """One line of the comparison: a name, how many rows it has right."""

    name: str
    right: int
    is_head: bool = False


def reliability(found: Calibration) -> Markup:
    """Each bin's accuracy over its mean score, with its interval; the diagonal is what exact scores would give. The bars
    below say how many rows a bin has."""
    axes = Axes(Scale("score", 0, 1, QUARTERS), Scale("right", 0, 1, QUARTERS))
    most = max((each.rows for each in found.bins), default=1)
    bars, marks = [], []
    for each in found.bins:
        (x0, y0), (x1, y1) = axes.at(each.low, 0), axes.at(each.high, 0.22 * each.rows / most)
        bars.append(element("rect", element("title", f"{each.rows} rows"), x=x0 + 1, y=y1, width=round(x1 - x0 - 2, 1),
                            height=round(y0 - y1, 1), class_="bar"))  # fmt: skip
        low, high = wilson(each.right, each.rows)
        told = f"score {each.mean_score:.2f}: {words.percent(each.accuracy)} of {each.rows} rows right"
        marks += [axes.whisker(each.mean_score, low, high), axes.dot(each.mean_score, each.accuracy, "mark", told)]
    title = f"Reliability: accuracy by score in {len(found.bins)} bins; calibration error {found.error:.3f}"
    return axes.chart(title, *bars, axes.line([(0, 0), (1, 1)], "ideal"), *marks)


def selective(curve: Sequence[Point], now: tuple[float, float] | None) -> Markup:
    """Precision over coverage; `now` is where the head stands that abstains."""
    lowest = min([point.precision for point in curve if point.coverage > 0.02] or [0.0])
    axes = Axes(Scale("rows answered", 0, 1, QUARTERS), shares("of these right", min(lowest, 0.99), 1))
    shown = [(point.coverage, max(point.precision, axes.y.low)) for point in curve]
    stands = []
    if now and now[1] >= axes.y.low:
        stands.append(axes.dot(*now, "mark", f"the head itself: {words.percent(now[0])} answered"))
    return axes.chart("Share of rows answered against the share of these that is right", axes.line(shown, "curve"), *stands)


def learning(curve: Curve) -> Markup:
    points = [(point.rows, point.accuracy) for point in curve.points]
    low = min(curve.likely[0], *(accuracy for _, accuracy in points))
    high = max(curve.likely[1], *(accuracy for _, accuracy in points))
    ticks = [(rows, f"{rows:,}") for rows, _ in points[::-2][::-1]] + [(curve.doubled, f"{curve.doubled:,}")]
    ticks = ticks if len(ticks) < 5 else [ticks[0], *ticks[-3:]]
    rows_scale = Scale("training rows", points[0][0] / 1.2, curve.doubled * 1.25, ticks, logarithmic=True)
    axes = Axes(rows_scale, shares("right", low, min(1.0, high)))
    return axes.chart(
        "Accuracy of a logistic regression by number of training rows, and what twice as many may bring",
        axes.line(points, "curve"),
        axes.line([points[-1], (curve.doubled, curve.expected)], "guess"),
        axes.whisker(curve.doubled, *curve.likely),
        *(axes.dot(rows, accuracy, "mark", f"{rows:,} rows: {words.percent(accuracy)}") for rows, accuracy in points),
        axes.dot(curve.doubled, curve.expected, "hollow", f"{curve.doubled:,} rows: about {words.percent(curve.expected)}"),
    )


def strip(rivals: Sequence[Rival], rows: int) -> Markup:
    """Accuracies below each other, each with its interval. One far below the head is an arrow at the edge, so that the
    others can be told apart."""
    bounds = [wilson(rival.right, rows) for rival in rivals]
    floor = max(0.0, rivals[0].right / rows - WIDEST)
    low = max(floor, min(low for low, _ in bounds) - 0.01)
    scale = shares("", low, min(1.0, max(high for _, high in bounds) + 0.01))
    bottom, width = ROW_HEIGHT * len(rivals), STRIP_WIDTH - NAME_WIDTH - 70

    def across(value: float) -> float:
        return round(NAME_WIDTH + scale.share(value) * width, 1)

    grid = [
        together(
            element("line", x1=across(value), x2=across(value), y1=0, y2=bottom, class_="grid"),
            element("text", word, x=across(value), y=bottom + 16, text_anchor="middle"),
        )
        for value, word in scale.ticks[:: 1 + len(scale.ticks) // 6]
    ]
    lines = []
    for place, (rival, (low, high)) in enumerate(zip(rivals, bounds, strict=True)):
        y, share = ROW_HEIGHT * place + ROW_HEIGHT / 2, rival.right / rows
        dot, strong = ("mark", "strong") if rival.is_head else ("other", None)
        lines.append(element("text", rival.name, x=0, y=y + 4, class_=strong))
        if share < scale.low:
            lines.append(element("text", element("title", "far below"), "◂", x=NAME_WIDTH, y=y + 5, class_=dot))
        else:
            lines.append(element("line", x1=across(max(low, scale.low)), x2=across(high), y1=y, y2=y, class_="whisker"))
            lines.append(element("circle", cx=across(share), cy=y, r=5, class_=dot))
        lines.append(element("text", words.percent(share), x=STRIP_WIDTH, y=y + 4, text_anchor="end", class_=strong))
    told = "; ".join(f"{rival.name} {words.percent(rival.right / rows)}" for rival in rivals)
    return element("svg", element("title", f"Accuracy: {told}"), *grid, *lines,
                   viewBox=f"0 0 {STRIP_WIDTH} {bottom + 22}", role="img", class_="chart strip")  # fmt: skip
