"""What `head-service train` was asked for is what the served version does: kinds, several labels, abstaining, folds, auto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head_trainer import LABELS, Served, Trainer
from rule_services import RICH, TOKENS

from head_service.training.answering import Answering
from head_service.training.export import export
from head_service.training.heads.trained import Model
from twohop.wire import embedding_pb2

WEIGHTS = "variables/variables.data-00000-of-00001"


def manifest_of(said: dict[str, Any]) -> dict[str, Any]:
    return json.loads(Path(said["path"], "assets.extra/head.json").read_text("utf-8"))  # type: ignore[no-any-return]


def test_hybrid_reads_tokens_and_text_and_comes_out_byte_equal_again(trainer: Trainer) -> None:
    said = [trainer.document("--data", trainer.data(), "--kind", "hybrid") for _ in range(2)]
    assert [(each["encoder"]["name"], each["embedded"], each["reused"]) for each in said] == [
        ("tokens", 120, 0), ("tokens", 0, 120)
    ]  # fmt: skip
    assert Path(said[0]["path"], WEIGHTS).read_bytes() == Path(said[1]["path"], WEIGHTS).read_bytes()
    assert {request.dtype for request in trainer.hop_1.asked("Embed")} == {embedding_pb2.DTYPE_FLOAT16}
    served = Served(said[0]["path"])
    assert {"tokens", "mask"} <= set(served.signatures[TOKENS].inputs) <= {"tokens", "mask", "text"}
    assert said[0]["validation"]["accuracy"] > 0.9


def test_a_kind_takes_the_encoder_that_it_can_use(trainer: Trainer) -> None:
    said = trainer.document("--data", trainer.data(), "--kind", "fasttext")
    assert (said["kind"], said["encoder"]["name"]) == ("fasttext", "tokens")
    assert set(Served(said["path"]).signatures["serving_default"].inputs) == {"tokens", "mask"}


def test_a_kind_refuses_an_encoder_that_it_cannot_use(trainer: Trainer) -> None:
    error = trainer.error("--data", trainer.data(), "--kind", "attention", encoder="/rich")
    assert (error["type"], error["detail"]["fitting"]) == ("InvalidInput", ["tokens"])
    assert "encoders that fit: tokens" in error["message"]
    assert not trainer.hop_1.asked("Embed")


def test_auto_says_what_it_tried_what_it_took_and_why(trainer: Trainer) -> None:
    said = trainer.document("--data", trainer.data(rows=80), "--kind", "auto", "--minutes", "2")
    tried = said["auto"]["tried"]
    assert [(each["kind"], each["encoder"]) for each in tried][:2] == [("linear", "minilm"), ("linear", "rich")]
    assert {"attention", "hybrid"} <= {each["kind"] for each in tried}
    [winner] = [each for each in tried if (each["kind"], each["encoder"]) == (said["kind"], said["encoder"]["name"])]
    assert winner["accuracy"] == said["validation"]["accuracy"] > 0.9
    assert said["auto"]["runner_up"]["kind"] in said["auto"]["why"]
    assert manifest_of(said)["training"]["auto"] == said["auto"]


def test_several_labels_have_scores_of_their_own_and_thresholds_for_a_precision(trainer: Trainer) -> None:
    """Long texts are `long`, texts of several words `wordy`, both or none."""
    generator = np.random.default_rng(0)
    path = trainer.folder / "several.jsonl"
    lines = []
    for row in range(300):
        words, length = int(generator.integers(1, 9)), int(generator.integers(1, 9))
        labels = ["long"] * (length > 4) + ["wordy"] * (words > 4)
        lines.append(json.dumps({"text": " ".join(["x" * length] * words) + f" {row:03}", "label": labels}))
    path.write_text("\n".join(lines), "utf-8")
    said = trainer.document("--data", path, "--precision", "0.8", "--class-weights", "balanced", "--folds", "3")
    assert (said["labels"], said["rows"]) == (["long", "wordy"], {"train": 300, "validation": 300, "skipped": 0})
    assert said["thresholds"].keys() == {"long", "wordy"}
    assert said["validation"]["precision"] >= 0.8
    assert (said["training"]["multi_label"], said["training"]["folds"]) == (True, 3)
    texts = ["xxxxxxxx " * 8 + "001", "x 002", "x " * 8 + "003"]
    out = Served(said["path"]).run("serving_default", np.concatenate([trainer.hop_1.vectors("minilm", text) for text in texts]))
    assert np.round(out["scores"]).tolist() == [[1, 1], [0, 0], [0, 1]]
    assert [label.decode() for label in out["label"]][1:] == ["", "wordy"]


def test_a_head_abstains_below_its_thresholds(trainer: Trainer) -> None:
    path = trainer.folder / "lengths.tsv"
    generator = np.random.default_rng(1)
    texts = ["x" * int(length) for length in generator.integers(1, 41, 300)]
    labels = ["long" if generator.random() < 1 / (1 + np.exp(-(len(text) - 20) / 5)) else "short" for text in texts]
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in zip(texts, labels, strict=True)), "utf-8")
    said = trainer.document("--data", path, "--precision", "0.9", "--folds", "3", encoder="/rich")
    assert said["encoder"]["fingerprint"] == RICH
    assert 0 < said["validation"]["coverage"] < 1
    needed = min(said["thresholds"].values())
    out = Served(said["path"]).run(RICH, np.concatenate([trainer.hop_1.vectors("rich", text) for text in texts]))
    answered = out["label"] != b""
    assert 0 < answered.mean() < 1
    assert out["score"][answered].min() >= needed - 1e-6


def test_no_threshold_that_is_sure_enough_is_said(trainer: Trainer) -> None:
    path = trainer.folder / "noise.tsv"
    generator = np.random.default_rng(2)
    path.write_text("text\tlabel\n" + "".join(f"text {row}\t{generator.choice(LABELS)}\n" for row in range(60)), "utf-8")
    done = trainer.run("--data", path, "--precision", "0.95")
    assert done.returncode == 0, done.stderr
    assert "abstains from every text" in done.stderr
    assert "answers 0.0% of the validation rows" in done.stdout


def test_folds_and_validation_rows_of_their_own_exclude_each_other(trainer: Trainer) -> None:
    done = trainer.run("--data", trainer.data(), "--dev", trainer.data("dev.tsv", 30), "--folds", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leave --dev out" in done.stderr
    assert "too few for 50 folds" in trainer.error("--data", trainer.data(rows=40), "--folds", "50")["message"]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("sharpness", [1.0, 2.2])
def test_the_graph_sharpens_scores_as_validation_saw_them(tmp_path: Path, temperature: float, sharpness: float) -> None:
    logits = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32) * 3
    logits[0] = [4, 3.999, -9, -9, -9, -9]
    logits[1] = 0
    answering = Answering(temperature, np.full(6, 0.4, np.float32), sharpness=sharpness)
    weights = {"zero": np.zeros(6, np.float32)}
    model = Model(("embedding",), weights, lambda weights, inputs: inputs["embedding"] + weights["zero"])
    export(model, answering, list("abcdef"), "mood", RICH, 6, tmp_path / "1")
    out = Served(str(tmp_path / "1")).run(RICH, logits)
    expected = answering.scores(logits)
    np.testing.assert_allclose(out["scores"], expected, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(out["scores"].argmax(1)[2:], logits.argmax(1)[2:])
    sure = np.abs(out["score"] - 0.4) > 1e-4
    given = [b"" if best < 0 else b"abcdef"[best : best + 1] for best in answering.answers(expected)]
    assert list(out["label"][sure]) == list(np.array(given)[sure])
