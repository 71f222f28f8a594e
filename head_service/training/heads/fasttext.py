"""The `fasttext` head: token vectors and bigrams of neighbouring tokens, averaged over the text, through a narrow hidden layer.

A frozen vector, unlike FastText's, cannot learn what it should say in an average: so each token, and each pair of neighbours,
first goes through the hidden layer and its bend, and the average is taken of that. Members trained from different draws are
averaged, which is one head again with all their hidden units. Tokens are standardised per dimension while training; that
folds into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from head_service.training.heads.descent import MEMBERS, Floats, Form, Network, Plan, Weights, dropout, token_inputs
from head_service.training.heads.material import Material, token_vectors
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.trained import Model, Trained

HIDDEN = 32  # of tokens, and as many of pairs
INPUT_DROPOUT = 0.1  # of dimensions, the same for all tokens of a text
HIDDEN_DROPOUT = 0.3
PLANS = (Plan(rate=1e-3, epochs=7), Plan(rate=2e-3, epochs=10))


def fit(
    train: Material, validation: Material, classes: int, *, seed: int, multi_label: bool, advance: Callable[[int], None]
) -> Trained:
    """See kinds.Kind."""
    return Form(PLANS, network, folded).fit(token_vectors(train).flat, train, validation, classes, seed, advance)


def network(mean: Floats, deviation: Floats, classes: int) -> Network:
    tf = tensorflow()
    dimension, units = len(mean), MEMBERS * HIDDEN
    center, width = tf.constant(mean, tf.float32), tf.constant(deviation, tf.float32)

    def initial(generator: np.random.Generator) -> Weights:
        spread = (2 / dimension) ** 0.5  # He et al. 2015
        return {
            # Of a token, of a pair's first, of its second.
            "hidden": (generator.normal(size=(dimension, 3 * units)) * spread).astype(np.float32),
            "hidden_bias": np.zeros(2 * units, np.float32),
            "kernel": np.zeros((2, MEMBERS, HIDDEN, classes), np.float32),
            "bias": np.zeros((MEMBERS, classes), np.float32),
        }

    def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any], noise: Any) -> Any:
        tokens = (inputs["tokens"] - center) / width  # [B, T, D]
        tokens *= dropout(tf.ones([tf.shape(tokens)[0], 1, dimension]), INPUT_DROPOUT, noise)
        hidden = averages(tokens, inputs["mask"], weights)  # [B, 2 * units]
        hidden = dropout(hidden, HIDDEN_DROPOUT, None if noise is None else noise + 1)
        by_member = tf.reshape(hidden, [-1, 2, MEMBERS, HIDDEN])
        return tf.einsum("bksh,kshc->bsc", by_member, weights["kernel"]) + weights["bias"]

    return Network(initial, logits, token_inputs)


def folded(weights: Weights, mean: Floats, deviation: Floats) -> Model:
    """The members as one head on raw tokens."""
    hidden = weights["hidden"] / deviation[:, None]
    of_token, of_first, of_second = np.split(mean @ hidden, 3)
    folded_weights = {
        "hidden": hidden,
        "hidden_bias": weights["hidden_bias"] - np.concatenate([of_token, of_first + of_second]),
        "kernel": weights["kernel"].reshape(2 * MEMBERS * HIDDEN, -1) / MEMBERS,
        "bias": weights["bias"].mean(0),
    }
    return Model(("tokens", "mask"), {name: array.astype(np.float32) for name, array in folded_weights.items()}, logits)


def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """tokens [B, T, D], mask [B, T] -> [B, C]"""
    return averages(inputs["tokens"], inputs["mask"], weights) @ weights["kernel"] + weights["bias"]


def averages(tokens: Any, mask: Any, weights: Mapping[str, Any]) -> Any:
    """[B, 2 * units]: the hidden units' averages over tokens, and over pairs of neighbours."""
    tf = tensorflow()
    dimension, columns = weights["hidden"].shape
    projected = tf.reshape(tf.reshape(tokens, [-1, dimension]) @ weights["hidden"], [-1, tf.shape(tokens)[1], columns])
    token, first, second = tf.split(projected, 3, axis=2)  # [B, T, units] each
    on_token, on_pair = tf.split(weights["hidden_bias"], 2)
    of_tokens = _average(tf.nn.relu(token + on_token), mask)
    of_pairs = _average(tf.nn.relu(first[:, :-1] + second[:, 1:] + on_pair), mask[:, :-1] * mask[:, 1:])
    return tf.concat([of_tokens, of_pairs], 1)


def _average(values: Any, mask: Any) -> Any:
    """[B, T, H] over those T that are there; zero without any."""
    tf = tensorflow()
    total = tf.matmul(mask[:, tf.newaxis], values)[:, 0]  # [B, H]
    return total / tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1)
