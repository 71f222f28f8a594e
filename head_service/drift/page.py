"""The comparison as one HTML page: the verdict, then for each signal what was before beside what is now."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from head_service.drift.compare import Comparison
from head_service.drift.report import LEVELS
from head_service.drift.signals import Signal
from head_service.evaluation.page.axes import Axes, Scale, shares
from head_service.evaluation.page.document import page
from head_service.evaluation.page.markup import Markup, element
from head_service.training.gaussian import Floats
from head_service.training.profile import count_labels

MOST_LABELS = 20
ROW_HEIGHT, NAME_WIDTH, WIDTH = 34, 190, 480
CLASSES = {"none": "met", "some": "failed", "much": "failed"}


def html(found: Comparison) -> str:
    by_name = {signal.name: signal for signal in found.signals}
    distances = found.kept.vectors.distances(found.live.vectors)
    return page(
        f"{found.head} version {found.version.number}: drift",
        _header(found),
        element("div", *(_card(signal) for signal in found.signals), class_="cards"),
        _section("Labels given", by_name["labels"], _labels(found)),
        element(
            "div",
            _section("How sure the head is", by_name["confidence"],
                     _curves(found.kept.confidences, found.live.scores.max(1), "score of the label")),
            _section("Where their vectors lie", by_name["distance"], element("p", _sentence(by_name["vectors"])),
                     _curves(found.kept.distances, distances, "distance from the middle of training")),
            class_="pair",
        ),
        _furthest(found),
    )  # fmt: skip


def _header(found: Comparison) -> Markup:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    told = (f"{found.texts:,} live texts beside {found.kept.rows:,} rows that it was trained on and "
            f"{found.kept.validation_rows:,} that it was not.")
    name = element("h1", f"{found.head} ", element("span", f"version {found.version.number}, drift"))
    verdict = element("div", element("strong", found.verdict.words), class_=f"gate {'failed' if found.verdict.drift else 'met'}")
    return element("header", element("p", when, class_="when"), name, element("p", told), verdict)


def _card(signal: Signal) -> Markup:
    bounds = f"{signal.measure} {signal.size:.3f}; changed from {signal.some:g}, much from {signal.much:g}"
    level = element("strong", LEVELS[signal.level], class_=CLASSES[signal.level])
    return element("div", element("span", signal.name.capitalize()), level, element("small", bounds), class_="card")


def _section(title: str, signal: Signal, *content: Markup) -> Markup:
    key = element("small", element("span", "■ ", style="color:var(--blue)"), "live ",
                  element("span", "■ ", style="color:var(--quiet)"), "training")
    return element("section", element("h2", title), element("p", _sentence(signal)), *content, key)


def _sentence(signal: Signal) -> str:
    return f"{signal.words[0].upper()}{signal.words[1:]}."


def _labels(found: Comparison) -> Markup:
    """A dot for the share before and one for the share now, of the labels that moved most."""
    before, now = (counts / max(1, counts.sum()) for counts in (
        found.kept.label_counts, count_labels(found.live.scores, found.kept.multi_label)))
    shown = np.argsort(-np.abs(now - before), kind="stable")[:MOST_LABELS].tolist()
    scale = shares("", 0, max(0.02, *before[shown], *now[shown]))
    bottom, width = ROW_HEIGHT * len(shown), WIDTH - NAME_WIDTH - 20

    def across(value: float) -> float:
        return round(NAME_WIDTH + scale.share(value) * width, 1)

    marks = [element("line", x1=across(at), x2=across(at), y1=0, y2=bottom, class_="grid") for at, _ in scale.ticks]
    marks += [element("text", word, x=across(at), y=bottom + 16, text_anchor="middle") for at, word in scale.ticks]
    for place, label in enumerate(shown):
        y = ROW_HEIGHT * place + ROW_HEIGHT / 2
        told = f"{found.kept.labels[label]}: {now[label]:.1%}, was {before[label]:.1%}"
        marks += [
            element("text", element("title", told), _shortened(found.kept.labels[label]), x=0, y=y + 4),
            element("line", x1=across(before[label]), x2=across(now[label]), y1=y, y2=y, class_="whisker"),
            element("circle", element("title", told), cx=across(before[label]), cy=y, r=5, class_="other"),
            element("circle", element("title", told), cx=across(now[label]), cy=y, r=5, class_="mark"),
        ]
    return element("svg", element("title", "Shares of labels, before and now"), *marks,
                   viewBox=f"0 0 {WIDTH} {bottom + 22}", role="img", class_="chart strip")  # fmt: skip


def _curves(before: Floats, now: Floats, name: str) -> Markup:
    """How large a share lies below each value, before and now."""
    low, high = float(min(before.min(), now.min())), float(max(before.max(), now.max()))
    high = high if high > low else low + 1
    ticks = [(at, f"{at:.3g}") for at in np.linspace(low, high, 5).tolist()]
    axes = Axes(Scale(name, low, high, ticks), shares("of texts below", 0, 1))
    return axes.chart(f"Share of texts below each {name}, before and now",
                      axes.line(_cumulated(before, high), "ideal"), axes.line(_cumulated(now, high), "curve"))  # fmt: skip


def _cumulated(values: Floats, high: float) -> list[tuple[float, float]]:
    at: npt.NDArray[np.float64] = np.linspace(0, 1, 101)
    return [*zip(np.quantile(values, at).tolist(), at.tolist(), strict=True), (high, 1.0)]


def _furthest(found: Comparison) -> Markup:
    rows = [
        element("tr", element("td", f"{each.distance:.1f}", data_name="Distance", class_="number"),
                element("td", element("span", each.text, dir="auto", class_="text"), data_name="Text"),
                element("td", f"{each.label} {each.score:.2f}", data_name="Given"))
        for each in found.furthest
    ]  # fmt: skip
    names = [element("th", each, scope="col", class_="number" if each == "Distance" else None)
             for each in ("Distance", "Text", "Given")]
    table = element("table", element("thead", element("tr", *names)), element("tbody", *rows), class_="texts")
    return element("section", element("h2", "Furthest from what it was trained on"), element("div", table, class_="scroll"))


def _shortened(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}…"
