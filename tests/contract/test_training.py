"""Training through the wire protocol of hop 1: the version that comes out is what the contract says, each time the same."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head_trainer import LABELS, Served, Trainer, tensorflow
from rule_services import POOLED, RICH, EmbeddingRules, HeadRules

from twohop.errors import InvalidInput, Unavailable
from twohop.wire import tfserving_pb2 as wire


@pytest.fixture(scope="module")
def trained(
    services: tuple[EmbeddingRules, HeadRules], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trainer, dict[str, Any], Served]:
    """A trainer, what it said of its first version, and that version."""
    services[0].reset()
    trainer = Trainer(services[0], tmp_path_factory.mktemp("trained"))
    said = trainer.document("--data", trainer.data())
    return trainer, said, Served(said["path"])


def test_train_says_what_the_contract_lists(trained: tuple[Trainer, dict[str, Any], Served]) -> None:
    trainer, said, _ = trained
    path = trainer.folder / "heads/mood/1"
    assert said == said | {
        "command": "train", "head": "mood", "version": 1, "path": str(path), "kind": "linear",
        "encoder": {"name": "minilm", "fingerprint": POOLED, "numerics": "rule-f32", "dimension": 4},
        "labels": sorted(LABELS), "rows": said["rows"], "embedded": 120, "reused": 0, "validation": said["validation"],
        "data_sha256": said["data_sha256"], "promoted": True, "seconds": said["seconds"],
    }  # fmt: skip
    assert said["rows"].keys() == {"train", "validation", "skipped"}
    assert sum(said["rows"].values()) == 120
    assert said["validation"]["accuracy"] > 0.9
    manifest = json.loads((path / "assets.extra/head.json").read_text("utf-8"))
    assert {key: manifest[key] for key in ("head", "version", "labels", "rows", "data_sha256")} == {
        key: said[key] for key in ("head", "version", "labels", "rows", "data_sha256")
    }


def test_vectors_are_embedded_once_in_bulk_and_with_the_fingerprint_expected(
    trained: tuple[Trainer, dict[str, Any], Served],
) -> None:
    trainer, _, _ = trained
    requests = trainer.hop_1.asked("Embed")
    assert requests
    assert {(request.priority, request.expect_fingerprint) for request in requests} == {(2, POOLED)}


@pytest.mark.parametrize("signature", ["serving_default", POOLED])
def test_both_signatures_give_label_score_scores_and_labels(
    trained: tuple[Trainer, dict[str, Any], Served], signature: str
) -> None:
    tf = tensorflow()
    trainer, _, served = trained
    assert {"serving_default", POOLED} <= set(served.signatures)
    [(name, tensor)] = served.signatures[signature].inputs.items()
    assert (name, tensor.dtype, [dim.size for dim in tensor.tensor_shape.dim]) == ("embedding", tf.float32, [-1, 4])
    vectors = np.concatenate([trainer.hop_1.vectors("minilm", text) for text in ("a xxx1", "we are all of four xx2")])
    for batch in (vectors, vectors[:1], vectors[:0]):
        out = served.run(signature, batch)
        assert {name for name, array in out.items() if array.dtype == np.float32} == {"score", "scores"}
        assert {name: array.shape for name, array in out.items()} == {
            "label": (len(batch),), "score": (len(batch),), "scores": (len(batch), 4), "labels": (len(batch), 4)
        }  # fmt: skip
        assert [[label.decode() for label in row] for row in out["labels"]] == [sorted(LABELS)] * len(batch)
        np.testing.assert_allclose(out["scores"].sum(1), 1, rtol=1e-6)
        np.testing.assert_array_equal(out["scores"].max(1), out["score"])
        assert list(out["label"]) == [sorted(LABELS)[best].encode() for best in out["scores"].argmax(1)]
    assert [label.decode() for label in served.run(signature, vectors)["label"]] == ["Ärger", "neutral"]


def test_the_graph_has_stock_operations_only_and_stays_small(trained: tuple[Trainer, dict[str, Any], Served]) -> None:
    tf = tensorflow()
    _, said, served = trained
    graph = served.meta_graph.graph_def
    operations = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    operations -= {function.signature.name for function in graph.library.function}
    assert all(hasattr(tf.raw_ops, name) for name in operations)
    assert sum(path.stat().st_size for path in Path(said["path"]).rglob("*") if path.is_file()) < 60_000


def test_warm_up_requests_are_readable_and_run(trained: tuple[Trainer, dict[str, Any], Served]) -> None:
    tf = tensorflow()
    _, said, served = trained
    records = tf.data.TFRecordDataset(str(Path(said["path"]) / "assets.extra/tf_serving_warmup_requests"))
    requests = [wire.PredictionLog.FromString(record.numpy()).predict_log.request for record in records]
    assert {request.model_spec.signature_name for request in requests} == {"serving_default", POOLED}
    for request in requests:
        proto = tf.make_tensor_proto(0.0)
        proto.ParseFromString(request.inputs["embedding"].SerializeToString())
        tensor = tf.make_ndarray(proto)
        assert tensor.shape[1] == 4
        assert served.run(request.model_spec.signature_name, tensor)["label"].shape == tensor.shape[:1]


def test_training_again_embeds_nothing_and_gives_the_same_weights(trained: tuple[Trainer, dict[str, Any], Served]) -> None:
    trainer, first, _ = trained
    again = trainer.document("--data", trainer.data())
    assert (again["version"], again["embedded"], again["reused"], again["promoted"]) == (2, 0, 120, False)
    weights = [Path(said["path"], "variables/variables.data-00000-of-00001").read_bytes() for said in (first, again)]
    assert weights[0] == weights[1]


def test_the_same_text_twice_is_embedded_once(trainer: Trainer) -> None:
    path = trainer.data()
    path.write_text(path.read_text("utf-8") + "\n" + path.read_text("utf-8").split("\n", 1)[1], "utf-8")
    said = trainer.document("--data", path, "--dev", trainer.data("dev.tsv", 30))
    assert said["rows"] == {"train": 240, "validation": 30, "skipped": 1}
    assert said["embedded"] + said["reused"] == 270
    assert said["embedded"] <= 150


def test_a_named_encoder_is_used_and_promote_makes_stable(trainer: Trainer) -> None:
    trainer.document("--data", trainer.data())
    said = trainer.document("--data", trainer.data(), "--promote", "--serve-root", "/models", encoder="/rich")
    assert (said["encoder"]["fingerprint"], said["version"], said["promoted"]) == (RICH, 2, True)
    config = (trainer.folder / "heads/models.config").read_text()
    assert 'base_path: "/models/mood"' in config
    assert "versions: 2" in config


def test_a_person_is_told_what_was_done_and_what_to_do_next(trainer: Trainer) -> None:
    done = trainer.run("--data", trainer.data(), "--dev", trainer.data("dev.tsv", 30))
    assert done.returncode == 0, done.stderr
    for part in ("120 for training, 30 for validation", "<- chosen", "head-service serve", "twohop classify", "mood/1"):
        assert part in done.stdout
    assert done.stderr == ""


def test_a_run_that_broke_off_goes_on_where_it_stopped(trainer: Trainer) -> None:
    data = trainer.data(rows=600)
    trainer.hop_1.delay_s = 0.3
    process = subprocess.Popen(trainer.argv("--data", data), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(trainer.hop_1.asked("Embed")) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr.strip()) == (1, "", "error: interrupted")
    assert not (trainer.folder / "heads/mood").exists()
    trainer.hop_1.reset()
    said = trainer.document("--data", data)
    assert 128 <= said["reused"] < 600
    assert said["embedded"] + said["reused"] == 600


def test_wrong_use_exits_2(trainer: Trainer) -> None:
    for arguments, says in (
        (["--data", trainer.data(), "--kind", "forest"], "is not one of"),
        (["--data", trainer.folder / "gone.tsv"], "does not exist"),
        (["--data", trainer.data(), "--serve-root", "models"], "absolute path"),
        (["--data", trainer.data(), "--flag"], "No such option"),
    ):
        done = trainer.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr


def test_what_cannot_be_trained_is_an_error_object_and_leaves_nothing(trainer: Trainer) -> None:
    one = trainer.folder / "one.tsv"
    one.write_text("text\tlabel\n" + "some text\tonly\n" * 20)
    assert "two labels" in trainer.error("--data", one)["message"]
    assert trainer.error("--data", trainer.data(), head="Bad Name")["type"] == "InvalidInput"
    assert "one vector per token" in trainer.error("--data", trainer.data(), encoder="/tokens")["message"]
    assert trainer.error("--data", trainer.data(), encoder="/gone")["type"] == "NotFound"
    trainer.hop_1.faults.extend([InvalidInput("text 3 is poison"), InvalidInput("text 3 is poison")])
    assert trainer.error("--data", trainer.data())["type"] == "InvalidInput"
    trainer.hop_1.reset()
    trainer.hop_1.always = Unavailable("starting")
    assert trainer.error("--data", trainer.data(), "--wait", "1")["type"] == "Unavailable"
    (trainer.folder / "file").touch()
    error = trainer.error("--data", trainer.data(), "--repository", trainer.folder / "file/below")
    assert (error["type"], "cannot write the repository" in error["message"]) == ("Failed", True)
    assert not list((trainer.folder / "heads").glob("*"))
