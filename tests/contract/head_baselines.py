"""What each kind of head computes, in numpy; and the n-grams of a text, read character by character."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from head_service.training.heads.runtime import tensorflow


def linear_baseline(weights: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> np.ndarray:
    return given["embedding"] @ weights["kernel"] + weights["bias"]  # type: ignore[no-any-return]


def mlp_baseline(weights: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> np.ndarray:
    hidden = np.maximum(given["embedding"] @ weights["hidden"] + weights["hidden_bias"], 0)
    return hidden @ weights["kernel"] + weights["bias"]  # type: ignore[no-any-return]


def fasttext_baseline(weights: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> np.ndarray:
    on_token, on_first, on_second = np.split(weights["hidden"], 3, axis=1)
    token_bias, pair_bias = np.split(weights["hidden_bias"], 2)
    features = []
    for text, mask in zip(given["tokens"], given["mask"], strict=True):
        tokens = text[mask > 0]
        singles = np.maximum(tokens @ on_token + token_bias, 0).mean(0)
        pairs = np.maximum(tokens[:-1] @ on_first + tokens[1:] @ on_second + pair_bias, 0)
        features.append(np.concatenate([singles, pairs.mean(0) if len(pairs) else np.zeros_like(singles)]))
    return np.array(features) @ weights["kernel"] + weights["bias"]


def attention_baseline(weights: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> np.ndarray:
    features = []
    for text, mask in zip(given["tokens"], given["mask"], strict=True):
        tokens = text[mask > 0]
        looks = np.exp(tokens @ weights["queries"].T - (tokens @ weights["queries"].T).max(0))  # [T, Q]
        looks /= looks.sum(0)
        assert np.allclose(looks[:, -1], 1 / len(tokens)), "the last query is the mean"
        features.append((looks.T @ tokens).ravel())
    return np.array(features) @ weights["kernel"] + weights["bias"]


def hybrid_baseline(weights: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> np.ndarray:
    basis = attention_baseline if "tokens" in given else linear_baseline
    return basis(weights, given)


BASELINES = {
    "linear": linear_baseline, "mlp": mlp_baseline, "fasttext": fasttext_baseline, "attention": attention_baseline,
    "hybrid": hybrid_baseline,
}  # fmt: skip


def ngram_logits(table: np.ndarray, texts: np.ndarray, classes: int) -> np.ndarray:
    bits = (len(table) // 2).bit_length() - 1
    logits = np.array([plain_counts(text.decode(), bits) for text in texts]) @ table.astype(np.float32)
    return np.pad(logits, [(0, 0), (classes - logits.shape[1], 0)])


MULTIPLIER, WRAP = 0x9E3779B97F4A7C15, 2**64


def plain_counts(text: str, bits: int) -> np.ndarray:
    """The n-grams of a text as ngrams.py defines them, read character by character."""
    tf = tensorflow()
    lowered = tf.strings.lower(text, encoding="utf-8").numpy().decode()
    words = tf.strings.to_hash_bucket_fast(tf.constant(lowered.encode().split(), tf.string), 2**62).numpy().tolist()
    of_words = words + [first * MULTIPLIER + second for first, second in pairwise(words)]
    of_characters = []
    for word in lowered.encode().split():
        points = [32, *map(ord, word.decode()), 32]
        for length in (3, 4, 5):
            for start in range(len(points) - length + 1):
                spelled = 0
                for point in points[start : start + length]:
                    spelled = spelled * MULTIPLIER + point
                of_characters.append(spelled)
    halves = []
    for spellings in (of_words, of_characters):
        half = np.zeros(2**bits)
        for spelled in spellings:
            half[spelled * MULTIPLIER % WRAP >> (64 - bits)] += 1
        halves.append(half / np.sqrt(max(1, len(spellings))))
    return np.concatenate(halves)
