"""The `attention` head: a few learned queries look over the token vectors, beside their mean; one linear layer on that.

score = softmax over tokens of (token @ query); each query's weighted average of the tokens, and the plain average (a query of
zeros), side by side into the linear layer. Members trained from different draws are averaged, which is one head again with
all their queries. Tokens are standardised per dimension while training; that folds into queries, kernel and bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from head_service.training.heads.descent import MEMBERS, Floats, Form, Network, Plan, Weights, dropout, token_inputs
from head_service.training.heads.material import Material, token_vectors
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.trained import Model, Trained

QUERIES = 4
INPUT_DROPOUT = 0.1  # of dimensions, the same for all tokens of a text
ATTENDED_DROPOUT = 0.5
HIDDEN_SCORE = -1e9
PLANS = (Plan(rate=1e-3, epochs=7), Plan(rate=2e-3, epochs=10))


def fit(
    train: Material, validation: Material, classes: int, *, seed: int, multi_label: bool, advance: Callable[[int], None]
) -> Trained:
    """See kinds.Kind."""
    return Form(PLANS, network, folded).fit(token_vectors(train).flat, train, validation, classes, seed, advance)


def network(mean: Floats, deviation: Floats, classes: int) -> Network:
    tf = tensorflow()
    dimension = len(mean)
    center, width = tf.constant(mean, tf.float32), tf.constant(deviation, tf.float32)

    def initial(generator: np.random.Generator) -> Weights:
        bound = dimension**-0.5
        return {
            "queries": generator.uniform(-bound, bound, (MEMBERS, QUERIES, dimension)).astype(np.float32),
            "kernel": np.zeros((MEMBERS, (QUERIES + 1) * dimension, classes), np.float32),
            "bias": np.zeros((MEMBERS, classes), np.float32),
        }

    def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any], noise: Any) -> Any:
        mask = inputs["mask"]  # [B, T]
        tokens = (inputs["tokens"] - center) / width * mask[..., tf.newaxis]  # [B, T, D]
        batch = tf.shape(tokens)[0]
        # Dimensions are dropped where tokens meet queries and where they come out: cheaper than copies of the tokens.
        kept = dropout(tf.ones([batch, MEMBERS, 1, dimension]), INPUT_DROPOUT, noise)
        queries = tf.reshape(weights["queries"] * kept, [batch, MEMBERS * QUERIES, dimension])
        scores = tf.matmul(queries, tokens, transpose_b=True)  # [B, S * Q, T]
        look = tf.nn.softmax(scores + (1 - mask[:, tf.newaxis]) * HIDDEN_SCORE)
        attended = tf.reshape(tf.matmul(look, tokens), [batch, MEMBERS, QUERIES, dimension])
        average = tf.reduce_sum(tokens, 1) / tf.maximum(tf.reduce_sum(mask, 1, keepdims=True), 1)  # [B, D]
        attended = dropout(attended * kept, ATTENDED_DROPOUT, None if noise is None else noise + 1)
        average = average[:, tf.newaxis, tf.newaxis] * kept  # [B, S, 1, D]
        features = tf.reshape(tf.concat([attended, average], 2), [batch, MEMBERS, (QUERIES + 1) * dimension])
        return tf.einsum("bsf,sfc->bsc", features, weights["kernel"]) + weights["bias"]

    return Network(initial, logits, token_inputs)


def folded(weights: Weights, mean: Floats, deviation: Floats) -> Model:
    """The members as one head on raw tokens."""
    members, _, dimension = weights["queries"].shape
    classes = weights["kernel"].shape[2]
    kernel = weights["kernel"].astype(np.float64).reshape(members, QUERIES + 1, dimension, classes) / members
    queries = (weights["queries"] / deviation).reshape(members * QUERIES, dimension)
    on_attended = kernel[:, :QUERIES].reshape(members * QUERIES, dimension, classes)
    parts = np.concatenate([on_attended, kernel[:, QUERIES:].sum(0)]) / deviation[:, None]  # [S * Q + 1, D, C]
    bias = weights["bias"].mean(0) - np.einsum("d,qdc->c", mean, parts)
    return Model(
        ("tokens", "mask"),
        {
            "queries": np.concatenate([queries, np.zeros((1, dimension))]).astype(np.float32),
            "kernel": parts.reshape(-1, classes).astype(np.float32),
            "bias": bias.astype(np.float32),
        },
        logits,
    )


def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """tokens [B, T, D], mask [B, T] -> [B, C]"""
    tf = tensorflow()
    tokens, mask = inputs["tokens"], inputs["mask"]
    scores = tf.matmul(weights["queries"], tokens, transpose_b=True)  # [B, Q, T]
    look = tf.nn.softmax(scores + (mask[:, tf.newaxis] - 1) * -HIDDEN_SCORE)
    attended = tf.matmul(look, tokens)  # [B, Q, D]
    features = tf.reshape(attended, [-1, weights["kernel"].shape[0]])
    return features @ weights["kernel"] + weights["bias"]
