"""What int8 promises, on real weights and sentences: close to float32, alone as in a batch, labels that stay, and a service that
does not get ready where it is further off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoder_machinery import SHARED, cosines, described, loaded, workload

from embedding_service.model import loaded_encoders, numerics, openvino_engine, reference
from embedding_service.model.cores import multiplies_int8
from embedding_service.model.encoder import Encoders, Item, describe_encoders
from embedding_service.model.quantize import CALIBRATION_TEXTS
from loadtest.agreement import agreement, compare
from twohop.errors import Failed

needs_int8 = pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no int8 dot products")


def items_of(texts: list[str], encoder: int) -> list[Item]:
    return [(encoder, tokens.ids, tokens.types) for tokens in described()[encoder].encode_batch(texts)]


class Loaded:
    """minilm as the comparison wants it, out of encoders that are loaded already."""

    def __init__(self, precision: str) -> None:
        self._encoders = loaded(precision)

    def of(self, texts: list[str]) -> np.ndarray:
        return np.concatenate(self._encoders.run(items_of(texts, 0)).vectors)


@needs_int8
@pytest.mark.parametrize(("encoder", "least", "mean"), [(0, 0.997, 0.9992), (1, 0.995, 0.999), (2, 0.99, 0.998)])
def test_vectors_point_where_float32_points(encoder: int, least: float, mean: float) -> None:
    texts = workload()[::5]
    items = items_of(texts, encoder)
    pairs = zip(loaded("f32").run(items).vectors, loaded("int8").run(items).vectors, strict=True)
    found = np.array([cosines(a.reshape(1, -1), b.reshape(1, -1))[0] for a, b in pairs])
    assert loaded("int8").numerics == "openvino-int8"
    assert found.min() >= least
    assert mean <= found.mean() < 0.99999, "that exact, nothing was quantised"


@needs_int8
def test_a_text_has_the_same_vector_alone_and_inside_a_batch() -> None:
    items = items_of(workload()[:60], 0) + items_of(workload()[60:80], 2)
    together = loaded("int8").run(items).vectors
    for item, got in zip(items, together, strict=True):
        alone = loaded("int8").run([item]).vectors[0]
        assert cosines(got.reshape(1, -1), alone.reshape(1, -1)).min() >= 0.999


@needs_int8
@pytest.mark.parametrize("name", ["sst2", "clinc150"])
def test_labels_are_those_of_float32(name: str) -> None:
    """Of a part of each set; `python -m loadtest.agreement` takes all."""
    if not (SHARED / "data" / name).exists():
        pytest.skip("the labelled texts are not beside this checkout")
    for found in agreement(SHARED / "data" / name, Loaded("f32"), Loaded("int8"), most=500).values():  # type: ignore[arg-type]
        assert found.same_labels >= 0.98      # of 500 texts one label is 0.2 %: whole sets have 99.2 to 99.8 %
        assert abs(found.accuracy - found.accuracy_exact) <= 0.01


@needs_int8
def test_masked_classifier_and_pair_encoders_work_too(tmp_path: Path) -> None:
    models = ["minilm", "m=minilm:mask_special=yes,layers=3+5", "c=minilm:pooling=cls-pooled"]
    [tokens] = describe_encoders(["minilm"])[0].encode_batch(["how are you"], ["i am fine"])
    items: list[Item] = [(encoder, tokens.ids, tokens.types) for encoder in range(3)]
    exact, got = (Encoders.load(models, precision=precision).run(items).vectors for precision in ("f32", "int8"))
    for a, b in zip(exact, got, strict=True):
        assert cosines(a, b).min() >= 0.99


@needs_int8
def test_an_encoder_that_loses_more_than_the_tolerance_never_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = reference.hidden_states

    def otherwise(*arguments: object, **named: object) -> object:
        noise = np.random.default_rng(1)
        return {layer: states + noise.normal(scale=2 * states.std(0), size=states.shape).astype(np.float32)
                for layer, states in computed(*arguments, **named).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(loaded_encoders.reference, "hidden_states", otherwise)
    with pytest.raises(Failed, match=r"with openvino-int8: cosine 0\.\d+ .* needed 0\.995; use --precision bf16"):
        Encoders.load(["minilm"], precision="int8")


def test_without_int8_arithmetic_it_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "multiplies_int8", lambda: False)
    with pytest.raises(Failed, match=r"no int8 dot products .*use --precision auto"):
        Encoders.load(["minilm"], precision="int8")


def test_the_check_uses_other_texts_than_the_calibration() -> None:
    assert len(numerics.golden_texts("openvino-int8")) == 10
    assert not set(numerics.golden_texts("openvino-int8")) & set(CALIBRATION_TEXTS)


def test_agreement_counts_labels_and_measures_angles() -> None:
    exact, vectors = np.array([[1, 0], [0, 2], [1, 1]], np.float32), np.array([[2, 0], [0, 1], [1, 0]], np.float32)
    found = compare(exact, vectors, ["a", "b", "a"], ["a", "b", "b"], ["a", "a", "b"])
    assert found.texts == 3
    assert found.same_labels == pytest.approx(2 / 3)
    assert (found.accuracy_exact, found.accuracy) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert found.smallest_cosine == pytest.approx(0.5**0.5)
    assert found.mean_cosine == pytest.approx((2 + 0.5**0.5) / 3)
