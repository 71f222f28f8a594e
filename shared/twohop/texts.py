"""Texts to embed: what may be sent, and how a call is split into requests that the service takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twohop.errors import InvalidInput, TooLarge
from twohop.types import Limits

# A split call is sent in requests well below the limits, so that each is answered in about a second on a CPU: the
# service can mix them with other callers', and the call's time-out stays one for a request of ordinary size.
REQUEST_TEXTS = 512
REQUEST_BYTES = 256 * 1024

# A protobuf string field: tag and length.
_FIELD_BYTES = 6


@dataclass(frozen=True)
class Texts:
    """Checked texts, some of a call: `first` is the index of the first one in it. `sizes` are bytes on the wire."""

    texts: Sequence[str]
    pairs: Sequence[str]                # empty, or one per text
    sizes: Sequence[int]
    first: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, start: int, stop: int) -> Texts:
        return Texts(self.texts[start:stop], self.pairs[start:stop], self.sizes[start:stop], self.first + start)

    def halves(self) -> tuple[Texts, Texts]:
        middle = (len(self) + 1) // 2
        return self.part(0, middle), self.part(middle, len(self))

    def requests(self, limits: Limits) -> list[Texts]:
        """Parts that one request each may hold. Raises TooLarge for a text that none may."""
        most_bytes = limits.max_request_bytes or sum(self.sizes) + 1
        for index, size in enumerate(self.sizes):
            if size + 1024 > most_bytes:                # the request's other fields
                raise TooLarge(
                    f"text {self.first + index} takes {size} bytes, and a request may take {most_bytes}: cut it",
                    detail={"index": self.first + index, "bytes": size, "limit_bytes": most_bytes},
                )
        most_texts = min(REQUEST_TEXTS, limits.max_texts or REQUEST_TEXTS)
        return list(self._requests(most_texts, min(REQUEST_BYTES, most_bytes)))

    def _requests(self, most_texts: int, most_bytes: int) -> Iterator[Texts]:
        start, held = 0, 0
        for index, size in enumerate(self.sizes):
            if index > start and (index - start == most_texts or held + size > most_bytes):
                yield self.part(start, index)
                start, held = index, 0
            held += size
        yield self.part(start, len(self))


def check(texts: Sequence[str], pairs: Sequence[str] | None = None) -> Texts:
    """Raises InvalidInput, naming the index, for what the service would refuse: no text at all, only white space, what
    is no string, half a surrogate pair (which UTF-8 cannot say)."""
    if isinstance(texts, (str, bytes)):
        raise InvalidInput("texts is one string: give a list of strings, [text]")
    texts = list(texts)
    if not texts:
        raise InvalidInput("no text was given")
    sizes = [_size(text, index, "text") for index, text in enumerate(texts)]
    for index, text in enumerate(texts):
        if not text.strip():
            raise InvalidInput(f"text {index} is empty, or only white space", detail={"index": index})
    if pairs is None:
        return Texts(texts, [], sizes)
    pairs = list(pairs)
    if len(pairs) != len(texts):
        raise InvalidInput(f"{len(texts)} texts and {len(pairs)} pairs: give one per text (an empty string for none)")
    return Texts(texts, pairs, [size + _size(pair, i, "pair") for i, (size, pair) in enumerate(zip(sizes, pairs, strict=True))])


def _size(text: str, index: int, what: str) -> int:
    if not isinstance(text, str):
        raise InvalidInput(f"{what} {index} is no string but {type(text).__name__}", detail={"index": index})
    try:
        return (len(text) if text.isascii() else len(text.encode())) + _FIELD_BYTES
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} {index} cannot be written in UTF-8: {error.reason} at character {error.start}", detail={"index": index}
        ) from None
