"""The gateway as a real process between real gRPC services: what its callers and its operators rely on."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from gateway_process import PROGRAM, GatewayProcess, until
from rule_services import POOLED, RICH, EmbeddingRules, HeadRules

from head_service.repository import serving_config
from head_service.repository.layout import MANIFEST
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.serving_config import Roles

STRANGER = "enc-dddddddddddd"


def publish(repository: Path, head: str, version: int, fingerprint: str, roles: Roles) -> None:
    path = repository / head / str(version) / MANIFEST
    path.parent.mkdir(parents=True)
    encoder = EncoderIdentity("minilm", fingerprint, "rule-f32", 4)
    said = Manifest(head, version, "linear", ["even", "odd"], encoder, "0" * 64, {}, {"accuracy": 0.81}, "2026-11-24T08:00:00Z")
    path.write_text(said.as_json(), encoding="utf-8")
    serving_config.write(repository, {head: roles}, serve_root=None)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    publish(folder, "sentiment", 3, POOLED, Roles(stable=3))
    publish(folder, "topic", 1, RICH, Roles(stable=1))
    publish(folder, "ghost", 1, POOLED, Roles(stable=1))
    return folder


@pytest.fixture(scope="module")
def process(
    services: tuple[EmbeddingRules, HeadRules], repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    embedding, heads = services
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("log"),
        "--embedding", embedding.address, "--heads", heads.address, "--repository", str(repository), "--max-texts", "3000",
    )
    gateway.until_ready()
    yield gateway
    assert gateway.stop(signal.SIGINT) == 0
    assert "Traceback" not in gateway.log()


@pytest.fixture
def gateway(process: GatewayProcess, hop_1: EmbeddingRules, hop_2: HeadRules) -> GatewayProcess:
    return process


def error_of(reply: httpx.Response) -> tuple[int, str, str]:
    error = reply.json()["error"]
    return reply.status_code, error["type"], error["message"]


def test_heads_of_two_encoders_get_one_encode_each_and_answer_together(
    gateway: GatewayProcess, hop_1: EmbeddingRules
) -> None:
    reply = gateway.classify(["four", "seven!!", "one two three four five six seven"], ["topic", "sentiment"], all_scores=True)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert [each["heads"]["sentiment"]["label"] for each in body["results"]] == ["even", "odd", "odd"]
    assert body["results"][0]["heads"]["topic"] == {"label": "even", "score": 0.75, "scores": {"even": 0.75, "odd": 0.25}}
    assert [(each["tokens"], each["truncated"]) for each in body["results"]] == [(3, False), (3, False), (8, True)]
    assert body["heads"] == {"topic": {"version": 1, "encoder": RICH}, "sentiment": {"version": 3, "encoder": POOLED}}
    assert body["encoders"] == {
        RICH: {"name": "rich", "numerics": "rule-f32"}, POOLED: {"name": "minilm", "numerics": "rule-f32"},
    }
    assert set(body["timings_ms"]) == {"embed", "heads", "total"}
    assert set(body["timings_ms"]["heads"]) == {"topic", "sentiment"}
    assert sorted(request.encoder for request in hop_1.asked("Embed")) == ["minilm", "rich"]


def test_two_heads_of_one_encoder_share_its_encode(gateway: GatewayProcess, hop_1: EmbeddingRules, hop_2: HeadRules) -> None:
    hop_2.heads["ghost"] = (POOLED, 1, ("embedding",))
    assert gateway.classify(["four"], ["ghost", "sentiment"], policy="all").status_code == 200
    assert len(hop_1.asked("Embed")) == 1
    assert len(hop_2.asked("Predict")) == 2


def test_a_head_that_hop_2_does_not_have_spoils_only_itself(gateway: GatewayProcess) -> None:
    answers = gateway.classify(["four"], ["ghost", "sentiment"]).json()["results"][0]["heads"]
    assert (answers["ghost"]["error"]["type"], answers["sentiment"]["label"]) == ("NotFound", "even")
    assert error_of(gateway.classify(["four"], ["sentiment", "ghost"], policy="all"))[:2] == (404, "NotFound")


def test_a_head_of_an_encoder_that_hop_1_lacks_is_refused_by_both_fingerprints(
    gateway: GatewayProcess, hop_2: HeadRules, repository: Path
) -> None:
    hop_2.heads["stray"] = (STRANGER, 1, ("embedding",))
    publish(repository, "stray", 1, STRANGER, Roles(stable=1))
    until(lambda: "stray" in gateway.http.get("/v1/heads").text)
    status, kind, message = error_of(gateway.classify(["four"], ["stray"]))
    assert (status, kind) == (412, "EncoderMismatch")
    assert STRANGER in message
    assert POOLED in message


def test_a_new_head_and_its_canary_are_offered_without_a_restart(
    gateway: GatewayProcess, hop_2: HeadRules, repository: Path
) -> None:
    assert error_of(gateway.classify(["four"], ["intent"]))[:2] == (404, "NotFound")
    hop_2.heads |= {"intent": (POOLED, 1, ("embedding",)), "intent-canary": (RICH, 2, ("embedding",))}
    publish(repository, "intent", 1, POOLED, Roles(stable=1))
    publish(repository, "intent", 2, RICH, Roles(stable=1, canary=2))
    until(lambda: gateway.classify(["four"], ["intent-canary"]).status_code == 200)
    body = gateway.classify(["four"], ["intent", "intent-canary"]).json()
    assert body["heads"] == {"intent": {"version": 1, "encoder": POOLED}, "intent-canary": {"version": 2, "encoder": RICH}}
    [listed] = [head for head in gateway.http.get("/v1/heads").json()["heads"] if head["name"] == "intent"]
    assert listed == {
        "name": "intent",
        "versions": [
            {"version": 2, "state": "AVAILABLE", "roles": ["canary"]},
            {"version": 1, "state": "AVAILABLE", "roles": ["stable"]},
        ],
        "encoder": POOLED,
        "labels": ["even", "odd"],
        "metrics": {"accuracy": 0.81},
    }


def test_more_texts_than_hop_1_takes_at_once_are_served(gateway: GatewayProcess) -> None:
    texts = ["x" * (1 + index % 7) for index in range(2500)]
    results = gateway.classify(texts, ["sentiment"]).json()["results"]
    assert [each["heads"]["sentiment"]["label"] for each in results] == ["odd" if len(text) % 2 else "even" for text in texts]
    assert error_of(gateway.classify(["x"] * 3001, ["sentiment"]))[:2] == (400, "InvalidInput")


def test_a_poisonous_text_is_named_and_the_next_request_is_served(gateway: GatewayProcess) -> None:
    status, kind, message = error_of(gateway.classify(["fine", "poison"], ["sentiment"]))
    assert (status, kind) == (400, "InvalidInput")
    assert "1" in message
    assert gateway.classify(["fine"], ["sentiment"]).status_code == 200


def test_a_slow_head_costs_no_more_than_the_requests_own_time(gateway: GatewayProcess, hop_2: HeadRules) -> None:
    gateway.classify(["warm"], ["sentiment"])
    hop_2.delay_s = 5.0
    assert error_of(gateway.classify(["four"], ["sentiment"], timeout_ms=300))[:2] == (504, "DeadlineExceeded")


def test_a_caller_who_leaves_cancels_the_work_at_the_services(gateway: GatewayProcess, hop_2: HeadRules) -> None:
    gateway.classify(["warm"], ["sentiment"])
    hop_2.reset()
    hop_2.delay_s = 10.0
    left = gateway.metric('twohop_gateway_requests_total{route="/v1/classify",status="499"}')
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{gateway.url}/v1/classify", json={"texts": ["four"], "heads": ["sentiment"]}, timeout=0.5, trust_env=False
        )
    until(lambda: hop_2.cancelled)
    until(lambda: gateway.metric('twohop_gateway_requests_total{route="/v1/classify",status="499"}') == left + 1)
    assert gateway.metric("twohop_gateway_requests_in_flight") == 1          # the one that asks


def test_bytes_that_are_no_http_or_no_utf8_leave_the_gateway_well(gateway: GatewayProcess) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert b"400" in raw.recv(1000)
    reply = gateway.http.post("/v1/classify", content=b'{"texts":["\xff"],"heads":["sentiment"]}')
    assert error_of(reply)[:2] == (400, "InvalidInput")
    assert error_of(gateway.http.post("/v1/classify", content=b" " * (9 << 20)))[:2] == (413, "TooLarge")
    assert gateway.classify(["four"], ["sentiment"]).status_code == 200


def test_the_port_is_open_at_once_and_ready_follows_the_services(
    hop_1: EmbeddingRules, hop_2: HeadRules, tmp_path: Path
) -> None:
    hop_1.ready = False
    flags = ["--embedding", hop_1.address, "--heads", hop_2.address, "--head", "sentiment", "--head", "absent"]
    gateway = GatewayProcess(tmp_path, *flags)
    try:
        assert gateway.http.get("/livez").status_code == 200
        until(lambda: "encoder" in gateway.http.get("/readyz").json().get("reason", ""))
        hop_1.ready = True
        gateway.until_ready()
        listed = gateway.http.get("/v1/heads").json()["heads"]
        assert [(head["name"], head["encoder"]) for head in listed] == [("sentiment", POOLED), ("absent", None)]
        assert listed[0]["versions"] == [{"version": 3, "state": "AVAILABLE", "roles": []}]
        assert error_of(gateway.classify(["four"], ["topic"]))[:2] == (404, "NotFound")
    finally:
        assert gateway.stop() == 0


def test_without_hop_1_a_request_ends_in_time_and_says_who_is_away(hop_2: HeadRules, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))          # bound and not listening: connections are refused
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        gateway = GatewayProcess(tmp_path, "--embedding", address, "--heads", hop_2.address, "--head", "sentiment")
        try:
            until(lambda: address in gateway.http.get("/readyz").text)
            status, kind, message = error_of(gateway.classify(["four"], ["sentiment"], timeout_ms=300))
            assert (status, kind) == (503, "Unavailable")
            assert address in message
        finally:
            assert gateway.stop() == 0


def test_sigterm_lets_running_requests_finish(hop_1: EmbeddingRules, hop_2: HeadRules, tmp_path: Path) -> None:
    flags = ["--embedding", hop_1.address, "--heads", hop_2.address, "--head", "sentiment"]
    gateway = GatewayProcess(tmp_path, *flags)
    gateway.until_ready()
    gateway.classify(["warm"], ["sentiment"])
    hop_2.reset()
    hop_2.delay_s = 1.0
    replies: list[int] = []

    def ask() -> None:
        body = {"texts": ["four"], "heads": ["sentiment"]}
        replies.append(httpx.post(f"{gateway.url}/v1/classify", json=body, timeout=20, trust_env=False).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: hop_2.asked("Predict"))
    assert gateway.stop() == 0
    asking.join()
    assert replies == [200]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{gateway.url}/livez", trust_env=False)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=here -addext"
    subprocess.run([*command.split(), "subjectAltName=IP:127.0.0.1"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def test_every_connection_is_closed_to_those_without_a_key(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = certificate
    (tmp_path / "keys").write_text("of-the-callers\n")
    (tmp_path / "token").write_text("of-the-gateway\n")
    embedding, heads = EmbeddingRules(), HeadRules()
    for service in (embedding, heads):
        service.start(credentials=grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())]))
    gateway = GatewayProcess(
        tmp_path, "--embedding", embedding.address, "--heads", heads.address, "--head", "sentiment", "--hop-ca", str(cert),
        "--hop-token-file", str(tmp_path / "token"), "--key-file", str(tmp_path / "keys"), "--tls-cert", str(cert),
        "--tls-key", str(key), ca=cert,
    )
    try:
        gateway.until_ready()
        assert error_of(gateway.classify(["four"], ["sentiment"]))[:2] == (401, "Unauthenticated")
        gateway.http.headers["Authorization"] = "Bearer of-the-callers"
        assert gateway.classify(["four"], ["sentiment"]).status_code == 200
        for service in (embedding, heads):
            assert {metadata.get("authorization") for _, _, metadata, _ in service.calls} == {"Bearer of-the-gateway"}
    finally:
        assert gateway.stop() == 0
        embedding.stop()
        heads.stop()


def test_a_taken_port_ends_the_start_with_one_line(gateway: GatewayProcess) -> None:
    port = gateway.url.rsplit(":", 1)[1]
    command = [PROGRAM, "gateway", "--port", port, "--embedding", "h:1", "--heads", "h:1", "--head", "a"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"error: cannot listen on 127.0.0.1:{port}")
    assert json.loads(gateway.http.get("/livez").text) == {"status": "alive"}
