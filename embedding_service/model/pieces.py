"""What every kind of tokenizer gives us: pieces without special tokens, the special tokens around them, where a long text may be
cut, and what the fingerprint hashes. The `tokenizers` library does the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol


class Encoding(Protocol):
    """What we use of the library's result; `ids` makes a list on every access, the length costs nothing."""

    ids: list[int]

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens of a text, `cls a sep`, and of a pair, `cls a *between b sep`; `typed`: the second has token type 1."""

    cls: int
    sep: int
    between: tuple[int, ...]
    typed: bool


class Pieces:
    """Pieces of texts. `identity` and `vocabulary` are what the fingerprint hashes."""

    def __init__(self, library: Any, frame: Frame, identity: dict[str, Any]) -> None:
        self.frame = frame
        self.identity = identity
        self._library = library
        self._parts: dict[str, bool] = {}
        self._joined = {pair for token in added(library) for text in (token, token.lower()) for pair in pairwise(text)}

    @property
    def vocabulary(self) -> list[str]:
        """All tokens in the order of their ids."""
        tokens: dict[str, int] = self._library.get_vocab(with_added_tokens=True)
        return sorted(tokens, key=tokens.__getitem__)

    @property
    def highest_id(self) -> int:
        tokens: dict[str, int] = self._library.get_vocab(with_added_tokens=True)
        return max(tokens.values())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.encode_lazily(texts)]

    def encode_lazily(self, texts: Sequence[str]) -> list[Encoding]:
        encodings: list[Encoding] = self._library.encode_batch_fast(list(texts), add_special_tokens=False)
        return encodings

    def parts_before(self, char: str) -> bool:
        """Whether the pieces of a text are those of its two halves, cut before this character."""
        if char not in self._parts:
            self._parts[char] = self._parts_before(char)
        return self._parts[char]

    def joins(self, pair: str) -> bool:
        """Whether the two characters may stand inside one special token, such as `[` and `S` of `[SEP]`."""
        return tuple(pair) in self._joined or tuple(pair.lower()) in self._joined

    def is_overlong_word(self, text: str) -> bool:
        """Whether this is (part of) one word that is the unknown token, however it goes on."""
        return False

    def _parts_before(self, char: str) -> bool:
        raise NotImplementedError


def added(library: Any) -> list[str]:
    return [token.content for token in library.get_added_tokens_decoder().values()]


def frame_of(library: Any) -> Frame | None:
    """As the library itself frames a text and a pair; None where that is not the way of a BERT."""
    middle: list[int] = library.encode("a", add_special_tokens=False).ids
    single, pair = library.encode("a").ids, library.encode("a", "a")
    size = len(middle)
    if len(single) != size + 2 or single[1:-1] != middle:
        return None
    cls, sep, ids = single[0], single[-1], pair.ids
    between = ids[1 + size : len(ids) - 1 - size]
    if ids != [cls, *middle, *between, *middle, sep] or between not in ([sep], [sep, sep]):
        return None
    return Frame(cls, sep, tuple(between), pair.type_ids[-1] == 1)
