"""Packing: every text exactly once, none across a block, no block overfull, and only shapes that were warmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.packing import BLOCK, FEED_ROWS, FEED_TOKENS, FULL, Packer, Placement, Shape, shapes

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=120)
SHORT = st.lists(st.integers(1, 64), min_size=1, max_size=120)
STEPS = st.sampled_from([8, 16])
COMPILED = st.sampled_from([None, FULL])


@given(LENGTHS, STEPS, COMPILED)
def test_every_sequence_lies_in_exactly_one_feed(lengths: list[int], step: int, compiled: Shape | None) -> None:
    placed = [sequence for feed in Packer(step, compiled=compiled).place(lengths) for sequence in feed.sequences]
    assert sorted(placed) == list(range(len(lengths)))


@given(LENGTHS, STEPS, COMPILED)
def test_no_sequence_crosses_a_block_and_none_overlap(lengths: list[int], step: int, compiled: Shape | None) -> None:
    for feed in Packer(step, compiled=compiled).place(lengths):
        end_of_last = 0
        for sequence, start in zip(feed.sequences, feed.starts, strict=True):
            end = start + lengths[sequence]
            assert start >= end_of_last
            assert start // feed.size == (end - 1) // feed.size
            assert end <= feed.blocks * feed.size
            end_of_last = end


@given(LENGTHS, STEPS, COMPILED)
def test_feeds_stay_within_their_rows_and_shapes_are_known_ones(lengths: list[int], step: int, compiled: Shape | None) -> None:
    known = set(shapes(512, step=step))
    for feed in Packer(step, compiled=compiled).place(lengths):
        assert feed.blocks * feed.size <= FEED_ROWS
        assert feed.shape in known


@given(SHORT)
def test_little_is_filler_where_texts_are_short(lengths: list[int]) -> None:
    """At worst every block is filled to a half and a token, and the last one hardly."""
    assert sum(rows(feed) for feed in Packer().place(lengths)) <= 2 * sum(lengths) + BLOCK


@given(LENGTHS)
def test_what_fits_one_feed_of_short_blocks_is_not_split(lengths: list[int]) -> None:
    feeds = Packer().place(lengths)
    if len(feeds) > 1 and sum(lengths) <= FEED_TOKENS - 2 * BLOCK:
        assert max(lengths) > BLOCK


@given(SHORT)
def test_many_texts_are_shared_out_evenly_to_feeds(lengths: list[int]) -> None:
    """Two feeds of about a size keep two cores busy, a large and a small one do not."""
    tokens = [sum(lengths[sequence] for sequence in feed.sequences) for feed in Packer().place(lengths)]
    assert max(tokens) - min(tokens) <= 3 * BLOCK


def test_nothing_needs_no_feed() -> None:
    assert Packer().place([]) == []


def test_a_sequence_longer_than_a_feed_has_its_own() -> None:
    feeds = Packer().place([1000, 20, 600, 20])
    assert sorted(feed.shape for feed in feeds) == [(1, 640), (1, 1024)]
    assert [Packer().place([1000])[0].shape, Packer(feed_tokens=2048).place([1000])[0].shape] == [(1, 1024), (1, 1024)]


def test_texts_are_in_the_shape_that_wastes_least() -> None:
    for lengths, shape in (
        ([1], (1, 8)), ([8], (1, 8)), ([9], (1, 16)), ([20], (1, 24)), ([64], (1, 64)), ([65], (1, 80)), ([130], (1, 144)),
        ([20, 20, 20, 20], (1, 80)), ([130, 60], (1, 192)), ([30, 30, 30, 30, 30, 30], (6, 32)), ([100, 104, 110, 90], (4, 112)),
    ):
        [feed] = Packer(step=8).place(lengths)
        assert feed.shape == shape, lengths


def test_long_texts_go_apart_where_short_blocks_cost_less_than_one_long_one() -> None:
    assert [feed.shape for feed in Packer().place([300, 210])] == [(1, 304), (1, 224)]


def test_a_compiled_shape_is_taken_where_it_is_a_little_larger_and_only_there() -> None:
    for lengths, shape, compiled in (
        ([20] * 24, (6, 80), FULL), ([16, 24, 24] * 8, FULL, FULL),
        ([12, 18, 30] * 8, (10, 48), (10, 48)), ([20] * 12, (3, 80), (3, 80)),
    ):
        [plain], [cheaper] = Packer().place(lengths), Packer(compiled=FULL).place(lengths)
        assert [plain.shape, cheaper.shape] == [shape, compiled], lengths


def rows(feed: Placement) -> int:
    return feed.blocks * feed.size
