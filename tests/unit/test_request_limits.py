"""What one request may hold, and the pieces in which its texts are tokenised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.serving.limits import Limits
from embedding_service.serving.tokenizing import pieces
from twohop.errors import InvalidInput, TooLarge, TwoHopError


@pytest.mark.parametrize(
    ("texts", "pairs", "kind", "said"),
    [
        ([], [], InvalidInput, "no texts"),
        (["a"] * 4, [], InvalidInput, "4 texts in one request; at most 3"),
        (["a", " \n"], [], InvalidInput, "text 1 is only white space"),
        (["a", ""], [], InvalidInput, "text 1 is empty"),
        (["a", "b"], ["c"], InvalidInput, "1 pairs for 2 texts"),
        (["é" * 600], [], TooLarge, "1200 bytes"),
        (["é" * 300], ["é" * 300], TooLarge, "1200 bytes"),
    ],
)
def test_what_is_above_a_limit_is_told_which(texts: list[str], pairs: list[str], kind: type[TwoHopError], said: str) -> None:
    with pytest.raises(kind, match=said):
        Limits(max_texts=3, max_request_bytes=1000).check_texts(texts, pairs)


def test_what_is_at_the_limits_is_taken() -> None:
    limits = Limits(max_texts=3, max_request_bytes=1000, max_response_bytes=10_000)
    limits.check_texts(["é" * 500], [])
    limits.check_texts(["a", "b", "c"], ["", "d", ""])
    limits.check_reply(9000, 3)
    with pytest.raises(TooLarge, match="10000"):
        limits.check_reply(9_900, 3)


@given(sizes=st.lists(st.integers(0, 300), max_size=50))
def test_texts_are_tokenised_in_pieces_that_cover_all_once(sizes: list[int]) -> None:
    found = list(pieces(sizes, 256))
    assert [index for piece in found for index in range(piece.start, piece.stop)] == list(range(len(sizes)))
    for piece in found:
        assert sum(sizes[piece]) <= 256 or piece.stop - piece.start == 1
