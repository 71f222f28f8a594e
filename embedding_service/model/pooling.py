"""How one text's hidden states become its vectors. Pure numpy, float32, one text at a time: the sum runs over the text's own
tokens in their order, so that batch mates cannot change a bit of it.

The formulas are bert-as-service's (`graph.py`, reference/bert-as-service.md section 4.5). m is 1 for every token that
counts; with `mask_special` it is 0 for [CLS] and each [SEP], in attention as well.
It runs on the host because it is cheap there (about 10 us a text, 1 % of the forward), exact in every precision of
the engine, and the same for all engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
# What bert-as-service subtracts from masked tokens before it takes the maximum.
FAR_BELOW = np.float32(1e30)


def pool(pooling: str, states: Sequence[Vectors], counted: NDArray[np.bool_] | None = None) -> Vectors:
    """`states`: hidden states [T, D] of each wanted layer, concatenated in the order given; `counted` bool [T], None = all.

    Returns [1, D * layers] (mean-max: twice that, mean first), or for `none` [T, D * layers] with zeros where not counted.
    A text of which no token counts has the mean 0 and the maximum -1e30, as in bert-as-service.
    """
    if pooling == "none":
        rows = np.concatenate(states, axis=1)
        return rows if counted is None else rows * counted[:, None].astype(np.float32)
    if pooling == "cls":
        return np.concatenate([layer[:1] for layer in states], axis=1)
    if pooling == "sep":
        # With mask_special this is the last word piece but one place early: bert-as-service counts, it does not search.
        last = len(states[0]) - 1 if counted is None else max(0, int(counted.sum()) - 1)
        return np.concatenate([layer[last : last + 1] for layer in states], axis=1)
    chosen = states if counted is None else [layer[counted] for layer in states]
    if pooling == "mean":
        return np.concatenate([_mean(layer) for layer in chosen], axis=1)
    if pooling == "max":
        return np.concatenate([_max(layer) for layer in chosen], axis=1)
    if pooling == "mean-max":
        return np.concatenate([_mean(layer) for layer in chosen] + [_max(layer) for layer in chosen], axis=1)
    raise ValueError(f"unknown pooling {pooling!r}")


def pool_classifier(states: Vectors, weight: Vectors, bias: Vectors) -> Vectors:
    """cls-pooled: tanh(W h + b) of the last layer's first token. weight [D, D] as [out, in]; returns [1, D]."""
    pooled: Vectors = np.tanh(states[:1] @ weight.T + bias)
    return pooled


def normalized(each: Sequence[Vectors]) -> list[Vectors]:
    """Arrays [n, D] of one D: each row of length 1; a row of zeros stays zero."""
    rows: Vectors = np.concatenate(each)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    scaled: Vectors = rows / np.maximum(norms, np.float32(1e-12))
    ends = list(accumulate(map(len, each), initial=0))
    return [scaled[start:end] for start, end in pairwise(ends)]


def counted_tokens(length: int, types: NDArray[np.int32] | None) -> NDArray[np.bool_]:
    """bool [length]: all but the special tokens of `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]` (b has type 1), or of
    `<s> a </s></s> b </s>` (type 1 for the first </s> in the middle, 0 for the second; Tokenizer)."""
    counted = np.ones(length, np.bool_)
    counted[[0, -1]] = False
    if types is not None:
        middle = int(np.flatnonzero(types == 0)[-1])
        counted[middle] = False
        counted[:middle] &= types[:middle] == 0
    return counted


def _mean(rows: Vectors) -> Vectors:
    mean: Vectors = rows.sum(axis=0, keepdims=True) / np.float32(len(rows) + 1e-10)
    return mean


def _max(rows: Vectors) -> Vectors:
    if len(rows) == 0:
        return np.full((1, rows.shape[1]), -FAR_BELOW, np.float32)
    highest: Vectors = rows.max(axis=0, keepdims=True)
    return highest
