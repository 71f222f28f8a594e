"""Sequences end to end in shapes that are recorded: every token once, at the row that the part names."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.engine import Pack
from embedding_service.model.varlen import GRAPH_TOKENS, Length, fit, graph_shapes, lay_out

TABLE = 512


def pack_of(lengths: list[int]) -> Pack:
    ids = np.split(np.arange(sum(lengths), dtype=np.int32), np.cumsum(lengths)[:-1])
    types = [each % 2 if len(each) % 4 else None for each in ids]
    return Pack(ids, types, [None] * len(lengths), lengths, [1 + length % 3 for length in lengths])


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(50, 400), st.booleans())
def test_every_chosen_sequence_lies_once_at_its_start_with_its_own_tokens(
    lengths: list[int], tokens: int, recorded: bool
) -> None:
    pack, chosen = pack_of(lengths), list(range(0, len(lengths), 2))
    shapes = graph_shapes(256) if recorded else []
    rows = list(lay_out(pack, chosen, TABLE, tokens=tokens, shapes=shapes))
    assert [sequence for row in rows for sequence in row.sequences] == chosen
    for row in rows:
        ids, places, bounds = np.split(row.inputs, [row.shape.tokens, 2 * row.shape.tokens])
        assert len(bounds) == row.shape.sequences + 1
        assert (np.diff(bounds) >= 0).all()
        assert row.top == max(pack.top[sequence] for sequence in row.sequences)
        used = sum(lengths[sequence] for sequence in row.sequences)
        assert used <= tokens or len(row.sequences) == 1
        assert bounds[-1] == used <= row.shape.tokens
        for number, (sequence, start) in enumerate(zip(row.sequences, row.starts, strict=True)):
            length, types = lengths[sequence], pack.types[sequence]
            assert (bounds[number], bounds[number + 1]) == (start, start + length)
            assert length <= row.shape.longest
            assert (ids[start : start + length] == pack.ids[sequence]).all()
            want = np.arange(length) + TABLE * (0 if types is None else types)
            assert (places[start : start + length] == want).all()


def test_a_pack_takes_the_smallest_shape_that_holds_it_and_its_own_where_none_does() -> None:
    shapes = graph_shapes(512)
    assert fit(Length(17, 1, 17), shapes) == Length(32, 4, 32)
    assert fit(Length(300, 3, 100), shapes) == Length(512, 64, 128)
    assert fit(Length(300, 1, 300), shapes) == Length(512, 64, 512)
    assert fit(Length(100, 50, 2), shapes) == Length(512, 64, 128)
    assert fit(Length(9000, 9, 512), shapes) == Length(9000, 9, 512)


def test_no_recorded_shape_expects_longer_sequences_than_the_encoder_takes() -> None:
    shapes = graph_shapes(24)
    assert max(shape.longest for shape in shapes) == 24
    assert {shape.tokens for shape in shapes} == set(GRAPH_TOKENS)
    assert len(set(shapes)) == len(shapes)
