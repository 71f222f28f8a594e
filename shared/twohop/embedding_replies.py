"""What hop 1 answers, read into our values."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from twohop.errors import EncoderMismatch, ModelError
from twohop.types import Embeddings, Encoder, Encoders, Limits
from twohop.wire import embedding_pb2 as wire


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """One result of several. Raises EncoderMismatch where the encoder changed between them."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for part in parts[1:]:
        if (part.fingerprint, part.numerics) != (first.fingerprint, first.numerics):
            raise EncoderMismatch(
                f"the encoder changed during the call, from {first.fingerprint} ({first.numerics}) "
                f"to {part.fingerprint} ({part.numerics}): call again",
                detail={"expected": first.fingerprint, "given_encoder": part.fingerprint},
            )
    vectors = np.concatenate([part.vectors for part in parts])
    vectors.flags.writeable = False     # as in a result of one reply
    return Embeddings(
        vectors=vectors,
        rows=[row for part in parts for row in part.rows],
        tokens=[count for part in parts for count in part.tokens],
        tokens_total=[count for part in parts for count in part.tokens_total],
        encoder=first.encoder,
        fingerprint=first.fingerprint,
        numerics=first.numerics,
        timings={key: max(part.timings[key] for part in parts) for key in first.timings},
    )


def read_embeddings(reply: wire.EmbedResponse, texts: int, total_ms: float) -> Embeddings:
    """Vectors without a copy. Raises ModelError for a reply that does not add up to so many texts."""
    kind = np.dtype("<f2" if reply.dtype == wire.DTYPE_FLOAT16 else "<f4")
    rows = list(reply.rows)
    needed = sum(rows) * reply.dimension * kind.itemsize
    if not len(rows) == len(reply.tokens) == len(reply.tokens_total) == texts or needed != len(reply.vectors):
        raise ModelError(
            f"hop 1's reply does not add up: {texts} texts, {len(rows)} row counts, {len(reply.vectors)} bytes "
            f"where {needed} were due"
        )
    timings = reply.timings
    return Embeddings(
        vectors=np.frombuffer(reply.vectors, kind).reshape(-1, reply.dimension),        # [sum(rows), D]
        rows=rows,
        tokens=list(reply.tokens),
        tokens_total=list(reply.tokens_total),
        encoder=reply.encoder,
        fingerprint=reply.fingerprint,
        numerics=reply.numerics,
        timings={
            "tokenize": timings.tokenize_us / 1000,
            "queue": timings.queue_us / 1000,
            "compute": timings.compute_us / 1000,
            "service": timings.total_us / 1000,
            "total": total_ms,
        },
    )


def read_encoders(reply: wire.ListEncodersResponse) -> Encoders:
    limits = reply.limits
    return Encoders(
        encoders=tuple(_read_encoder(encoder) for encoder in reply.encoders),
        limits=Limits(limits.max_texts, limits.max_request_bytes, limits.max_response_bytes),
        service_version=reply.service_version,
    )


def _read_encoder(encoder: wire.Encoder) -> Encoder:
    return Encoder(
        name=encoder.name,
        aliases=tuple(encoder.aliases),
        fingerprint=encoder.fingerprint,
        identity=json.loads(encoder.identity_json or "{}"),
        numerics=encoder.numerics,
        dimension=encoder.dimension,
        per_token=encoder.per_token,
        max_length=encoder.max_length,
        normalized=encoder.normalized,
        ready=encoder.ready,
    )
