"""What is measured: texts of a file, or synthetic texts of one exact length; singly, and in packs that fill the engine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedding_service.model.encoder import Encoder, Item
from embedding_service.model.packing import Packer
from twohop.errors import Failed, InvalidInput

SAMPLE = Path(__file__).with_name("sample.txt")
SYNTHETIC_TEXTS = 256
SEED = 0


@dataclass(frozen=True)
class Workload:
    """`items` in an order of chance, so that any stretch of them is like the whole. `length`: of every text, if fixed."""

    name: str
    items: list[Item]
    length: int | None = None

    @property
    def tokens(self) -> int:
        return sum(len(ids) for _, ids, _ in self.items)

    @property
    def mean_tokens(self) -> float:
        return self.tokens / len(self.items)

    def packs(self, tokens_per_pack: int, at_least: int) -> list[list[Item]]:
        """At least so many packs of about `tokens_per_pack` tokens (a longer text has one of its own). Which texts share one
        is chosen from the whole workload, repeated as needed, as a long queue or a bulk job allows; in an order of chance."""
        times = max(1, -(-at_least * tokens_per_pack // self.tokens))
        items = self.items * times
        placements = Packer(feed_tokens=tokens_per_pack).place([len(ids) for _, ids, _ in items])
        packs = [[items[sequence] for sequence in placement.sequences] for placement in placements]
        random.Random(SEED).shuffle(packs)      # the longest texts are placed first: a round may not get far beyond them
        return packs


def from_file(encoder: Encoder, file: Path | None) -> Workload:
    """A text a line, blank lines aside; None: the packaged sample. Raises Failed naming a file that has none or is no UTF-8."""
    path = file or SAMPLE
    try:
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"cannot read texts from {path}: {error}", detail={"file": str(path)}) from error
    if not texts:
        raise Failed(f"{path} holds no text: give a file with one text a line", detail={"file": str(path)})
    items: list[Item] = [(encoder.index, tokens.ids, tokens.types) for tokens in encoder.encode_batch(texts)]
    random.Random(SEED).shuffle(items)
    return Workload(file.name if file else "packaged sample", items)


def of_length(encoder: Encoder, length: int) -> Workload:
    """Synthetic texts of exactly `length` tokens, of words of chance. Raises InvalidInput for a length it cannot take."""
    if not 1 <= length <= encoder.max_length:
        raise InvalidInput(f"--tokens {length}: {encoder.name} takes 1 to {encoder.max_length} tokens", detail={"tokens": length})
    vocabulary = encoder.spec.architecture.vocabulary
    generator = np.random.default_rng(SEED)
    ids = generator.integers(min(1000, vocabulary // 2), vocabulary, (SYNTHETIC_TEXTS, length), np.int32)
    return Workload(f"{length} tokens", [(encoder.index, row, None) for row in ids], length)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of them, from all over."""
    return [items[index] for index in np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)]
