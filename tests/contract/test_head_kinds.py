"""Every kind of head, from labelled rows to a version that serves: what is exported computes what it should, whoever sends it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from head_baselines import BASELINES, ngram_logits, plain_counts
from model_server_process import ModelServer

from head_service.training.answering import Answering
from head_service.training.heads import descent, ngram_regression
from head_service.training.heads.kinds import KINDS
from head_service.training.heads.material import Material, Tokens
from head_service.training.heads.portion import STEPS
from head_service.training.heads.runtime import tensorflow
from head_service.training.heads.shared import Shared
from head_service.training.heads.trained import Trained
from twohop.heads import HeadClient

D, C = 8, 3
LABELS = ["a", "b", "c"]
FINGERPRINT = "enc-0123456789ab"
ANSWERING = Answering(temperature=1.5)
# Name, and what it is trained on: hybrid takes tokens where there are any.
CASES = {
    "linear": ("linear", "vectors"), "mlp": ("mlp", "vectors"), "fasttext": ("fasttext", "tokens"),
    "attention": ("attention", "tokens"), "hybrid": ("hybrid", "tokens"), "hybrid-of-vectors": ("hybrid", "vectors"),
}  # fmt: skip
ODD_TEXTS = [
    "", " ", "\t\n ", "a", "ab", "Zwei Wörter", "  blanks   between\tand\x0baround \r\n", "İSTANBUL ΣΑΣ ß ŸÆ", "日本語 と 한국어",
    "👩‍👩‍👧 e\u0301 \u200b\ufeff\u3000\u00a0x", "nul\x00inside", "\U0010ffff\ue000", "x" * 5000, "word " * 3000,
]  # fmt: skip


def rows(count: int, seed: int, multi_label: bool = False, wants: str = "both") -> Material:
    """Rows whose class shows in the vectors of all tokens a little, and in a word of the text now and then."""
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, C, count)
    lengths = generator.integers(1, 7, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = generator.normal(3, 1, size=(offsets[-1], D)) * np.linspace(0.1, 5, D)
    flat[np.arange(offsets[-1]), np.repeat(kinds, lengths)] += 1
    vectors = np.add.reduceat(flat, offsets[:-1]) / lengths[:, None]
    words = [f"sign{kind}" if generator.random() < 0.5 else "nothing" for kind in kinds]
    return Material(
        [f"{word} in row {row}" for row, word in enumerate(words)],
        np.eye(C, dtype=np.float32)[kinds] if multi_label else kinds,
        np.ones(count, np.float32),
        vectors.astype(np.float32) if wants != "tokens" else None,
        Tokens(flat.astype(np.float16), offsets) if wants != "vectors" else None,
    )


def fit(case: str, multi_label: bool = False, weights: Callable[[Material], np.ndarray] | None = None) -> Trained:
    kind, wants = CASES[case]
    train, validation = rows(160, 1, multi_label, wants), rows(60, 2, multi_label, wants)
    if weights is not None:
        train = dataclasses.replace(train, weights=weights(train))
    return KINDS[kind].fit(train, validation, C, seed=3, multi_label=multi_label, advance=lambda steps: None)


class Version:
    """A head on disk, run as TF-Serving runs it: in a TF1 session."""

    def __init__(self, folder: Path, trained: Trained, answering: Answering) -> None:
        from head_service.training.export import export

        self.folder, self.trained, self.answering = folder, trained, answering
        export(trained.model, answering, LABELS, folder.parent.name, FINGERPRINT, D, folder)
        v1 = tensorflow().compat.v1
        graph = tensorflow().Graph()
        self.session = v1.Session(graph=graph)
        with graph.as_default():
            self.meta_graph = v1.saved_model.loader.load(self.session, ["serve"], str(folder))
        self.signature = self.meta_graph.signature_def[FINGERPRINT]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert inputs.keys() == self.signature.inputs.keys()
        feeds = {self.signature.inputs[name].name: value for name, value in inputs.items()}
        return self.session.run({name: out.name for name, out in self.signature.outputs.items()}, feeds)  # type: ignore[no-any-return]

    def of(self, material: Material, some: list[int], padding: int = 0) -> dict[str, np.ndarray]:
        return self.run(inputs(self.trained.model.inputs, material, some, padding))


def inputs(names: tuple[str, ...], material: Material, some: list[int], padding: int = 0) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    if "embedding" in names:
        found["embedding"] = material.vectors[np.array(some)]  # type: ignore[index]
    if "tokens" in names:
        tokens, mask = material.tokens.padded(np.array(some))  # type: ignore[union-attr]
        found["tokens"] = np.pad(tokens, [(0, 0), (0, padding), (0, 0)], constant_values=9)
        found["mask"] = np.pad(mask, [(0, 0), (0, padding)])
    if "text" in names:
        found["text"] = np.array([material.texts[row].encode() for row in some], object)
    return found


@dataclass(frozen=True)
class Heads:
    versions: dict[tuple[str, bool], Version]

    def __getitem__(self, case: tuple[str, bool]) -> Version:
        return self.versions[case]


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descent, "FEWEST_STEPS", 45)
        yield


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    folder = tmp_path_factory.mktemp("heads")
    return Heads({
        (case, multi_label): Version(
            folder / f"{case}-{'several' if multi_label else 'one'}" / "1",
            fit(case, multi_label),
            dataclasses.replace(ANSWERING, multi_label=multi_label),
        )
        for case in CASES for multi_label in (False, True)
    })  # fmt: skip


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_head_says_more_than_chance_and_its_validation_logits_are_of_rows_that_it_did_not_see(heads: Heads, case: str) -> None:
    version, unseen = heads[case, False], rows(300, 9)
    said = version.of(unseen, list(range(300)))
    accuracy = np.mean(said["scores"].argmax(1) == unseen.targets)
    assert accuracy > 0.5
    on_validation = np.mean(version.trained.validation.argmax(1) == rows(60, 2).targets)
    assert abs(accuracy - on_validation) < 0.2


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_graph_computes_what_the_weights_say(heads: Heads, case: str, multi_label: bool) -> None:
    version, material = heads[case, multi_label], rows(20, 5)
    said = version.of(material, list(range(20)))
    given = inputs(version.trained.model.inputs, material, list(range(20)))
    logits = BASELINES[CASES[case][0]](version.trained.model.weights, given)
    if "text" in given:
        logits = logits + ngram_logits(version.trained.model.weights["ngrams"], given["text"], C)
    scores = version.answering.scores(logits)
    np.testing.assert_allclose(said["scores"], scores, rtol=1e-3, atol=1e-6)  # n-grams: half precision
    answers = version.answering.answers(said["scores"])
    assert [label.decode() for label in said["label"]] == [LABELS[answer] if answer >= 0 else "" for answer in answers]


def test_neither_padding_nor_batch_mates_change_an_answer(heads: Heads, case: str) -> None:
    version, material = heads[case, False], rows(40, 6)
    together = version.of(material, list(range(40)), padding=9)["scores"]
    for row in range(40):
        np.testing.assert_allclose(version.of(material, [row])["scores"][0], together[row], rtol=1e-4, atol=1e-6)


def test_no_text_gives_no_answer(heads: Heads, case: str) -> None:
    version = heads[case, False]
    given = {name: array[:0] for name, array in inputs(version.trained.model.inputs, rows(2, 6), [0, 1]).items()}
    assert version.run(given)["scores"].shape == (0, C)


def test_the_same_rows_and_seed_give_the_same_file_of_weights(heads: Heads, case: str, tmp_path: Path) -> None:
    again = Version(tmp_path / "again" / "1", fit(case), ANSWERING)
    files = [version.folder / "variables/variables.data-00000-of-00001" for version in (heads[case, False], again)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_rows_that_weigh_more_pull_answers_to_their_class(case: str, heads: Heads) -> None:
    def heavy(material: Material) -> np.ndarray:
        weights = np.where(material.targets == 0, 20, 1).astype(np.float32)
        return weights / weights.mean()  # type: ignore[no-any-return]

    def mean_logits(trained: Trained) -> np.ndarray:
        return np.asarray(trained.validation - trained.validation.mean(1, keepdims=True)).mean(0)

    assert mean_logits(fit(case, weights=heavy))[0] > mean_logits(heads[case, False].trained)[0] + 0.1


def test_a_head_has_stock_operations_only(heads: Heads, case: str) -> None:
    graph = heads[case, False].meta_graph.graph_def
    operations = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    operations -= {function.signature.name for function in graph.library.function}
    assert {name for name in operations if not hasattr(tensorflow().raw_ops, name)} == set()
    # Neither Python nor tables of strings: what TF-Serving, and TensorFlow on other machines, are built with.
    assert not operations & {"PyFunc", "EagerPyFunc", "HashTableV2", "XlaLaunch"}


@pytest.mark.parametrize("case", ["hybrid", "hybrid-of-vectors"])
def test_n_grams_that_bring_nothing_are_left_out_and_text_is_not_asked_for(case: str) -> None:
    wants = CASES[case][1]
    train, validation = (dataclasses.replace(rows(n, n, wants=wants), texts=["always the same"] * n) for n in (160, 60))
    trained = KINDS["hybrid"].fit(train, validation, C, seed=0, multi_label=False, advance=lambda steps: None)
    assert trained.settings["ngram_share"] == 0
    assert "text" not in trained.model.inputs


@pytest.mark.parametrize(("case", "basis"), [("hybrid", "attention"), ("hybrid-of-vectors", "linear")])
def test_a_hybrid_of_what_was_fitted_before_is_the_one_fitted_alone(heads: Heads, case: str, basis: str) -> None:
    wants = CASES[case][1]
    shared, told = Shared(), list[int]()
    for kind in (basis, "hybrid"):
        train, validation = rows(160, 1, wants=wants), rows(60, 2, wants=wants)
        told.clear()
        trained = KINDS[kind].fit(
            train, validation, C, seed=3, multi_label=False, advance=told.append, shared=shared
        )
    assert sum(told) == STEPS
    alone = heads[case, False].trained
    assert trained.settings == alone.settings
    assert {name: array.tobytes() for name, array in trained.model.weights.items()} == {
        name: array.tobytes() for name, array in alone.model.weights.items()
    }


def test_progress_ends_at_the_steps_promised(case: str) -> None:
    kind, wants = CASES[case]
    told: list[int] = []
    KINDS[kind].fit(rows(30, 1, wants=wants), rows(12, 2, wants=wants), C, seed=0, multi_label=False, advance=told.append)
    assert sum(told) == STEPS
    assert min(told) >= 0


def test_n_grams_of_odd_texts_are_those_of_a_plain_reading_one_by_one_and_together() -> None:
    for bits in (11, 17):
        together = ngram_regression.counts(ODD_TEXTS, bits).toarray()
        for row, text in enumerate(ODD_TEXTS):
            np.testing.assert_array_equal(ngram_regression.counts([text], bits).toarray()[0], together[row])
            np.testing.assert_allclose(together[row], plain_counts(text, bits), rtol=1e-6)


def test_the_exported_graph_sees_the_n_grams_that_training_saw(heads: Heads) -> None:
    version = heads["hybrid-of-vectors", False]
    assert "text" in version.trained.model.inputs, "the signs in the texts should have been worth having"
    weights = dict(version.trained.model.weights)
    table = weights["ngrams"].astype(np.float32)
    vectors = np.zeros((len(ODD_TEXTS), D), np.float32)
    said = version.run({"embedding": vectors, "text": np.array([text.encode() for text in ODD_TEXTS], object)})
    differences = ngram_regression.counts(ODD_TEXTS, (len(table) // 2).bit_length() - 1) @ table
    logits = np.pad(differences, [(0, 0), (1, 0)]) + weights["bias"]
    np.testing.assert_allclose(said["scores"], ANSWERING.scores(logits), rtol=1e-3)


def test_bytes_that_are_no_utf_8_are_answered_too(heads: Heads) -> None:
    said = heads["hybrid-of-vectors", False].run(
        {"embedding": np.zeros((2, D), np.float32), "text": np.array([b"\xff\xfe", b"\xc3("], object)}
    )
    assert np.isfinite(said["scores"]).all()


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_graph_abstains_as_thresholds_say(heads: Heads, tmp_path: Path, multi_label: bool) -> None:
    scores = heads["linear", multi_label].of(rows(300, 7), list(range(300)))["scores"]
    answering = dataclasses.replace(ANSWERING, thresholds=np.quantile(scores, 0.8, axis=0), multi_label=multi_label)
    version = Version(tmp_path / "strict" / "1", heads["linear", multi_label].trained, answering)
    said = version.of(rows(300, 7), list(range(300)))
    answers = answering.answers(said["scores"])
    assert {-1, 0, 1, 2} == set(answers.tolist())
    assert [label.decode() for label in said["label"]] == [LABELS[answer] if answer >= 0 else "" for answer in answers]
    chosen = np.where(answers >= 0, answers, said["scores"].argmax(1))
    np.testing.assert_array_equal(said["score"], said["scores"][np.arange(300), chosen])


@pytest.fixture(scope="module")
def server(heads: Heads, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("served")
    listed = "".join(
        f'config {{ name: "{v.folder.parent.name}" base_path: "{v.folder.parent}" model_platform: "tensorflow" }}\n'
        for v in heads.versions.values()
    )
    (folder / "models.config").write_text(f"model_config_list {{\n{listed}}}\n")
    process = ModelServer(folder, f"--model_config_file={folder / 'models.config'}")
    yield process.ready()
    process.stop()


@pytest.mark.parametrize("multi_label", [False, True])
def test_every_kind_serves_and_answers_as_it_did_in_training(
    heads: Heads, server: ModelServer, case: str, multi_label: bool
) -> None:
    version, material = heads[case, multi_label], rows(5, 8)
    given = inputs(version.trained.model.inputs, material, list(range(5)))
    with HeadClient(f"127.0.0.1:{server.port}") as client:
        served = client.predict(version.folder.parent.name, given, fingerprint=FINGERPRINT, all_scores=True)
    expected = version.run(given)
    assert [answer.label or "" for answer in served] == [label.decode() for label in expected["label"]]
    for answer, scores in zip(served, expected["scores"], strict=True):
        assert answer.scores is not None
        np.testing.assert_allclose([answer.scores[label] for label in LABELS], scores, rtol=1e-5)


def test_warm_up_ran_for_every_kind(server: ModelServer) -> None:
    assert "Failed to" not in server.log
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") is not None
