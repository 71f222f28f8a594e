"""Texts to vectors, through hop 1, each text once: those kept on disk are reused, the rest is embedded and kept. Then
they are laid out in the order of the texts, in arrays on disk, so that they may exceed the memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from head_service.progress import Progress, progress
from head_service.training import scratch
from head_service.training.heads.material import Tokens
from head_service.training.vector_store import VectorStore
from twohop.embedding import EmbeddingClient
from twohop.errors import EncoderMismatch, TwoHopError
from twohop.types import Embeddings, Encoder

# Kept after each request, so this many texts are lost at most when a run is interrupted.
TEXTS_PER_REQUEST = 128
# One computes while the next one travels.
REQUESTS_AT_ONCE = 2
# A slow machine with long texts: BERT-base on one core does about ten a second.
REQUEST_TIMEOUT_S = 300.0
# Read from the store at a time; of the longest texts' token vectors that is 100 MB.
TEXTS_AT_ONCE = 512
QUOTED = 60                 # characters of a text that an error is about


@dataclass(frozen=True)
class PooledVectors:
    """`matrix` float32 [N, D] in the order of the N texts; of these `embedded` went through hop 1 now and `reused` did
    not (kept from before, or the same text again)."""

    matrix: npt.NDArray[np.float32]
    embedded: int
    reused: int


@dataclass(frozen=True)
class TokenVectors:
    """As PooledVectors, of a token encoder."""

    tokens: Tokens
    embedded: int
    reused: int


def pooled(
    client: EmbeddingClient, encoder: Encoder, texts: Sequence[str], folder: Path, progress: Progress = progress
) -> PooledVectors:
    """One vector per text, with those kept in `folder`. Raises what the client raises, EncoderMismatch where hop 1
    changes meanwhile, Failed where the folder cannot be used."""
    with VectorStore(folder, encoder.fingerprint, encoder.numerics, encoder.dimension) as store:
        embedded = _complete(store, client, encoder, texts, progress)
        matrix = scratch.array(folder, (len(texts), encoder.dimension), np.float32)
        for start, some, found in _portions(store, texts):
            matrix[start : start + len(some)] = [found[text][0] for text in some]
    return PooledVectors(matrix, embedded, len(texts) - embedded)


def per_token(
    client: EmbeddingClient, encoder: Encoder, texts: Sequence[str], folder: Path, progress: Progress = progress
) -> TokenVectors:
    """The vectors of each text's tokens, float16 from hop 1 on; else as `pooled`."""
    with VectorStore(folder, encoder.fingerprint, encoder.numerics, encoder.dimension, "float16") as store:
        embedded = _complete(store, client, encoder, texts, progress)
        counts = store.rows(texts)
        offsets = np.cumsum([0, *(counts[text] for text in texts)], dtype=np.int64)  # [N + 1]
        flat = scratch.array(folder, (int(offsets[-1]), encoder.dimension), np.float16)
        for start, some, found in _portions(store, texts):
            flat[offsets[start] : offsets[start + len(some)]] = np.concatenate([found[text] for text in some])
    return TokenVectors(Tokens(flat, offsets), embedded, len(texts) - embedded)


def request(client: EmbeddingClient, encoder: Encoder, texts: Sequence[str]) -> Embeddings:
    """In bulk, token vectors as float16. Raises what the client raises."""
    return client.embed(
        texts,
        encoder=encoder.name,
        expect_fingerprint=encoder.fingerprint,
        priority="bulk",
        dtype="float16" if encoder.per_token else "float32",
        timeout_s=REQUEST_TIMEOUT_S,
    )


def _complete(
    store: VectorStore, client: EmbeddingClient, encoder: Encoder, texts: Sequence[str], progress: Progress
) -> int:
    """Embeds what the store lacks, and says how many texts that were."""
    kept = store.rows(texts)
    distinct = list(dict.fromkeys(texts))
    # Cut before what is kept is left out: a run that goes on asks for the same texts together as one that never stopped.
    chunks = [
        [text for text in distinct[start : start + TEXTS_PER_REQUEST] if text not in kept]
        for start in range(0, len(distinct), TEXTS_PER_REQUEST)
    ]
    missing = sum(map(len, chunks))
    with progress(f"embedding ({encoder.name})", missing, unit="texts") as advance:
        for chunk, reply in _embed(client, encoder, [chunk for chunk in chunks if chunk]):
            store.put({text: reply.of(index) for index, text in enumerate(chunk)})
            advance(len(chunk))
    return missing


def _portions(
    store: VectorStore, texts: Sequence[str]
) -> Iterator[tuple[int, Sequence[str], dict[str, npt.NDArray[np.generic]]]]:
    """Some texts at a time: the place of the first, the texts, their vectors."""
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        some = texts[start : start + TEXTS_AT_ONCE]
        yield start, some, store.get(some)


def _embed(client: EmbeddingClient, encoder: Encoder, chunks: list[list[str]]) -> Iterator[tuple[list[str], Embeddings]]:
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
    try:
        reply = request(client, encoder, texts)
    except TwoHopError as error:
        raise _quoting(error, texts) from error
    if reply.numerics != encoder.numerics:
        raise EncoderMismatch(
            f"encoder {encoder.name} answered in {reply.numerics} where it was {encoder.numerics} before: "
            "hop 1 was started anew with another engine or precision; train again",
            detail={"encoder": encoder.name, "before": encoder.numerics, "now": reply.numerics},
        )
    return reply


def _quoting(error: TwoHopError, texts: Sequence[str]) -> TwoHopError:
    """An index into a request of ours means nothing to whoever gave the texts: the text itself does."""
    index = error.detail.get("index")
    if not isinstance(index, int):
        return error
    detail = {key: value for key, value in error.detail.items() if key != "index"}
    begins = texts[index][:QUOTED].replace("\n", " ")
    return type(error)(f"the text that begins {begins!r}: {error.message}", detail={**detail, "text": begins},
                       retry_after_s=error.retry_after_s)
