"""JSON as TF-Serving reads and shows it."""

from __future__ import annotations

import json
import re
from typing import Any

from head_service.model_server.status import ServingError, invalid

SHOWN_BYTES = 256
# Bytes that are no UTF-8 pass through strings unharmed: TF-Serving does not look at them either.
BYTES = "surrogateescape"

_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(indent=4, ensure_ascii=False)
_STRING_OR_SPECIAL = re.compile(r'"(?:[^"\\]|\\.)*"|[+-]?(?:NaN|Inf(?:inity)?)\b', re.DOTALL)
_TYPES = {bool: "", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object", type(None): "Null"}


def parse_object(body: bytes) -> dict[str, Any]:
    """The first JSON value of `body`, which must be an object; what follows it does not matter. Raises ServingError."""
    if not body.strip(b" \t\r\n"):
        raise invalid("JSON Parse error: The document is empty")
    document = _parse(body.decode("utf-8", BYTES).lstrip(" \t\r\n\ufeff"))
    if not isinstance(document, dict):
        raise malformed(document, "Is not object")
    return document


def malformed(value: Any, what: str) -> ServingError:
    return invalid(f"JSON Value: {shown(value)} {what}")


def type_name(value: Any) -> str:
    return _TYPES[type(value)] or str(value)


def shown(value: Any) -> str:
    """The value for an error's text, cut."""
    text = b""
    for piece in _ENCODER.iterencode(value):                # no more of a large one than is shown
        text += piece.encode("utf-8", "replace")
        if len(text) >= SHOWN_BYTES:
            break
    return text[:SHOWN_BYTES].decode("utf-8", "ignore")


def _parse(text: str) -> Any:
    try:
        return _DECODER.raw_decode(text)[0]
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing due to Handler error. (nested too deeply)") from None
    except ValueError as error:
        spelled = _STRING_OR_SPECIAL.sub(_spelled, text)
        if spelled != text:                                 # Inf, +Inf, +NaN, -NaN: numbers to TF-Serving
            return _parse(spelled)
        offset = getattr(error, "pos", 0)
        raise invalid(f"JSON Parse error: Invalid value. at offset: {offset}") from None


def _spelled(found: re.Match[str]) -> str:
    token = found[0]
    if token.startswith('"'):
        return token
    if token.endswith("NaN"):
        return "NaN"
    return "-Infinity" if token.startswith("-") else "Infinity"
