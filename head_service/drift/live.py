"""Live texts through both hops: the mean vector and the scores of each, as a profile was made of training's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from head_service.progress import progress
from head_service.training.vectors import REQUEST_TIMEOUT_S, TEXTS_PER_REQUEST, request
from twohop.embedding import EmbeddingClient
from twohop.errors import EncoderMismatch, Failed
from twohop.head_inputs import head_inputs
from twohop.heads import HeadClient
from twohop.types import Encoder, Encoders


@dataclass(frozen=True)
class Live:
    """`vectors` [N, D] (of a token encoder the mean of each text), `scores` [N, C] by the order of the labels asked for."""

    vectors: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def encoder_of(listed: Encoders, name: str, fingerprint: str, head: str) -> Encoder:
    """The named encoder, else the one that the head was trained on. Raises NotFound (the name), EncoderMismatch."""
    encoder = listed.named(name) if name else listed.with_fingerprint(fingerprint)
    if encoder is None or encoder.fingerprint != fingerprint:
        offered = ", ".join(f"{each.name} {each.fingerprint}" for each in listed)
        raise EncoderMismatch(
            f"head '{head}' takes vectors of {fingerprint}, and {name or 'hop 1'} gives others ({offered}): serve that encoder, "
            "or train the head again",
            detail={"head": head, "head_encoder": fingerprint, "given_encoder": encoder.fingerprint if encoder else ""},
        )
    return encoder


def ask(
    hop_1: EmbeddingClient, hop_2: HeadClient, encoder: Encoder, head: str, labels: Sequence[str], texts: Sequence[str]
) -> Live:
    """Raises what both clients raise, Failed where the head's labels are others or its version changes meanwhile."""
    signature = hop_2.signature(head)
    vectors = np.empty((len(texts), encoder.dimension), np.float32)
    scores = np.empty((len(texts), len(labels)), np.float32)
    with progress("asking both hops", len(texts)) as advance:
        for start in range(0, len(texts), TEXTS_PER_REQUEST):
            some = texts[start : start + TEXTS_PER_REQUEST]
            found = request(hop_1, encoder, some)
            for row in range(len(some)):
                vectors[start + row] = found.of(row).mean(0, dtype=np.float32)
            row = start
            for inputs in head_inputs(signature, found, some):
                answers = hop_2.predict(
                    head, inputs, fingerprint=encoder.fingerprint, all_scores=True, timeout_s=REQUEST_TIMEOUT_S
                )
                if answers.version != signature.version:
                    raise Failed(f"head {head} became version {answers.version} meanwhile, not {signature.version}: run it again")
                for answer in answers:
                    scores[row] = _in_order(answer.scores or {}, labels, head)
                    row += 1
            advance(len(some))
    return Live(vectors, scores)


def _in_order(scores: dict[str, float], labels: Sequence[str], head: str) -> list[float]:
    if scores.keys() != set(labels):
        raise Failed(f"head {head} gives other labels than its version in the repository: is it served from another one?")
    return [scores[label] for label in labels]
