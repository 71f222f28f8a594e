"""Which request a method and a path are. The query string belongs to the path, so that one with a query matches nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from head_service.model_server.model import INT64
from head_service.model_server.status import ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

_SUBJECT = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/(?P<name>[^/:]+){_SUBJECT}:(?P<action>classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_SUBJECT}(?:/(?P<action>metadata))?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Route:
    """`action`: predict, classify, regress, status, metadata or preflight."""

    action: str
    spec: wire.ModelSpec


class VersionOutOfRange(Exception):
    """A version beyond 64 bits: TF-Serving answers 400 with an empty body."""


def is_ours(path: str) -> bool:
    return path[:4].lower() == "/v1/"


def route(method: str, path: str) -> Route:
    """Raises ServingError for a request of no known form, VersionOutOfRange for a version that is no int64."""
    if method == "OPTIONS":
        return Route("preflight", wire.ModelSpec())
    found = _POST.fullmatch(path) if method == "POST" else _GET.fullmatch(path) if method == "GET" else None
    if found is None:
        raise malformed(method, path)
    action = found["action"] if method == "POST" else "metadata" if found["action"] == "metadata" else "status"
    if action not in ("predict", "classify", "regress", "status", "metadata"):
        raise malformed(method, path)       # the pattern takes capitals; what follows it does not
    if not found["name"]:
        raise invalid("Missing model name in request.")
    return Route(action, _spec(found["name"], found["version"], found["label"]))


def malformed(method: str, path: str) -> ServingError:
    return invalid(f"Malformed request: {method} {path}")


def _spec(name: str, version: str | None, label: str | None) -> wire.ModelSpec:
    spec = wire.ModelSpec(name=unquote(name))
    if version is not None:
        if int(version) > INT64.max:
            raise VersionOutOfRange(version)
        spec.version.value = int(version)
    elif label is not None:
        spec.version_label = unquote(label)
    return spec
