"""What an encoder is, from both sides of the pipe: `describe_encoders` for the process that fronts callers (names,
fingerprints, tokenizers; no weights stay in memory), `Encoders` for the worker that computes.

Both are made from the same `--model` strings, and an item names its encoder by its place among them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.fingerprint import fingerprint, hash_vocabulary, hash_weights, needed_tensors
from embedding_service.model.loaded_encoders import ENGINES, PRECISIONS, Encoders, Item, Output
from embedding_service.model.spec import EncoderSpec, parse_models
from embedding_service.model.tokenizer import Tokenizer, Tokens
from twohop.errors import NotFound

__all__ = ["ENGINES", "PRECISIONS", "Encoder", "Encoders", "Item", "Output", "Tokens", "describe_encoders", "find_encoder"]


@dataclass(frozen=True)
class Encoder:
    """One encoder as callers see it. `index` is what the worker calls it, `weights` the number of its set of weights."""

    index: int
    weights: int
    spec: EncoderSpec
    fingerprint: str            # "enc-" and 12 hex digits
    sha256: str                 # 64 hex digits, of identity_json
    identity_json: str
    tokenizer: Tokenizer = field(repr=False)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def aliases(self) -> tuple[str, ...]:
        return self.spec.aliases

    @cached_property
    def identity(self) -> dict[str, Any]:
        identity: dict[str, Any] = json.loads(self.identity_json)
        return identity

    @property
    def dimension(self) -> int:
        return self.spec.dimension

    @property
    def per_token(self) -> bool:
        return self.spec.per_token

    @property
    def max_length(self) -> int:
        return self.spec.max_length

    @property
    def normalized(self) -> bool:
        return self.spec.normalize

    def encode_batch(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """See Tokenizer.encode_batch: CPU-bound outside the interpreter's lock, for a thread."""
        return self.tokenizer.encode_batch(texts, pairs)


def describe_encoders(models: Sequence[str] = ()) -> tuple[Encoder, ...]:
    """The encoders of `--model` strings, in order (none: minilm, rich, tokens); reads and hashes the weights, keeps none.

    Raises InvalidInput for a bad spec, Failed for missing or broken files, with the remedy.
    """
    specs = parse_models(models)
    sources = {folder: _Source(folder, number) for number, folder in enumerate(dict.fromkeys(spec.folder for spec in specs))}
    encoders = tuple(sources[spec.folder].encoder(index, spec) for index, spec in enumerate(specs))
    for source in sources.values():
        source.checkpoint.drop_pages()
    return encoders


def find_encoder(encoders: Sequence[Encoder], name: str) -> Encoder:
    """By name or alias; "" is the first. Raises NotFound naming those there are."""
    for encoder in encoders:
        if name in ("", encoder.name, *encoder.aliases):
            return encoder
    known = [known for encoder in encoders for known in (encoder.name, *encoder.aliases)]
    detail = {"encoder": name[:100], "known": known[:8]}
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    raise NotFound(f"there is no encoder {name[:100]!r}; there are {', '.join(known[:20])}{more}", detail=detail)


class _Source:
    """One folder while it is being described: several encoders share its tokenizer, and hashes of the same tensors."""

    def __init__(self, folder: Path, number: int) -> None:
        self.checkpoint = Checkpoint.open(folder)
        self._number = number
        self._tokenizer: Tokenizer | None = None
        self._vocabulary = ""
        self._hashes: dict[tuple[str, ...], str] = {}

    def encoder(self, index: int, spec: EncoderSpec) -> Encoder:
        names = tuple(needed_tensors(spec))
        self.checkpoint.check(names)
        if names not in self._hashes:
            self._hashes[names] = hash_weights(self.checkpoint, names)
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.load(spec.folder, spec.max_length, spec.architecture)
            self._vocabulary = hash_vocabulary(self._tokenizer.vocabulary)
        tokenizer = self._tokenizer.with_max_length(spec.max_length)
        identity = fingerprint(spec, weights=self._hashes[names], vocabulary=self._vocabulary, tokenizer=tokenizer.identity)
        return Encoder(index, self._number, spec, str(identity), identity.sha256, identity.identity_json, tokenizer)
