"""The `mlp` head: FastText's narrow hidden layer, with a bend, on the sentence vector.

Members trained from different draws are averaged, which is one head again with all their hidden units. Vectors are
standardised per dimension while training; that folds into the hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from head_service.training.heads.descent import MEMBERS, Floats, Form, Network, Plan, Weights, dropout, vector_inputs
from head_service.training.heads.material import Material, vector_matrix
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.trained import Model, Trained

HIDDEN = 64
INPUT_DROPOUT = 0.3
HIDDEN_DROPOUT = 0.3
PLANS = (Plan(rate=1e-3, epochs=10), Plan(rate=2e-3, epochs=20))


def fit(
    train: Material, validation: Material, classes: int, *, seed: int, multi_label: bool, advance: Callable[[int], None]
) -> Trained:
    """See kinds.Kind."""
    return Form(PLANS, network, folded).fit(vector_matrix(train), train, validation, classes, seed, advance)


def network(mean: Floats, deviation: Floats, classes: int) -> Network:
    tf = tensorflow()
    dimension = len(mean)
    center, width = tf.constant(mean, tf.float32), tf.constant(deviation, tf.float32)

    def initial(generator: np.random.Generator) -> Weights:
        spread = (2 / dimension) ** 0.5  # He et al. 2015
        return {
            "hidden": (generator.normal(size=(dimension, MEMBERS * HIDDEN)) * spread).astype(np.float32),
            "hidden_bias": np.zeros(MEMBERS * HIDDEN, np.float32),
            "kernel": np.zeros((MEMBERS, HIDDEN, classes), np.float32),
            "bias": np.zeros((MEMBERS, classes), np.float32),
        }

    def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any], noise: Any) -> Any:
        vectors = dropout((inputs["embedding"] - center) / width, INPUT_DROPOUT, noise)  # [B, D]
        hidden = tf.nn.relu(vectors @ weights["hidden"] + weights["hidden_bias"])
        hidden = dropout(hidden, HIDDEN_DROPOUT, None if noise is None else noise + 1)
        by_member = tf.reshape(hidden, [-1, MEMBERS, HIDDEN])
        return tf.einsum("bsh,shc->bsc", by_member, weights["kernel"]) + weights["bias"]

    return Network(initial, logits, vector_inputs)


def folded(weights: Weights, mean: Floats, deviation: Floats) -> Model:
    """The members as one head on raw vectors."""
    hidden = weights["hidden"] / deviation[:, None]
    folded_weights = {
        "hidden": hidden,
        "hidden_bias": weights["hidden_bias"] - mean @ hidden,
        "kernel": weights["kernel"].reshape(MEMBERS * HIDDEN, -1) / MEMBERS,
        "bias": weights["bias"].mean(0),
    }
    return Model(("embedding",), {name: array.astype(np.float32) for name, array in folded_weights.items()}, logits)


def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """embedding [B, D] -> [B, C]"""
    hidden = tensorflow().nn.relu(inputs["embedding"] @ weights["hidden"] + weights["hidden_bias"])
    return hidden @ weights["kernel"] + weights["bias"]
