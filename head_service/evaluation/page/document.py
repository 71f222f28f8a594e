"""The whole page, as one text."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources

from head_service.evaluation import words
from head_service.evaluation.evaluate import Evaluation
from head_service.evaluation.intervals import wilson
from head_service.evaluation.page.markup import Markup, element
from head_service.evaluation.page.sections import sections

# Should anything get in that is no text: nothing is loaded, nothing runs, nothing is sent.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html(found: Evaluation) -> str:
    return page(f"{found.head} version {found.version}: evaluation", _header(found), *sections(found))


def page(title: str, *content: Markup) -> str:
    """A page of our style that needs no other file."""
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element("body", element("main", *content))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _header(found: Evaluation) -> Markup:
    judged = found.judgement
    right = int(judged.hits.sum())
    told = f"Right on {right:,} of {len(judged):,} texts: {words.percent(right / len(judged))}; on other texts like these, "
    told += f"likely on {words.interval(wilson(right, len(judged)))}. Measured through both hops, as callers get its answers."
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    name = element("h1", f"{found.head} ", element("span", f"version {found.version}"))
    above = element("p", f"{when} · {found.rows.path.name}", class_="when")
    return element("header", above, name, element("p", told), _gate(found))


def _gate(found: Evaluation) -> Markup | None:
    if not found.requirements:
        return None
    verdicts = [element("li", each, class_="failed" if each in found.failed else "met") for each in found.requirements]
    word, class_ = ("Gate failed", "gate failed") if found.failed else ("Gate passed", "gate met")
    return element("div", element("strong", word), element("ul", *verdicts), class_=class_)
