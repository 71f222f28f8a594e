"""Texts as hashed n-grams: words singly and in pairs, and 3 to 5 characters within a word and the blanks around it.

All in stock TensorFlow operations, and training uses the very code that is exported, so that the two cannot disagree. Texts are
lower-cased; blanks are ASCII's. Words are hashed by FarmHash64, which TensorFlow promises to keep, characters by a polynomial of
their code points. Bytes that are no UTF-8 count as the replacement character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from head_service.training.heads.runtime import tensorflow

LENGTHS = (3, 4, 5)  # of character n-grams
MULTIPLIER = 0x9E3779B97F4A7C15  # odd, and its bits look random: 2^64 divided by the golden ratio (Knuth)
WORD_HASHES = 2**62
BLANK = 32


class Grams(NamedTuple):
    """n-grams in the order of the texts. `buckets` int32 [G], below 2^bits; `owner` int64 [G], the number of the text."""

    buckets: Any
    owner: Any


def grams(text: Any, bits: int) -> tuple[Grams, Grams]:
    """Those of words and those of characters. text: string [B]."""
    lowered = tensorflow().strings.lower(text, encoding="utf-8")
    return _of_words(lowered, bits), _of_characters(lowered, bits)


def _of_words(lowered: Any, bits: int) -> Grams:
    tf = tensorflow()
    places, words, _ = tf.raw_ops.StringSplitV2(input=lowered, sep="")
    owner = places[:, 0]  # [W]
    single = tf.cast(tf.strings.to_hash_bucket_fast(words, WORD_HASHES), tf.uint64)
    pair = single * MULTIPLIER + _later(single, 1)
    exists = [tf.ones_like(owner, tf.bool), _later(owner, 1, -1) == owner]
    return _listed([_bucket(single, bits), _bucket(pair, bits)], exists, owner)


def _of_characters(lowered: Any, bits: int) -> Grams:
    """An n-gram is within one word if only its ends are blank; so none reaches from one text, which ends blank, into the next,
    which begins so."""
    tf = tensorflow()
    padded = tf.strings.join([" ", lowered, " "])
    starts, points = tf.raw_ops.UnicodeDecode(
        input=padded, input_encoding="UTF-8", errors="replace", replacement_char=0xFFFD, replace_control_characters=False
    )
    is_blank = (points == BLANK) | ((points >= 9) & (points <= 13))  # [M]
    points = tf.cast(tf.where(is_blank, BLANK, points), tf.uint64)
    owner = tf.searchsorted(starts[1:], tf.range(tf.size(points, tf.int64)), side="right")
    spelled, inside = points, True
    buckets, exists = [], []
    for length in range(2, LENGTHS[-1] + 1):
        spelled = spelled * MULTIPLIER + _later(points, length - 1)
        if length > 2:
            inside &= ~_later(is_blank, length - 2, True)
        if length in LENGTHS:
            exists.append(inside & ~_later(tf.zeros_like(is_blank), length - 1, True))
            buckets.append(_bucket(spelled, bits))
    return _listed(buckets, exists, tf.cast(owner, tf.int64))


def _listed(buckets: Sequence[Any], exists: Sequence[Any], owner: Any) -> Grams:
    """Those that exist of the n-grams of each sort, all [M]: by the place where they start."""
    tf = tensorflow()
    found = tf.where(tf.stack(exists, 1))  # [G, 2]: place, sort
    return Grams(tf.gather_nd(tf.stack(buckets, 1), found), tf.gather(owner, found[:, 0]))


def _later(values: Any, distance: int, filling: Any = 0) -> Any:
    """[M] -> [M]: of each place the value `distance` places on, beyond the end `filling`."""
    tf = tensorflow()
    return tf.concat([values, tf.fill([distance], tf.cast(filling, values.dtype))], 0)[distance:]


def _bucket(spelled: Any, bits: int) -> Any:
    """uint64 [M] -> int32 [M] below 2^bits: the upper bits of a product, which all bits below have reached."""
    tf = tensorflow()
    return tf.cast(tf.bitwise.right_shift(spelled * MULTIPLIER, tf.constant(64 - bits, tf.uint64)), tf.int32)
