"""What the engine promises about numbers, on real weights and real sentences: close to a float32 reference, and the same
for a text alone and inside any batch."""

from __future__ import annotations

import numpy as np
import pytest
from encoder_machinery import ENGINES, cosines, described, loaded, workload

from embedding_service.model import reference
from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.encoder import Encoders, Item, describe_encoders, find_encoder
from twohop.errors import Failed, InvalidInput, ModelError, NotFound

MINILM, RICH, TOKENS = 0, 1, 2


def has_bf16(engine: str) -> bool:
    try:
        loaded("bf16", engine)
    except Failed:
        return False
    return True


def items_of(texts: list[str], encoder: int) -> list[Item]:
    return [(encoder, tokens.ids, tokens.types) for tokens in described()[encoder].encode_batch(texts)]


def furthest(a: np.ndarray, b: np.ndarray) -> float:
    """The largest |difference|, in relation to values above 1: PyTorch multiplies few rows in another order than many."""
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


def sample() -> list[str]:
    """Every 25th sentence, and long ones up to the limit of 256 tokens."""
    texts = workload()
    joined = " ".join(texts)
    return texts[::25] + [joined[start : start + size] for start, size in ((0, 350), (500, 600), (2000, 900), (4000, 3000))]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def truth() -> list[dict[int, np.ndarray]]:
    checkpoint = Checkpoint.open(described()[0].spec.folder)
    return [reference.hidden_states(checkpoint, ids, (3, 4, 5, 6)) for _, ids, _ in items_of(sample(), MINILM)]


def expected(encoder: int, states: dict[int, np.ndarray]) -> np.ndarray:
    """The default encoders' vectors by formulas written out here."""
    if encoder == MINILM:
        mean = states[6].mean(0)
        return (mean / np.linalg.norm(mean))[None]
    return np.concatenate([states[layer].mean(0) for layer in (3, 4, 5, 6)])[None] if encoder == RICH else states[4]


@pytest.mark.parametrize("encoder", [MINILM, RICH, TOKENS])
def test_float32_vectors_agree_with_the_reference_to_one_hundred_thousandth(
    engine: str, encoder: int, truth: list[dict[int, np.ndarray]]
) -> None:
    for got, states in zip(loaded("f32", engine).run(items_of(sample(), encoder)).vectors, truth, strict=True):
        want = expected(encoder, states)
        assert got.shape == want.shape
        assert got.dtype == np.float32
        assert np.abs(got - want).max() <= 1e-5


@pytest.mark.parametrize("encoder", [MINILM, RICH, TOKENS])
def test_bfloat16_vectors_point_where_the_reference_points(engine: str, encoder: int, truth: list[dict[int, np.ndarray]]) -> None:
    if not has_bf16(engine):
        pytest.skip("this CPU has no bfloat16")
    for got, states in zip(loaded("bf16", engine).run(items_of(sample(), encoder)).vectors, truth, strict=True):
        assert cosines(got.reshape(1, -1), expected(encoder, states).reshape(1, -1)).min() >= 0.9995


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_text_has_the_same_vector_alone_and_inside_any_batch(engine: str, precision: str) -> None:
    if precision == "bf16" and not has_bf16(engine):
        pytest.skip("this CPU has no bfloat16")
    encoders, texts, random = loaded(precision, engine), sample(), np.random.default_rng(7)
    items = [items_of(texts, encoder) for encoder in (MINILM, RICH, TOKENS)]
    everything = [item for one in items for item in one]
    alone = [encoders.run([item]).vectors[0] for item in everything]
    for size in (2, 3, 7, 20, 60, len(everything)):
        chosen = random.permutation(len(everything))[:size]
        for number, got in zip(chosen, encoders.run([everything[number] for number in chosen]).vectors, strict=True):
            if precision == "f32":
                assert furthest(got, alone[number]) <= 5e-6
            else:
                assert cosines(got.reshape(1, -1), alone[number].reshape(1, -1)).min() >= 0.9999


def test_a_text_of_any_length_has_the_same_vector_on_the_whole_machine_and_on_a_stream(engine: str) -> None:
    """Alone, short ones run on models of fixed shape, in blocks of 16, 32 and 48 tokens."""
    encoders, random = loaded("f32", engine), np.random.default_rng(3)
    for length in (1, 2, 15, 16, 17, 32, 33, 47, 48, 49, 64, 65, 97, 256):
        item: Item = (RICH, random.integers(1000, 30000, length, np.int32), None)
        [alone], [beside] = encoders.run([item]).vectors, encoders.run([item], 0).vectors
        assert furthest(alone, beside) <= 5e-6, length


def test_a_text_has_the_same_vector_in_a_full_feed_on_a_stream(engine: str) -> None:
    """Eight blocks of 64 tokens have a model of their own there."""
    encoders, random = loaded("f32", engine), np.random.default_rng(3)
    items: list[Item] = [(RICH, random.integers(1000, 30000, length, np.int32), None) for length in (16, 24, 24) * 8]
    for item, got in zip(items, encoders.run(items, 0).vectors, strict=True):
        [alone] = encoders.run([item]).vectors
        assert furthest(alone, got) <= 5e-6


def test_token_encoders_give_a_row_per_token_and_a_text_without_word_pieces_its_special_tokens(engine: str) -> None:
    [ragged, nothing] = loaded("f32", engine).run(items_of(["a b c d", "\u200b"], TOKENS)).vectors
    assert ragged.shape == (6, 384)
    assert nothing.shape == (2, 384)


def test_pairs_are_told_apart_from_one_long_text(engine: str) -> None:
    encoder = described()[MINILM]
    [pair] = encoder.encode_batch(["how are you"], ["i am fine"])
    single = (MINILM, pair.ids, None)
    with_types, without = loaded("f32", engine).run([(MINILM, pair.ids, pair.types), single]).vectors
    checkpoint = Checkpoint.open(encoder.spec.folder)
    want = expected(MINILM, reference.hidden_states(checkpoint, pair.ids, (6,), types=pair.types))
    assert np.abs(with_types - want).max() <= 1e-5
    assert np.abs(with_types - without).max() > 1e-3


def test_an_impossible_item_is_refused_by_name_and_the_engine_answers_afterwards(engine: str) -> None:
    encoders, [good] = loaded("f32", engine), items_of(["still here"], MINILM)
    before = encoders.run([good]).vectors[0]
    for ids in (np.array([30522], np.int32), np.array([-1], np.int32), np.zeros(513, np.int32), np.zeros(0, np.int32)):
        with pytest.raises(ModelError, match="item 1"):
            encoders.run([good, (MINILM, ids, None)])
    with pytest.raises(ModelError, match="encoder 9"):
        encoders.run([(9, good[1], None)])
    assert np.array_equal(encoders.run([good]).vectors[0], before)


def test_a_caller_that_stops_half_way_leaves_the_engine_usable(engine: str) -> None:
    encoders, items = loaded("f32", engine), items_of(workload()[:200], MINILM)
    [engine] = encoders._engines.values()
    pack, _ = encoders._pack(items)
    parts = engine.run(pack)
    next(parts)
    parts.close()
    assert len(encoders.run(items).vectors) == len(items)


def test_encoders_are_found_by_name_or_alias_and_the_first_by_no_name() -> None:
    encoders = describe_encoders(["minilm", "short=minilm:max_length=9", "default=minilm"])
    assert find_encoder(encoders, "") is encoders[0]
    assert find_encoder(encoders, "default") is encoders[0]
    assert find_encoder(encoders, "short").max_length == 9
    with pytest.raises(NotFound, match="'other'; there are minilm, default, short"):
        find_encoder(encoders, "other")


def test_what_is_not_built_yet_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidInput, match="there is no --engine"):
        Encoders.load(precision="int4")
