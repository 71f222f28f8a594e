"""The encoders that are offered, by name and alias. Those over one set of weights share the engine, and a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedding_service.model.encoder import Encoder, find_encoder
from twohop.errors import EncoderMismatch


class Registry:
    """`encoders` in the order given, the first being the default; `numerics` is the class of all their vectors."""

    def __init__(self, encoders: Sequence[Encoder], numerics: str) -> None:
        self._encoders = tuple(encoders)
        self.numerics = numerics

    def __iter__(self) -> Iterator[Encoder]:
        return iter(self._encoders)

    def find(self, name: str) -> Encoder:
        """Raises NotFound, naming those there are."""
        return find_encoder(self._encoders, name)


def expect(encoder: Encoder, fingerprint: str) -> None:
    """Raises EncoderMismatch where it has another; "" expects none."""
    if fingerprint not in ("", encoder.fingerprint):
        expected = fingerprint[:64]
        raise EncoderMismatch(
            f"encoder {encoder.name} has the fingerprint {encoder.fingerprint}, and {expected} was expected",
            detail={"expected": expected, "encoder": encoder.name, "given_encoder": encoder.fingerprint},
        )
