"""Texts to vectors, through hop 1, each text once: those kept on disk are reused, the rest is embedded and kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from head_service.progress import progress
from head_service.training.vector_store import VectorStore
from twohop.embedding import EmbeddingClient
from twohop.errors import EncoderMismatch
from twohop.types import Embeddings, Encoder

# Kept after each request, so this many texts are lost at most when a run is interrupted.
TEXTS_PER_REQUEST = 128
# One computes while the next one travels.
REQUESTS_AT_ONCE = 2
# A slow machine with long texts: BERT-base on one core does about ten a second.
REQUEST_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class PooledVectors:
    """`matrix` float32 [N, D] in the order of the N texts; of these `embedded` went through hop 1 now and `reused` did
    not (kept from before, or the same text again)."""

    matrix: npt.NDArray[np.float32]
    embedded: int
    reused: int


def pooled(client: EmbeddingClient, encoder: Encoder, texts: Sequence[str], folder: Path) -> PooledVectors:
    """One vector per text, with those kept in `folder`. Raises what the client raises, EncoderMismatch where hop 1
    changes meanwhile, Failed where the folder cannot be used."""
    with VectorStore(folder, encoder.fingerprint, encoder.numerics, encoder.dimension) as store:
        found = store.get(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        with progress(f"embedding ({encoder.name})", len(missing)) as advance:
            for chunk, reply in _embed(client, encoder, missing):
                new = {text: reply.of(index) for index, text in enumerate(chunk)}
                store.put(new)
                found.update(new)
                advance(len(chunk))
    matrix = np.empty((len(texts), encoder.dimension), np.float32)
    for row, text in enumerate(texts):
        matrix[row] = found[text][0]
    return PooledVectors(matrix, embedded=len(missing), reused=len(texts) - len(missing))


def _embed(client: EmbeddingClient, encoder: Encoder, texts: list[str]) -> Iterator[tuple[list[str], Embeddings]]:
    chunks = [texts[start : start + TEXTS_PER_REQUEST] for start in range(0, len(texts), TEXTS_PER_REQUEST)]
    pool = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="embed")
    under_way: deque[tuple[list[str], Future[Embeddings]]] = deque()
    try:
        for chunk in chunks:
            under_way.append((chunk, pool.submit(_request, client, encoder, chunk)))
            if len(under_way) == REQUESTS_AT_ONCE:
                yield _first(under_way)
        while under_way:
            yield _first(under_way)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _first(under_way: deque[tuple[list[str], Future[Embeddings]]]) -> tuple[list[str], Embeddings]:
    chunk, future = under_way.popleft()
    return chunk, future.result()


def _request(client: EmbeddingClient, encoder: Encoder, texts: list[str]) -> Embeddings:
    reply = client.embed(
        texts,
        encoder=encoder.name,
        expect_fingerprint=encoder.fingerprint,
        priority="bulk",
        timeout_s=REQUEST_TIMEOUT_S,
    )
    if reply.numerics != encoder.numerics:
        raise EncoderMismatch(
            f"encoder {encoder.name} answered in {reply.numerics} where it was {encoder.numerics} before: "
            "hop 1 was started anew with another engine or precision; train again",
            detail={"encoder": encoder.name, "before": encoder.numerics, "now": reply.numerics},
        )
    return reply
