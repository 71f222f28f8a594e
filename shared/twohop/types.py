"""What the clients take and give: plain values, frozen, each with its shapes and units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy.typing as npt

from twohop.errors import NotFound


@dataclass(frozen=True)
class TLS:
    """How to speak TLS: PEM files. `TLS()` trusts the system's authorities; `cert` and `key` are for servers that want to
    know who calls; `server_name` is the name in the server's certificate where the address has another."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None


# --- hop 1


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors of N texts, in the order asked.

    `vectors` is float32 or float16 [sum(rows), D] and read-only: it is the reply's own memory where one reply held it
    all (copy it to change it). `rows[i]` vectors belong to text i: 1, or its tokens for a token encoder. `tokens` are
    counted after truncation, `tokens_total` before. `timings` are milliseconds: `total` as seen here, and the service's own
    `tokenize`, `queue`, `compute`, `service` of the slowest request.
    """

    vectors: npt.NDArray[Any]
    rows: list[int]
    tokens: list[int]
    tokens_total: list[int]
    encoder: str
    fingerprint: str
    numerics: str
    timings: dict[str, float]
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", list(accumulate(self.rows, initial=0)))

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, index: int) -> npt.NDArray[Any]:
        """The vectors of one text, [rows[index], D]."""
        at = range(len(self.rows))[index]
        return self.vectors[self._starts[at] : self._starts[at + 1]]

    @property
    def truncated(self) -> list[bool]:
        return [total > kept for kept, total in zip(self.tokens, self.tokens_total, strict=True)]


@dataclass(frozen=True)
class Encoder:
    """One entry of hop 1's list. `identity` is what the fingerprint is the hash of."""

    name: str
    aliases: tuple[str, ...]
    fingerprint: str
    identity: Mapping[str, Any]
    numerics: str
    dimension: int
    per_token: bool
    max_length: int
    normalized: bool
    ready: bool


@dataclass(frozen=True)
class Limits:
    """What one request to hop 1 may hold; 0: no limit."""

    max_texts: int
    max_request_bytes: int
    max_response_bytes: int


@dataclass(frozen=True)
class Encoders:
    """Hop 1's list; the first encoder is the default."""

    encoders: tuple[Encoder, ...]
    limits: Limits
    service_version: str

    def __len__(self) -> int:
        return len(self.encoders)

    def __iter__(self) -> Iterator[Encoder]:
        return iter(self.encoders)

    def named(self, name: str) -> Encoder:
        """By name or alias; "" is the first. Raises NotFound, which says what there is."""
        for encoder in self.encoders:
            if name in ("", encoder.name, *encoder.aliases):
                return encoder
        served = ", ".join(encoder.name for encoder in self.encoders) or "none"
        raise NotFound(f"no encoder is named '{name}'; served are: {served}", detail={"encoder": name})

    def with_fingerprint(self, fingerprint: str) -> Encoder | None:
        return next((encoder for encoder in self.encoders if encoder.fingerprint == fingerprint), None)


# --- hop 2


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as a signature declares it: numpy's name of the type ("object" for strings); None: any size."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class HeadSignature:
    """What a head takes: `fingerprint` of the encoder it was trained on (None: it names none) and its inputs by name:
    `embedding` [B, D], or `tokens` [B, T, D] and `mask` [B, T], with `text` [B] for a hybrid head. `dimension` is D."""

    head: str
    version: int
    fingerprint: str | None
    inputs: Mapping[str, TensorSpec]
    dimension: int | None


@dataclass(frozen=True)
class HeadStatus:
    """One version of a head as its server sees it; `message` says why a load failed."""

    name: str
    version: int
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer for one text. `label` is None where the head abstained; `scores` (label -> score) only if asked for."""

    label: str | None
    score: float
    scores: dict[str, float] | None = None
    tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True)
class Classifications(Sequence[Classification]):
    """The answers of one head, in the order of the texts. `timings_ms` has `embed`, `head` and `total`; for a call that
    was split, the first two are sums over requests that overlapped."""

    items: tuple[Classification, ...]
    head: str
    version: int
    fingerprint: str
    timings_ms: Mapping[str, float]

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Classification: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Classification, ...]: ...
    def __getitem__(self, index: int | slice) -> Classification | tuple[Classification, ...]:
        return self.items[index]
