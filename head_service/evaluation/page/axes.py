"""A small chart: two scales in a box, with ticks, and marks placed by value. SVG whose colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from head_service.evaluation.page.markup import Markup, element, together

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 46


@dataclass(frozen=True)
class Scale:
    """Values `low` to `high` along one side of the box; `ticks` are values with the words beside them."""

    name: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def shares(name: str, low: float, high: float) -> Scale:
    """A scale of percentages from about `low` to about `high`, on round numbers."""
    step = next((step for step in (0.005, 0.01, 0.02, 0.05, 0.1) if (high - low) / step <= 6), 0.2)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    digits = 1 if step < 0.01 else 0
    ticks = [(at * step, f"{100 * at * step:.{digits}f} %") for at in range(first, last + 1)]
    return Scale(name, first * step, last * step, ticks)


@dataclass(frozen=True)
class Axes:
    x: Scale
    y: Scale

    def chart(self, title: str, *marks: Markup) -> Markup:
        """`title` is what the picture shows, for those who do not see it."""
        return element(
            "svg", element("title", title), self._frame(), *marks, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart"
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.x.share(x), self.y.share(y)
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1)

    def line(self, points: Iterable[tuple[float, float]], class_: str) -> Markup:
        placed = " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in points))
        return element("polyline", points=placed, class_=class_)

    def dot(self, x: float, y: float, class_: str, title: str, radius: float = 4) -> Markup:
        cx, cy = self.at(x, y)
        return element("circle", element("title", title), cx=cx, cy=cy, r=radius, class_=class_)

    def whisker(self, x: float, low: float, high: float, class_: str = "whisker") -> Markup:
        return self.line([(x, max(low, self.y.low)), (x, min(high, self.y.high))], class_)

    def _frame(self) -> Markup:
        bottom, left = HEIGHT - BOTTOM, LEFT
        lines, words = [], []
        for value, word in self.x.ticks:
            x, _ = self.at(value, self.y.low)
            lines.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
            words.append(element("text", word, x=x, y=bottom + 16, text_anchor="middle"))
        for value, word in self.y.ticks:
            _, y = self.at(self.x.low, value)
            lines.append(element("line", x1=left, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            words.append(element("text", word, x=left - 6, y=y + 4, text_anchor="end"))
        middle_x, middle_y = (left + WIDTH - RIGHT) / 2, (TOP + bottom) / 2
        words.append(element("text", self.x.name, x=middle_x, y=HEIGHT - 8, text_anchor="middle", class_="axis"))
        turned = f"translate(12 {middle_y}) rotate(-90)"
        words.append(element("text", self.y.name, transform=turned, text_anchor="middle", class_="axis"))
        return together(*lines, *words)
