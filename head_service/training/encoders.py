"""The encoders that hop 1 lists, and which of them a kind of head is trained on."""

from __future__ import annotations

from head_service.training.heads.kinds import Kind
from twohop.embedding import EmbeddingClient
from twohop.errors import InvalidInput, NotFound
from twohop.types import Encoder, Encoders

SHORTEST_WAIT_S = 1.0
_GIVES = {False: "one vector per text", True: "one vector per token"}


def listed(client: EmbeddingClient, wait_s: float) -> Encoders:
    """Once hop 1 is ready, which may take `wait_s`. Raises what the client raises."""
    return client.wait_until_ready(max(SHORTEST_WAIT_S, wait_s))


def fits(kind: Kind, encoder: Encoder) -> bool:
    return kind.wants == "either" or encoder.per_token == (kind.wants == "tokens")


def choose(listed: Encoders, name: str, kind: Kind) -> Encoder:
    """The named encoder, else the first that the kind can use; of "either" the first token encoder, where there is one.
    Raises NotFound, InvalidInput (an encoder of the wrong sort)."""
    fitting = [encoder for encoder in listed if fits(kind, encoder)]
    if name:
        encoder = listed.named(name)
        if not fits(kind, encoder):
            such = ", ".join(encoder.name for encoder in fitting) or "none of those that hop 1 lists"
            raise InvalidInput(
                f"encoder {name} gives {_GIVES[encoder.per_token]}, and a head of kind {kind.name} takes "
                f"{_GIVES[not encoder.per_token]}; encoders that fit: {such}",
                detail={"encoder": name, "kind": kind.name, "fitting": [encoder.name for encoder in fitting]},
            )
        return encoder
    if not fitting:
        needed = _GIVES[kind.wants == "tokens"]
        raise NotFound(f"hop 1 lists no encoder that gives {needed}, as kind {kind.name} needs; start it with such a --model")
    return next((encoder for encoder in fitting if encoder.per_token), fitting[0])
