"""The sections of the page, in the order in which somebody decides: is it good, is it better, where does it fail."""

from __future__ import annotations

from collections.abc import Iterator

from head_service.evaluation import selective, words
from head_service.evaluation.evaluate import Evaluation
from head_service.evaluation.intervals import wilson
from head_service.evaluation.page import heat, plots
from head_service.evaluation.page.markup import Markup, element, together
from head_service.evaluation.page.plots import Rival
from head_service.evaluation.page.tables import confusions, labels, mistakes, suspects

FEW_LABELS = 24


def sections(found: Evaluation) -> Iterator[Markup]:
    yield _figures(found)
    yield _comparison(found)
    yield _confusion(found)
    if not found.judgement.multi_label:
        yield element("div", _reliability(found), _selective(found), class_="pair")
    else:
        yield _reliability(found)
    yield _section("Labels, the weakest first", labels(found.judgement))
    if found.mistakes:
        yield _section("Worst mistakes", "Wrong, and surest of it: the widest gap between the score given and the true label's.",
                       mistakes(found.mistakes))  # fmt: skip
    yield from _suspects(found)
    if found.witnesses.curve:
        curve = found.witnesses.curve
        yield _section("Would more data help?", words.learned(curve), plots.learning(curve), element("small", words.CURVE_CAVEAT))
    yield _about(found)


def _figures(found: Evaluation) -> Markup:
    judged, calibrated = found.judgement, found.calibration
    bounds = words.interval(wilson(int(judged.hits.sum()), len(judged)))
    cards = [
        _card("Accuracy", words.percent(judged.accuracy), f"95 % interval {bounds}"),
        _card("Macro F1", words.percent(judged.macro_f1), f"mean over {len(judged.labels)} labels"),
        _card("Calibration error", f"{calibrated.error:.3f}", f"{calibrated.by_chance[0]:.3f} if scores were exact"),
    ]
    if not judged.spoke.all():
        right = f"{words.percent(judged.precision)} of the answers right"
        every = f"abstained rows count as wrong elsewhere; were it to answer all: {words.percent(found.selection[-1].precision)}"
        cards.insert(1, _card("Answered", words.percent(judged.coverage), f"{right}; {every}"))
    if found.comparison:
        paired = found.comparison.paired
        told = f"points against stable version {found.comparison.version}: {paired.verdict}"
        cards.append(_card("Against stable", words.points(paired.difference), told))
    return element("div", *cards, class_="cards")


def _comparison(found: Evaluation) -> Markup:
    rows, right = len(found.judgement), int(found.judgement.hits.sum())
    rivals = [Rival(f"{found.head} version {found.version}", right, True)]
    told = []
    if found.comparison:
        paired, name = found.comparison.paired, f"stable version {found.comparison.version}"
        rivals.append(Rival(name, right - paired.gained + paired.lost))
        told.append(element("p", f"{words.compared(paired, name)} {words.blind_spot(paired)}"))
    beside = {name.replace("_", " "): each for name, each in found.witnesses.against.items()}
    rivals += [Rival(name, right - each.gained + each.lost) for name, each in beside.items()]
    items = [element("li", element("b", name), ": ", words.compared(each, "it")) for name, each in beside.items()]
    on = f" Regression on vectors of encoder {found.witnesses.encoder}." if "logistic regression" in beside else ""
    less = None if "logistic regression" in beside else "With --train, two regressions are compared as well."
    return _section("Compared, on the same rows", *told, plots.strip(rivals, rows),
                    element("small", "Lines are 95 % intervals; whether two differ, the paired tests say." + on),
                    element("ul", *items), element("small", less) if less else None)  # fmt: skip


def _confusion(found: Evaluation) -> Markup:
    judged = found.judgement
    counts, names = judged.counts(), judged.labels
    occurring = [place for place in range(len(names)) if counts[place].any() or counts[:, place].any()]
    pairs = judged.confusions()
    intro = "Rows are true labels, columns given ones."
    if judged.multi_label:
        intro += " A label that was missed stands against each that was given in vain in the same text."
    if not pairs:
        return _section("Confusion", "No two labels were mixed up.")
    few = len(occurring) <= FEW_LABELS
    shown = occurring if few else heat.busiest(counts)
    if not few:
        intro += f" The {len(shown)} of {len(occurring)} labels that are involved in most mistakes:"
    matrix = _scrolling(heat.numbered(names, counts, shown), "Confusion matrix")
    right = element("div", element("h3", "Most often mixed up"), confusions(pairs, judged))
    whole = [] if few else [
        element("details", element("summary", f"All {len(occurring)} labels at a glance"),
                element("p", "A mark for each pair that was mixed up; point at it for its names."),
                heat.overview([names[place] for place in occurring], counts[occurring][:, occurring]))
    ]  # fmt: skip
    return _section("Confusion", intro, element("div", matrix, right, class_="beside"), *whole)


def _reliability(found: Evaluation) -> Markup:
    return _section("Can scores be believed?", words.calibrated(found.calibration), plots.reliability(found.calibration),
                    element("small", "Dots on the diagonal: a score of 0.8 is right in 80 %. Bars: how many rows."))  # fmt: skip


def _selective(found: Evaluation) -> Markup:
    judged = found.judgement
    now = None if judged.spoke.all() else (judged.coverage, judged.precision)
    wanted = [precision for precision in selective.PRECISIONS if precision > judged.accuracy] or [selective.PRECISIONS[-1]]
    said = [words.selected(each, selective.widest(found.selection, each)) for each in wanted]
    names = [element("b", f"{100 * each:.0f} % right") for each in wanted]
    choices = [element("li", name, ": ", told) for name, told in zip(names, said, strict=True)]
    scope = element("p", words.strangers(found.out_of_scope)) if found.out_of_scope else None
    return _section("What if it answered only when sure?", plots.selective(found.selection, now), element("ul", *choices), scope,
                    element("small", "Chosen on these very rows: expect a little less on new ones."))  # fmt: skip


def _suspects(found: Evaluation) -> Iterator[Markup]:
    doubted = found.witnesses.suspects
    if doubted:
        second = " and the regression on words" if "tfidf_logistic_regression" in found.witnesses.baselines else ""
        told = f"The head is sure of another label, and most of the nearest labelled texts{second} agree with it. "
        told += "The data may be wrong here, and not the head; the surest come first."
        yield _section(f"Labels to check: {len(doubted)}", told, suspects(doubted))


def _about(found: Evaluation) -> Markup:
    manifest = found.manifest
    facts = [
        ("Data", f"{found.rows.path} ({len(found.rows):,} rows)"),
        ("SHA-256", found.rows.sha256),
        ("Encoder", f"{manifest.encoder.name} {found.fingerprint}" if manifest else found.fingerprint),
    ]
    if manifest:
        facts += [("Kind", manifest.kind), ("Created", manifest.created)]
        facts += [("Trained on", f"{manifest.rows.get('train', 0):,} rows")]
    listed = [together(element("dt", name), element("dd", value)) for name, value in facts]
    notes = element("ul", *(element("li", note) for note in found.notes)) if found.notes else None
    return _section("About", notes, element("dl", *listed),
                    element("small", "Intervals: Wilson. Paired test: McNemar, exact. Calibration error: 15 bins of equal width. "
                                     "Labels to check: confident learning, and other witnesses."))  # fmt: skip


def _section(title: str, *content: object) -> Markup:
    inside = [element("p", each) if type(each) is str else each for each in content]
    return element("section", element("h2", title), *inside)


def _card(name: str, value: str, beside: str) -> Markup:
    return element("div", element("span", name), element("strong", value), element("small", beside), class_="card")


def _scrolling(content: Markup, name: str) -> Markup:
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=name)
