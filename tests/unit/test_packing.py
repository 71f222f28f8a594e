"""Packing: every text exactly once, none across a block, no block overfull, and only shapes that were warmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.packing import BLOCK, FEED_TOKENS, place, shapes

LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=120)
SHORT = st.lists(st.integers(1, 64), min_size=1, max_size=120)
STEPS = st.sampled_from([8, 16])


@given(LENGTHS, STEPS)
def test_every_sequence_lies_in_exactly_one_feed(lengths: list[int], step: int) -> None:
    placed = [sequence for feed in place(lengths, step=step) for sequence in feed.sequences]
    assert sorted(placed) == list(range(len(lengths)))


@given(LENGTHS, STEPS)
def test_no_sequence_crosses_a_block_and_none_overlap(lengths: list[int], step: int) -> None:
    for feed in place(lengths, step=step):
        end_of_last = 0
        for sequence, start in zip(feed.sequences, feed.starts, strict=True):
            end = start + lengths[sequence]
            assert start >= end_of_last
            assert start // feed.size == (end - 1) // feed.size
            assert end <= feed.blocks * feed.size
            end_of_last = end


@given(LENGTHS, STEPS)
def test_feeds_stay_within_their_tokens_and_every_shape_is_a_warmed_one(lengths: list[int], step: int) -> None:
    warmed = set(shapes(512, step=step))
    for feed in place(lengths, step=step):
        assert feed.blocks * feed.size <= FEED_TOKENS
        assert (feed.blocks, feed.size) in warmed


@given(SHORT)
def test_best_fit_leaves_at_most_one_block_half_empty(lengths: list[int]) -> None:
    feeds = place(lengths)
    blocks = sum(feed.blocks for feed in feeds)
    assert blocks <= max(1, 2 * sum(lengths) // BLOCK + 1)


@given(LENGTHS)
def test_short_texts_are_shared_out_evenly_to_feeds(lengths: list[int]) -> None:
    blocks = [feed.blocks for feed in place(lengths) if feed.size <= BLOCK]
    assert not blocks or max(blocks) - min(blocks) <= 1


def test_one_short_text_gets_one_short_block() -> None:
    for length, size in ((1, 8), (8, 8), (9, 16), (20, 24), (64, 64), (65, 128), (130, 192)):
        [feed] = place([length])
        assert (feed.blocks, feed.size) == (1, size)


def test_a_few_texts_are_spread_evenly_over_shorter_blocks() -> None:
    [feed] = place([20, 20, 20, 20])
    assert (feed.blocks, feed.size) == (2, 40)


def test_a_short_text_fills_the_room_a_long_one_leaves() -> None:
    [feed] = place([130, 60])
    assert (feed.blocks, feed.size) == (1, 192)
