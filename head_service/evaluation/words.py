"""What figures mean, said in sentences: the same on the page and in the terminal."""

from __future__ import annotations

import math

from head_service.evaluation.calibration import Calibration
from head_service.evaluation.intervals import Paired
from head_service.evaluation.learning_curve import Curve
from head_service.evaluation.selective import OutOfScope, Point

LITTLE = 0.005  # half a point


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    return f"{round(100 * difference, 1) + 0.0:+.1f}"  # no -0.0


def interval(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %"


def compared(paired: Paired, other: str) -> str:
    """How the head does beside `other` on the same rows, and whether that may be chance."""
    if not paired.gained + paired.lost:
        return f"Right and wrong on the very same rows as {other}."
    low, high = paired.interval
    counted = (
        f"Right on {paired.gained:,} rows where {other} is wrong, and wrong on {paired.lost:,} where it is right: "
        f"{points(paired.difference)} points (95 % interval {points(low)} to {points(high)})."
    )
    odds = f"McNemar's exact test, p {_probability(paired.p_value)}"
    if paired.verdict != "no difference seen":
        return f"{counted} It is {paired.verdict}: chance alone seldom gives as much ({odds})."
    return f"{counted} That may be chance ({odds})."


def blind_spot(paired: Paired) -> str:
    """How much worse a version could be without the test seeing it."""
    smallest = paired.smallest_loss_seen
    if math.isnan(smallest):
        return f"The two differ on {paired.gained + paired.lost} rows, too few for the test to call either worse."
    return f"With as many rows on which the two differ, the test would call it worse from {100 * smallest:.1f} points down."


def learned(curve: Curve) -> str:
    now, (low, high) = curve.points[-1], curve.likely_gain
    spoken = (
        f"With {curve.doubled:,} training rows in place of {now.rows:,}, a logistic regression would be right on about "
        f"{percent(curve.expected)}: {points(curve.gain)} points, likely {points(low)} to {points(high)}."
    )
    if high < LITTLE:
        return f"{spoken} More of the same data would bring next to nothing: better labels may, or another kind of head."
    if low > 0 and curve.gain >= LITTLE:
        return f"{spoken} More data is worth having."
    return f"{spoken} Whether more of the same data would help is not sure."


CURVE_CAVEAT = (
    "Extrapolated: errors are taken to go on falling, more slowly than so far, and new rows to be like these. In nine "
    "of ten cases the range should hold; it allows for chance in which rows the files have. Another kind of head may gain more."
)


def calibrated(found: Calibration) -> str:
    mean, high = found.by_chance
    spoken = f"Scores and accuracy differ by {found.error:.3f} on average; exact scores would show {mean:.3f} on so few rows"
    if found.error <= high:
        return f"{spoken}, and up to {high:.3f} by chance: its scores can be taken at their word."
    sure = sum(each.rows * (each.mean_score - each.accuracy) for each in found.bins)
    return f"{spoken}, and at most {high:.3f} by chance: it is {'too sure' if sure > 0 else 'surer than it says'}."


def selected(precision: float, point: Point | None) -> str:
    if point is None:
        return f"not even the surest answers are right in {percent(precision)}"
    spoken = f"answering only from a score of {point.score:.3f}"
    return f"{spoken}: {percent(point.coverage)} of the rows, {percent(point.precision)} of them rightly"


def strangers(found: OutOfScope) -> str:
    return (
        f"{found.rows:,} rows have labels that the head does not know. It abstained on {found.abstained:,} of them; by its score "
        f"alone, such a row ranks below one in scope in {percent(found.auroc)} of all pairs (50 % would be chance)."
    )


def _probability(value: float) -> str:
    return f"= {value:.2g}" if value >= 0.0001 else "< 0.0001"
