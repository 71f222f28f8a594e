"""The page of an evaluation: whole, self-contained, and nothing in the data can become markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from head_service.evaluation import calibration, mistakes, report, selective
from head_service.evaluation.answers import Answers
from head_service.evaluation.evaluate import Comparison, Evaluation
from head_service.evaluation.intervals import paired
from head_service.evaluation.judgement import judge
from head_service.evaluation.learning_curve import Curve, CurvePoint
from head_service.evaluation.page.axes import shares
from head_service.evaluation.page.document import html
from head_service.evaluation.page.markup import element
from head_service.evaluation.witnesses import Witnesses
from head_service.training.rows import Rows

EVIL = "<script>alert(1)</script>\"'&\x00 <img src=x onerror=alert(2)>"


def evaluation(count: int, *, multi_label: bool = False, abstain: bool = False, noise: float = 2.0) -> Evaluation:
    generator, rows = np.random.default_rng(count), 400
    labels = [f"{EVIL} {at:03}" for at in range(count)]
    truth = generator.integers(0, count, rows)
    logits = np.eye(count)[truth] * 3 + noise * generator.normal(size=(rows, count))
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = [None if abstain and row.max() < 0.7 else labels[row.argmax()] for row in scores]
    given = Answers(2, "enc-0123456789ab", labels, predicted, scores.max(1), scores.astype(np.float32))
    sets = [(labels[at],) for at in truth]
    texts = [f"{EVIL} {row} {'long ' * 300}" for row in range(rows)]
    judged = judge(sets, given, multi_label=multi_label)
    worst = mistakes.worst(judged, texts)
    return Evaluation(
        rows=Rows(Path(f"{EVIL}.tsv"), texts, sets, 0, "f" * 64, multi_label),
        head="mood", version=2, fingerprint="enc-0123456789ab", manifest=None, judgement=judged,
        calibration=calibration.calibration(judged), selection=selective.curve(judged), out_of_scope=None, mistakes=worst,
        witnesses=Witnesses(
            {"majority": 0.5}, {"majority": paired(judged.hits, truth == 0)}, "minilm",
            [mistakes.Suspect(each, 10, 8, 1) for each in worst[:20]],
            Curve([CurvePoint(50, 0.7), CurvePoint(100, 0.75), CurvePoint(200, 0.8)], 400, 0.82, (0.8, 0.84)),
        ),
        comparison=Comparison(1, 1.0, paired(judged.hits, np.ones(rows, bool))), notes=[EVIL],
        requirements=["accuracy=0.9"], failed=["accuracy=0.9"],
    )  # fmt: skip


class Reader(HTMLParser):
    """Refuses what is not closed; keeps tags, attributes and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("count", [2, 6, 60])
def test_no_text_of_the_data_becomes_markup_and_nothing_is_loaded_from_elsewhere(count: int) -> None:
    page = html(evaluation(count))
    reader = read(page)
    names = {name for name, _ in reader.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "base", "form"}
    assert not any(key.startswith("on") or key in ("src", "href") for _, attributes in reader.tags for key in attributes)
    assert not re.search(r"url\(|@import|https?://", page)
    assert "\x00" not in page
    assert any("<script>alert(1)</script>" in each for each in reader.words), "the text itself is shown"
    policy = [attributes["content"] for name, attributes in reader.tags if attributes.get("http-equiv")]
    assert policy[0]
    assert policy[0].startswith("default-src 'none'")


def test_every_picture_has_a_name_and_every_scrolling_part_can_be_reached_by_keyboard() -> None:
    page = html(evaluation(60))
    reader = read(page)
    pictures = [attributes for name, attributes in reader.tags if name == "svg"]
    assert len(pictures) == 6
    assert all(each["role"] == "img" for each in pictures)
    assert len(re.findall(r"<svg[^>]*><title>", page)) == 6
    scrolling = [attributes for _, attributes in reader.tags if attributes.get("class") == "scroll"]
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in scrolling)


def test_many_labels_have_an_overview_and_numbers_for_the_busiest_alone() -> None:
    many, few = html(evaluation(60)), html(evaluation(6))
    assert "16 of 60 labels" in many
    assert "All 60 labels at a glance" in many
    assert "at a glance" not in few
    assert "No two labels were mixed up" in html(evaluation(6, noise=0.0))


def test_what_decides_is_said_in_words() -> None:
    page = html(evaluation(2, abstain=True))
    for part in ("Gate failed", "stable version 1", "worse", "Answered", "Would more data help?", "Labels to check"):
        assert part in page
    several = html(replace(evaluation(6, multi_label=True), comparison=None, requirements=[], failed=[]))
    assert "Gate" not in several
    assert "when sure" not in several


def test_the_document_has_the_contracts_keys_and_everything_that_the_page_shows() -> None:
    found = evaluation(3)
    document = report.document(found)
    contract = ["command", "head", "version", "fingerprint", "rows", "accuracy", "macro_f1", "calibration_error", "confusion"]
    assert [key for key in document if key in contract] == contract[:6] + contract[6:]
    assert document["confusion"].keys() == {"labels", "counts"}
    assert document["gate"] == {"passed": False, "failed": ["accuracy=0.9"]}
    assert document["comparison"]["verdict"] == "worse"
    assert document["mistakes"][0].keys() == {"row", "text", "label", "label_score", "given", "given_score"}
    assert document["suspects"][0]["with_given"] == 8
    lines = "\n".join(report.lines(found, Path("page.html")))
    for part in ("95 % interval", "FAILED: accuracy=0.9", "page.html", "Against stable version 1", "labels to check"):
        assert part in lines


def test_scales_end_on_round_numbers() -> None:
    scale = shares("right", 0.912, 0.987)
    assert (scale.low, scale.high) == (pytest.approx(0.9), pytest.approx(1.0))
    assert scale.ticks[0][1] == "90 %"
    assert element("p", "<", None, ["a"], class_="x", hidden=True, title='"') == '<p class="x" hidden title="&quot;">&lt;a</p>'
