"""A text becomes a label in two hops, by the commands and processes that people use."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from services import EmbeddingProcess, until

from deploy.ports import free_ports
from twohop import EmbeddingClient, EncoderMismatch, HeadClient, NotFound, TwoHop
from twohop.tensors import to_proto
from twohop.wire import tfserving_pb2 as wire

BIN = Path(sys.executable).parent
SAMPLES = Path(__file__).parents[2] / "head_service" / "samples"
TEXTS = ["What a lovely stay, we will come back!", "I want my money back, this was awful."]


def command(*arguments: object) -> Any:
    """The JSON document that a command of ours prints."""
    argv = [BIN / str(arguments[0]), *map(str, arguments[1:]), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Hops:
    """Both hops and a gateway, and the repository between training and serving."""

    def __init__(self, encoder: str, repository: Path, logs: Path) -> None:
        self.encoder = encoder
        self.repository = repository
        self.heads, self.gateway = (f"127.0.0.1:{port}" for port in free_ports(2))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs = logs

    def start(self, *arguments: object) -> None:
        argv = [BIN / "head-service", *map(str, arguments)]
        with (self._logs / f"{len(self._processes)}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(argv, stdout=log, stderr=log))

    def stop(self) -> list[int]:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(60) for process in self._processes]

    def train(self, head: str, data: str, encoder: str, *more: object) -> Any:
        return command(
            "head-service", "train", "--data", SAMPLES / f"{data}.train.tsv", "--dev", SAMPLES / f"{data}.dev.tsv",
            "--head", head, "--encoder", f"{self.encoder}/{encoder}", "--repository", self.repository,
            "--vectors", self.repository.parent / "vectors", *more,
        )  # fmt: skip

    def move(self, how: str, *more: object) -> Any:
        return command("head-service", how, "--repository", self.repository, "--head", "mood", *more)


@pytest.fixture(scope="module")
def hops(embedding_service: EmbeddingProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hops]:
    folder = tmp_path_factory.mktemp("two-hops")
    hops = Hops(embedding_service.address, folder / "heads", folder)
    assert hops.train("mood", "sentiment", "minilm")["promoted"]
    assert hops.train("subject", "topic", "rich")["promoted"]
    grpc_port, http_port = hops.heads.rpartition(":")[2], hops.gateway.rpartition(":")[2]
    hops.start("serve", f"--repository={hops.repository}", f"--port={grpc_port}", "--binary=embedded")
    services = ("--embedding", hops.encoder, "--heads", hops.heads)
    hops.start("gateway", *services, "--repository", hops.repository, "--port", http_port)
    try:
        until(lambda: _ready(hops), 90)
        yield hops
    finally:
        assert hops.stop() == [0, 0]


def _ready(hops: Hops) -> bool:
    try:
        return httpx.get(f"http://{hops.gateway}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_each_head_gets_vectors_of_the_encoder_that_it_names(hops: Hops) -> None:
    with TwoHop(hops.encoder, hops.heads) as client:
        answers = client.classify_many(TEXTS, ["mood", "subject"])
        mood, subject = answers["mood"], answers["subject"]
        assert not isinstance(mood, Exception)
        assert not isinstance(subject, Exception)
        assert [answer.label for answer in mood] == ["positive", "negative"]
        assert {answer.label for answer in subject} <= {"food", "health", "money", "sports", "technology", "travel"}
        assert mood.fingerprint != subject.fingerprint
        assert set(mood.timings_ms) == {"embed", "head", "total"}


def test_the_gateway_and_the_command_line_give_the_clients_answers(hops: Hops) -> None:
    with TwoHop(hops.encoder, hops.heads) as client:
        wanted = [(answer.label, pytest.approx(answer.score, abs=5e-3)) for answer in client.classify(TEXTS, "mood")]
    body = {"texts": TEXTS, "heads": ["mood", "subject"]}
    reply = httpx.post(f"http://{hops.gateway}/v1/classify", json=body, timeout=30, trust_env=False)
    assert reply.status_code == 200, reply.text
    by_http = [result["heads"]["mood"] for result in reply.json()["results"]]
    assert [(answer["label"], answer["score"]) for answer in by_http] == wanted
    argv = [BIN / "twohop", "classify", "--embedding", hops.encoder, "--heads", hops.heads, "--head", "mood", "--json", *TEXTS]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [(line["label"], line["score"]) for line in map(json.loads, lines)] == wanted


def test_vectors_of_another_encoder_are_refused_by_client_and_server(hops: Hops) -> None:
    with EmbeddingClient(hops.encoder) as encoder:
        rich, minilm = (encoder.encoders().named(name).fingerprint for name in ("rich", "minilm"))
    with TwoHop(hops.encoder, hops.heads, encoder="rich") as client, pytest.raises(EncoderMismatch) as refused:
        client.classify(TEXTS, "mood")
    assert rich in refused.value.message
    assert minilm in refused.value.message
    assert refused.value.detail == {"head": "mood", "head_encoder": minilm, "given_encoder": rich}
    # The server's own refusal, whoever calls it: the signature of that name is not there.
    spec = wire.ModelSpec(name="mood", signature_name=rich)
    request = wire.PredictRequest(model_spec=spec, inputs={"embedding": to_proto(np.zeros((1, 384), np.float32))})
    with grpc.insecure_channel(hops.heads) as channel, pytest.raises(grpc.RpcError) as status:
        channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(request.SerializeToString())
    assert status.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert status.value.details() == f'Serving signature key "{rich}" not found.'
    with HeadClient(hops.heads) as heads, pytest.raises(EncoderMismatch):
        heads.predict("mood", {"embedding": np.zeros((1, 384), np.float32)}, fingerprint=rich)


def test_stock_stubs_get_the_answer_that_our_client_gets(hops: Hops) -> None:
    predict = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason="tensorflow-serving-api is not installed")
    stubs = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    tensors = pytest.importorskip("tensorflow.core.framework.tensor_pb2")
    with EmbeddingClient(hops.encoder) as encoder, HeadClient(hops.heads) as heads:
        embedded = encoder.embed(TEXTS)
        ours = heads.predict("mood", {"embedding": embedded.vectors}, fingerprint=embedded.fingerprint, all_scores=True)
    request = predict.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "mood", embedded.fingerprint
    tensor = tensors.TensorProto(dtype=1, float_val=embedded.vectors.ravel().tolist())
    for size in embedded.vectors.shape:
        tensor.tensor_shape.dim.add(size=size)
    request.inputs["embedding"].CopyFrom(tensor)
    with grpc.insecure_channel(hops.heads) as channel:
        reply = stubs.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert [label.decode() for label in reply.outputs["label"].string_val] == [answer.label for answer in ours]
    assert list(reply.outputs["score"].float_val) == [answer.score for answer in ours]
    scores = [list((answer.scores or {}).values()) for answer in ours]
    assert list(reply.outputs["scores"].float_val) == [score for row in scores for score in row]
    assert reply.model_spec.version.value == ours.version


def test_evaluate_measures_through_both_hops_and_its_gate_decides(hops: Hops) -> None:
    arguments = [
        "evaluate", "--data", SAMPLES / "sentiment.test.tsv", "--train", SAMPLES / "sentiment.train.tsv", "--head", "mood",
        "--encoder", hops.encoder, "--heads", hops.heads, "--vectors", hops.repository.parent / "vectors",
    ]  # fmt: skip
    report = command("head-service", *arguments, "--require", "accuracy=0.7")
    assert report["rows"] == 108
    assert report["gate"] == {"passed": True, "failed": []}
    assert report["accuracy"] >= report["baselines"]["majority"] + 0.2
    assert sum(map(sum, report["confusion"]["counts"])) == 108
    argv = [BIN / "head-service", *map(str, arguments), "--require", "accuracy=0.999", "--json"]
    missed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert missed.returncode == 1
    assert not json.loads(missed.stdout)["gate"]["passed"]


def test_a_promoted_version_takes_over_without_a_failed_call_and_rollback_brings_the_old_one_back(hops: Hops) -> None:
    with TwoHop(hops.encoder, hops.heads) as client:
        again = hops.train("mood", "sentiment", "minilm", "--seed", 1)
        assert (again["version"], again["promoted"], again["embedded"]) == (2, False, 0)
        assert client.classify(TEXTS, "mood").version == 1
        for how, version in (("promote", 2), ("rollback", 1)):
            hops.move(how, *(("--version", version) if how == "promote" else ()))
            until(lambda version=version: client.classify(TEXTS, "mood").version == version, 60)  # each call must succeed
    roles = {entry["version"]: entry["roles"] for entry in hops.move("versions")["versions"]}
    assert roles == {1: ["stable"], 2: []}


def test_a_canary_answers_beside_the_stable_version_under_its_own_name_until_it_is_ended(hops: Hops) -> None:
    with TwoHop(hops.encoder, hops.heads) as client:
        moved = hops.move("promote", "--canary", "--version", 2)["moved"]
        assert moved == {"role": "canary", "from": None, "to": 2}
        until(lambda: _version(client, "mood-canary") == 2, 60)
        answers = client.classify_many(TEXTS, ["mood", "mood-canary"])
        assert [answer.version for answer in answers.values() if not isinstance(answer, Exception)] == [1, 2]
        until(lambda: _roles_at(hops.gateway) == {1: ["stable"], 2: ["canary"]}, 60)
        body = {"texts": TEXTS, "heads": ["mood", "mood-canary"]}
        reply = httpx.post(f"http://{hops.gateway}/v1/classify", json=body, timeout=30, trust_env=False).json()
        assert {head: about["version"] for head, about in reply["heads"].items()} == {"mood": 1, "mood-canary": 2}
        assert hops.move("rollback", "--canary")["moved"] == {"role": "canary", "from": 2, "to": None}
        until(lambda: _version(client, "mood-canary") is None, 60)
        assert client.classify(TEXTS, "mood").version == 1


def _version(client: TwoHop, head: str) -> int | None:
    try:
        return client.classify(TEXTS, head).version
    except NotFound:
        return None


def _roles_at(gateway: str) -> dict[int, list[str]]:
    listed = httpx.get(f"http://{gateway}/v1/heads", trust_env=False).json()["heads"]
    [mood] = [head for head in listed if head["name"] == "mood"]
    return {version["version"]: version["roles"] for version in mood["versions"] if version["roles"]}


def test_what_serves_survives_a_prune_and_what_is_loaded_goes_on_without_its_files(hops: Hops) -> None:
    from head_service.model_server.session import open_model
    from head_service.model_server.settings import SessionSettings

    loaded = open_model(str(hops.repository / "mood/2"), SessionSettings(("serve",), 1, 1))
    assert hops.move("prune", "--keep", 0)["removed"] == [2]
    [signature] = [each for name, each in loaded.signatures.items() if name.startswith("enc-")]
    feeds = {signature.inputs["embedding"].name: np.zeros((1, 384), np.float32)}
    [label] = loaded.run(feeds, [signature.outputs["label"].name], 0)
    assert label[0] in (b"negative", b"positive")
    loaded.close()
    with TwoHop(hops.encoder, hops.heads) as client:
        assert client.classify(TEXTS, "mood").version == 1
    assert [entry["version"] for entry in hops.move("versions")["versions"]] == [1]


def test_drift_is_told_of_texts_of_another_kind_and_not_of_new_ones_of_the_same(hops: Hops, tmp_path: Path) -> None:
    def drift(data: Path, *more: object) -> Any:
        return hops.move("drift", "--data", data, "--encoder", hops.encoder, *more)

    same = drift(SAMPLES / "sentiment.test.tsv", "--heads", hops.heads)
    assert (same["version"], same["drift"], same["retrain"]) == (1, False, False), same
    queries = tmp_path / "queries.txt"
    queries.write_text("\n".join(f"SELECT name_{row} FROM table_{row % 7} WHERE id = {row}" for row in range(60)))
    other = drift(queries, "--page", tmp_path / "drift.html")
    assert (other["version"], other["drift"], other["retrain"]) == (1, True, True), other
    assert other["why"].startswith("Retrain: the texts are of another kind")
    assert len(other["furthest"]) == 5
    page = (tmp_path / "drift.html").read_text("utf-8")
    assert other["why"] in page
    assert "SELECT name_" in page


def test_a_version_that_nobody_serves_is_measured_against_the_stable_one_from_the_repository(
    hops: Hops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # named in the command line of whatever is started there
    newest = hops.train("mood", "sentiment", "rich")["version"]
    page = tmp_path / "page.html"
    report = command(
        "head-service", "evaluate", "--data", SAMPLES / "sentiment.test.tsv", "--head", "mood", "--candidate", "newest",
        "--repository", hops.repository, "--encoder", hops.encoder, "--vectors", hops.repository.parent / "vectors",
        "--no-worse-than", "stable", "--page", page,
    )  # fmt: skip
    stable = next(entry["version"] for entry in hops.move("versions")["versions"] if "stable" in entry["roles"])
    assert (report["version"], report["comparison"]["version"], report["gate"]["passed"]) == (newest, stable, True)
    assert report["comparison"]["gained"] + report["comparison"]["lost"] > 0
    assert f"stable version {stable}" in page.read_text("utf-8")
    left = subprocess.run(["pgrep", "-f", f"{tmp_path}/twohop-evaluate-"], capture_output=True, text=True, check=False)
    assert left.stdout == "", "the server for the evaluation ends with it"
