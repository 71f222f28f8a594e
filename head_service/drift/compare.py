"""`head-service drift`: live texts beside what a version remembers of its training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from head_service.drift import live, texts
from head_service.drift.signals import Signal, signals
from head_service.drift.verdict import Verdict, verdict
from head_service.evaluation.own_server import own_server
from head_service.repository import serving_config, versions
from head_service.repository.serving_config import Roles
from head_service.repository.versions import Version
from head_service.training import encoders, profile
from head_service.training.profile import Profile
from twohop.embedding import EmbeddingClient
from twohop.errors import Failed, InvalidInput, NotFound
from twohop.heads import HeadClient
from twohop.types import TLS

FEWEST_TEXTS = 20
FURTHEST = 5


@dataclass(frozen=True)
class Order:
    """Which texts, of at most `most`, beside which version: the one that `heads` serves, else `version`, else stable."""

    data: Path
    most: int
    head: str
    repository: Path
    heads: str | None
    version: int | None
    wait_s: float
    token: str | None = None
    tls: TLS | None = None


@dataclass(frozen=True)
class Text:
    """`distance` from the middle of the training vectors."""

    text: str
    label: str
    score: float
    distance: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """`texts` of the `rows` with a text in the file were looked at; `live` are their vectors and scores; `furthest`: those
    least like training."""

    head: str
    version: Version
    kept: Profile
    rows: int
    skipped: int
    live: live.Live
    signals: list[Signal]
    verdict: Verdict
    furthest: list[Text]

    @property
    def texts(self) -> int:
        return len(self.live.scores)


def compare(order: Order, hop_1: EmbeddingClient) -> Comparison:
    """Raises InvalidInput (the data, too few texts), NotFound (head, version, profile), EncoderMismatch, Failed, and what the
    clients raise."""
    given = texts.read(order.data)
    chosen = [given.texts[place * len(given.texts) // order.most] for place in range(order.most)]
    some = chosen if len(given.texts) > order.most else given.texts
    if len(some) < FEWEST_TEXTS:
        raise InvalidInput(f"{order.data}: {len(some)} texts say nothing about a change: give {FEWEST_TEXTS} at least, "
                           "better some hundred", detail={"path": str(order.data)})  # fmt: skip
    with _served(order) as (address, version), HeadClient(address, token=order.token, tls=order.tls) as hop_2:
        kept = profile.read(version.path)
        assert version.manifest is not None
        fingerprint = version.manifest.encoder.fingerprint
        listed = encoders.listed(hop_1, order.wait_s)
        encoder = live.encoder_of(listed, hop_1.encoder, fingerprint, order.head)
        found = live.ask(hop_1, hop_2, encoder, order.head, kept.labels, some)
    compared = signals(kept, found.vectors, found.scores)
    return Comparison(
        head=order.head,
        version=version,
        kept=kept,
        rows=len(given.texts),
        skipped=given.skipped,
        live=found,
        signals=compared,
        verdict=verdict(compared, len(some)),
        furthest=_furthest(some, kept, found),
    )


@contextmanager
def _served(order: Order) -> Iterator[tuple[str, Version]]:
    """The address of hop 2, and the version there: the one that it serves, or our own server's for as long as this takes."""
    if order.heads is not None:
        with HeadClient(order.heads, token=order.token, tls=order.tls) as client:
            number = client.signature(order.head).version
        yield order.heads, _known(order, number)
        return
    number = order.version or _stable(order)
    version = _known(order, number)
    profile.read(version.path)      # before a server starts for nothing
    with own_server(order.repository, order.head, Roles(stable=number)) as address:
        yield address, version


def _known(order: Order, number: int) -> Version:
    version = versions.numbered(versions.versions(order.repository, order.head), order.head, number)
    if version.manifest is None:
        raise Failed(f"{version.path} has no head.json that head-service understands, so nothing is known of its training")
    return version


def _stable(order: Order) -> int:
    versions.existing(order.repository, order.head)
    stable = serving_config.roles_of(order.repository, order.head).stable
    if stable is None:
        raise NotFound(f"head {order.head} has no stable version: name one with --version", detail={"head": order.head})
    return stable


def _furthest(some: Sequence[str], kept: Profile, found: live.Live) -> list[Text]:
    distances = kept.vectors.distances(found.vectors)
    best = found.scores.argmax(1)
    return [
        Text(some[row], kept.labels[best[row]], float(found.scores[row, best[row]]), float(distances[row]))
        for row in np.argsort(-distances, kind="stable")[:FURTHEST].tolist()
    ]
