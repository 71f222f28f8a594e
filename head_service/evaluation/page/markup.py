"""HTML and SVG by function calls. Whatever is no `Markup` is text and gets escaped, so that no data can become markup."""

from __future__ import annotations

import re
from html import escape
from typing import Any


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")  # characters that HTML has no place for


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """`<name attributes>children</name>`. Attributes: `class_` and `for_` lose their underscore, others in between become
    hyphens; None and False are left out, True stands alone. Children: Markup as it is, everything else escaped; None: nothing."""
    written = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{together(*children)}</{name}>")


def together(*children: Any) -> Markup:
    """The children one after the other; lists are unfolded."""
    return Markup("".join(_child(child) for child in children))


VOID = {"meta", "br", "col"}


def text(value: object) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", str(value)))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, (list, tuple)):
        return together(*child)
    return text(child)


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{text(value)}"'
