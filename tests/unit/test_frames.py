"""What service and worker say to each other arrives as it was sent, in whatever pieces."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.encoder import Item as Triple
from embedding_service.serving import frames
from embedding_service.serving.frames import Done, Kind, Reader
from embedding_service.serving.item import Call, Item

ids_of_texts = st.lists(st.integers(0, 30_000), min_size=1, max_size=20)
triples = st.lists(st.tuples(st.integers(0, 5), ids_of_texts, st.booleans()), min_size=1)


@given(given=triples)
def test_a_batch_arrives_as_it_was_sent(given: list[tuple[int, list[int], bool]]) -> None:
    loop = asyncio.new_event_loop()
    try:
        call = Call(loop)
    finally:
        loop.close()
    sent = [
        Item(call, encoder, np.array(ids, np.int32), np.array(ids, np.int32) % 2 if paired else None)
        for encoder, ids, paired in given
    ]
    got: list[Triple] = frames.unpack_run(frames.pack_run(sent))
    for item, (encoder, ids, types) in zip(sent, got, strict=True):
        assert (encoder, ids.tolist()) == (item.encoder, item.ids.tolist())
        assert (types is None) == (item.types is None)
        if types is not None and item.types is not None:
            assert types.tolist() == item.types.tolist()


@given(shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8)), min_size=1, max_size=10))
def test_vectors_arrive_as_they_were_sent(shapes: list[tuple[int, int]]) -> None:
    vectors = [np.random.default_rng(0).random(shape).astype(np.float32) for shape in shapes]
    done = frames.unpack_done(frames.pack_done(Done(vectors, 0.5, 0.75, 17)))
    assert (done.seconds, done.filler) == (0.25, 17)
    for a, b in zip(vectors, done.vectors, strict=True):
        assert np.array_equal(a, b)


@given(payloads=st.lists(st.binary(max_size=50), max_size=8), size=st.integers(1, 40))
def test_frames_are_found_in_whatever_pieces_they_arrive(payloads: list[bytes], size: int) -> None:
    stream = b"".join(frames.frame(Kind.RUN, number, payload) for number, payload in enumerate(payloads))
    reader = Reader()
    found = [each for at in range(0, len(stream), size) for each in reader.feed(stream[at : at + size])]
    assert found == [(Kind.RUN, number, payload) for number, payload in enumerate(payloads)]
