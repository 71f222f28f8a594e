"""Which versions of a head are asked, and where: at hop 2 where it serves them, else from the repository, by a head server
of our own that lives as long as the evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from head_service.evaluation.own_server import own_server
from head_service.repository import versions
from head_service.repository.layout import CANARY_SUFFIX
from head_service.repository.serving_config import Roles
from head_service.repository.versions import Version
from twohop.errors import InvalidInput, NotFound
from twohop.heads import HeadClient
from twohop.types import TLS


@dataclass(frozen=True)
class Wanted:
    """`candidate`: a version's number, "stable", "canary" or "newest"; None: what hop 2 serves as the head, or, without
    `hop_2`, the stable version."""

    head: str
    candidate: str | None
    hop_2: str | None
    repository: Path | None
    token: str | None = None
    tls: TLS | None = None


@dataclass(frozen=True)
class Contenders:
    """`name` is what the version to evaluate is called at `hop_2`, `version` its number; `stable` and `stable_version` are
    those of the stable version, None where that is the same one or not known; one with a number and no name cannot be asked."""

    hop_2: str
    name: str
    version: int
    stable: str | None
    stable_version: int | None


@contextmanager
def contenders(wanted: Wanted) -> Iterator[Contenders]:
    """Raises InvalidInput, NotFound (the version, the head), Failed (no server of our own), and what the client raises."""
    listed = versions.versions(wanted.repository, wanted.head) if wanted.repository else None
    served = _served(wanted) if wanted.hop_2 else {}
    stable = _stable(listed, served, wanted.head)
    version = _chosen(wanted, listed, served, stable)
    rival = stable if stable != version else None
    names = {number: name for name, number in reversed(served.items())}
    if wanted.hop_2 and version in names and (rival is None or rival in names):
        yield Contenders(wanted.hop_2, names[version], version, names[rival] if rival else None, rival)
        return
    if wanted.hop_2 and version in names and rival and not _lies_in(listed, version):
        # A hop 2 that serves another repository than the one given: what it serves is measured, and compared with nothing.
        yield Contenders(wanted.hop_2, names[version], version, None, rival)
        return
    if wanted.repository is None:
        there = ", ".join(f"{name} is version {number}" for name, number in served.items()) or f"{wanted.head} is not served"
        raise InvalidInput(
            f"version {version} of head {wanted.head} is not served at {wanted.hop_2} ({there}): give --repository, and it is "
            "served from there for as long as the evaluation lasts",
            detail={"head": wanted.head, "version": version},
        )
    versions.numbered(listed or [], wanted.head, version)
    if wanted.tls:
        raise InvalidInput(
            f"version {version} is not served at {wanted.hop_2 or 'any --heads'}, and a head server of our own speaks no TLS: "
            f"make it the canary, so that hop 2 serves it as {wanted.head}{CANARY_SUFFIX}, and give --candidate canary"
        )
    roles = Roles(stable=rival or version, canary=version if rival else None)
    with own_server(wanted.repository, wanted.head, roles) as address:
        name = wanted.head + (CANARY_SUFFIX if rival else "")
        yield Contenders(address, name, version, wanted.head if rival else None, rival)


def _served(wanted: Wanted) -> dict[str, int]:
    """The versions that hop 2 serves, by the name it has there: the head's own, and its canary's."""
    assert wanted.hop_2 is not None
    found = {}
    with HeadClient(wanted.hop_2, token=wanted.token, tls=wanted.tls) as client:
        for name in (wanted.head, wanted.head + CANARY_SUFFIX):
            try:
                found[name] = client.signature(name).version
            except NotFound:
                continue
    return found


def _stable(listed: list[Version] | None, served: dict[str, int], head: str) -> int | None:
    """The repository knows best; without one, hop 2 serves the stable version under the head's own name."""
    if listed is None:
        return served.get(head)
    return next((version.number for version in listed if "stable" in version.roles), None)


def _chosen(wanted: Wanted, listed: list[Version] | None, served: dict[str, int], stable: int | None) -> int:
    head, canary = wanted.head, wanted.head + CANARY_SUFFIX
    if wanted.candidate is None and wanted.hop_2:
        return _known(served.get(head), f"head '{head}' is not served at {wanted.hop_2}", head)
    if wanted.candidate in (None, "stable"):
        return _known(stable, f"head {head} has no stable version: promote one, or give --candidate", head)
    if wanted.candidate == "canary":
        here = next((version.number for version in listed or [] if "canary" in version.roles), served.get(canary))
        return _known(here, f"head {head} has no canary: give the number of a version to --candidate", head)
    if wanted.candidate == "newest":
        if listed is None:
            raise InvalidInput("--candidate newest is the newest version in the repository: give --repository as well")
        return listed[0].number
    return int(wanted.candidate or 0)


def _known(version: int | None, otherwise: str, head: str) -> int:
    if version is None:
        raise NotFound(otherwise, detail={"head": head})
    return version


def _lies_in(listed: list[Version] | None, version: int) -> bool:
    return any(each.number == version for each in listed or [])
