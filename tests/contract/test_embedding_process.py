"""`embedding-service` from where its operators stand: start, refusals, doors, signals and the drain."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from services import PROGRAM, EmbeddingProcess, until

from twohop import EmbeddingClient
from twohop.errors import Unauthenticated, Unavailable
from twohop.types import TLS
from twohop.wire import embedding_pb2 as wire

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tiny_bert import write as write_tiny_bert

SMALL = ("--model", "minilm", "--threads", "1")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)


class TestCommandLine:
    @pytest.mark.parametrize(
        "flags", [["--zmq"]], ids=" ".join
    )
    def test_what_is_not_built_yet_says_so(self, flags: list[str]) -> None:
        done = command("serve", *flags)
        assert done.returncode == 2
        assert f"not built yet: {' '.join(flags)}" in done.stderr

    def test_fingerprint_prints_every_encoder_and_with_json_the_identity_of_the_first(self) -> None:
        lines = command("fingerprint").stdout.split()
        assert lines[:2] == ["minilm", "enc-70fe41bf296e"]
        assert len(lines) == 6
        document = json.loads(command("fingerprint", "--model", "minilm:layers=-1", "--json").stdout)
        assert document["fingerprint"] == "enc-70fe41bf296e" == "enc-" + document["sha256"][:12]
        assert document["identity"]["layers"] == [6]

    @pytest.mark.parametrize(
        ("flags", "said"),
        [
            (["--model", "mine=/nowhere/at/all"], "/nowhere/at/all"),
            (["--model", "minilm:pooling=sum"], "pooling"),
            (["--host", "0.0.0.0"], "--insecure"),
            (["--tls-cert", __file__], "--tls-key"),
            (["--tls-cert", __file__, "--tls-key", __file__], "no certificate chain"),
        ],
        ids=["missing weights", "bad spec", "open host", "half a TLS", "no certificate"],
    )
    def test_what_cannot_start_says_why_in_one_line(self, flags: list[str], said: str) -> None:
        done = command("serve", "--port", "0", "--http-port", "0", "--log-level", "error", *flags)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_misspelt_name_in_the_environment_is_an_error(self) -> None:
        environment = {**os.environ, "TWOHOP_EMBEDDING_PROT": "1"}
        done = subprocess.run([PROGRAM, "serve"], capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert done.returncode == 2
        assert "TWOHOP_EMBEDDING_PORT" in done.stderr

    @pytest.mark.parametrize("flag", ["--port", "--http-port"])
    def test_a_taken_port_is_named(self, flag: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ports = {"--port": "0", "--http-port": "0", flag: str(port)}
            done = command("serve", *(each for pair in ports.items() for each in pair), *SMALL)
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
        assert "choose another port" in done.stderr


def test_ports_are_open_while_it_starts_and_say_not_yet(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *SMALL)
    worker = service.worker()
    worker.suspend()            # so that it stays in its start for as long as this looks
    try:
        assert service.http.get("/livez").status_code == 200
        assert service.http.get("/readyz").json() == {"status": "not ready", "reason": "starting"}
        with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
            for method, message in (("Embed", wire.EmbedRequest(texts=["a"])), ("ListEncoders", wire.ListEncodersRequest())):
                call = channel.unary_unary(f"/twohop.embedding.v1.EmbeddingService/{method}")
                with pytest.raises(grpc.RpcError) as caught:
                    call(message.SerializeToString(), timeout=10)
                trailers = dict(caught.value.trailing_metadata())       # type: ignore[attr-defined]
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE   # type: ignore[attr-defined]
                assert trailers["twohop-error"] == "Unavailable"
                assert int(trailers["grpc-retry-pushback-ms"]) > 0
        worker.resume()
        with EmbeddingClient(service.address) as client:
            assert client.wait_until_ready(60).encoders[0].name == "minilm"
    finally:
        worker.resume()
        assert service.stop() == 0


def test_a_signal_while_it_starts_ends_it_cleanly(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *SMALL)
    service.worker().suspend()
    began = time.monotonic()
    assert service.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 20


def test_sigterm_under_load_loses_no_accepted_request(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *SMALL).until_ready()
    outcomes: list[str] = []
    accepted = threading.Barrier(9)

    def embed(number: int) -> None:
        with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            call = channel.unary_unary("/twohop.embedding.v1.EmbeddingService/Embed")
            texts = [f"some words of caller {number}"] * 100
            future = call.future(wire.EmbedRequest(texts=texts).SerializeToString(), timeout=60)
            accepted.wait()
            outcomes.append("answered" if len(wire.EmbedResponse.FromString(future.result()).rows) == 100 else "short")

    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(embed, number)
        accepted.wait()
        until(lambda: service.metric("twohop_embedding_requests_in_flight") == 8 or len(outcomes) > 0)
        service.process.send_signal(signal.SIGTERM)
        with EmbeddingClient(service.address, timeout_s=2) as late, pytest.raises(Unavailable):
            until(lambda: late.embed(["now?"], timeout_s=1) is None)
    assert outcomes == ["answered"] * 8
    assert service.ended() == 0


def test_two_sets_of_weights_and_an_alias_are_served_side_by_side(tmp_path: Path) -> None:
    small = write_tiny_bert(tmp_path / "tiny")
    models = ("--model", "minilm", "--model", f"tiny={small}:pooling=mean,layers=-1", "--model", "again=tiny", "--threads", "2")
    service = EmbeddingProcess(tmp_path, *models).until_ready()
    with EmbeddingClient(service.address, timeout_s=60) as client, ThreadPoolExecutor(6) as pool:
        names = [encoder.name for encoder in client.wait_until_ready(60).encoders]
        assert names == ["minilm", "tiny"]
        clients = {name: EmbeddingClient(service.address, encoder=name, timeout_s=60) for name in ("minilm", "tiny", "again")}
        answers = {name: [pool.submit(each.embed, ["a b c"] * 50) for _ in range(4)] for name, each in clients.items()}
        vectors = {name: [answer.result(60).vectors for answer in each] for name, each in answers.items()}
        assert {each.shape for each in vectors["minilm"]} == {(50, 384)}
        assert {each.shape for each in vectors["tiny"] + vectors["again"]} == {(50, 16)}
        assert np.abs(np.stack(vectors["tiny"] + vectors["again"]) - vectors["tiny"][0][0]).max() < 1e-2
        for each in clients.values():
            each.close()
    assert service.stop() == 0


def test_overload_is_refused_at_once_with_the_time_to_come_again(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *SMALL, "--max-wait-seconds", "0.1").until_ready()
    with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/twohop.embedding.v1.EmbeddingService/Embed")
        accepted = call.future(wire.EmbedRequest(texts=["some words to embed"] * 2048).SerializeToString(), timeout=120)
        until(lambda: service.metric("twohop_embedding_estimated_wait_seconds") > 0.1)
        with pytest.raises(grpc.RpcError) as caught:
            call(wire.EmbedRequest(texts=["one more"]).SerializeToString(), timeout=10)
        trailers = dict(caught.value.trailing_metadata())           # type: ignore[attr-defined]
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED    # type: ignore[attr-defined]
        assert trailers["twohop-error"] == "Overloaded"
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        bulk = wire.EmbedRequest(texts=["patient"], priority=wire.PRIORITY_BULK)        # has a limit of its own
        assert wire.EmbedResponse.FromString(call(bulk.SerializeToString(), timeout=120)).rows == [1]
        assert len(wire.EmbedResponse.FromString(accepted.result()).rows) == 2048
    assert service.stop() == 0


def test_more_requests_at_once_than_allowed_are_refused(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *SMALL, "--max-requests", "1").until_ready()
    worker = service.worker()
    with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary("/twohop.embedding.v1.EmbeddingService/Embed")
        message = wire.EmbedRequest(texts=["a"]).SerializeToString()
        worker.suspend()
        first = call.future(message)            # without a deadline, too
        until(lambda: service.metric("twohop_embedding_requests_in_flight") == 1)
        with pytest.raises(grpc.RpcError) as caught:
            call(message, timeout=10)
        assert dict(caught.value.trailing_metadata())["twohop-error"] == "Overloaded"    # type: ignore[attr-defined]
        worker.resume()
        assert wire.EmbedResponse.FromString(first.result()).rows == [1]
    assert service.stop() == 0


def test_ctrl_c_reaches_the_whole_group_and_still_drains(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import os, sys; os.setpgrp(); os.execv(sys.argv[1], sys.argv[1:])", str(PROGRAM)]
    service = EmbeddingProcess(tmp_path, *SMALL, program=program).until_ready()
    with EmbeddingClient(service.address, timeout_s=60) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.embed, ["some words to embed"] * 500)
        until(lambda: service.metric("twohop_embedding_requests_in_flight") == 1)
        os.killpg(service.process.pid, signal.SIGINT)
        assert len(answer.result(60)) == 500
    assert service.ended() == 0
    assert "KeyboardInterrupt" not in service.log()


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    service = EmbeddingProcess(tmp_path, *SMALL).until_ready()
    service.worker().suspend()          # so that the request never ends
    with grpc.insecure_channel(service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        future = channel.unary_unary("/twohop.embedding.v1.EmbeddingService/Embed").future(
            wire.EmbedRequest(texts=["a"]).SerializeToString(), timeout=60
        )
        until(lambda: service.metric("twohop_embedding_requests_in_flight") == 1)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in service.log())
        assert service.process.poll() is None
        with EmbeddingClient(service.address) as late, pytest.raises(Unavailable, match="going down"):
            late.embed(["now?"], timeout_s=1)
        assert service.stop() == -signal.SIGTERM
        assert isinstance(future.exception(), grpc.RpcError)


def test_with_keys_and_tls_only_who_has_a_key_is_let_in(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext"
    subprocess.run([*make.split(), "subjectAltName=IP:127.0.0.1"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "keys").write_text("# ours\nopen sesame\n")
    doors = ["--key-file", "keys", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]
    doors = [str(tmp_path / each) if not each.startswith("--") else each for each in doors]
    service = EmbeddingProcess(tmp_path, *SMALL, *doors)
    try:
        tls = TLS(ca=tmp_path / "cert.pem")
        with EmbeddingClient(service.address, token="open sesame", tls=tls) as client:
            client.wait_until_ready(60)
            assert len(client.embed(["hello"])) == 1
        for token in (None, "wrong"):
            with EmbeddingClient(service.address, token=token, tls=tls) as client, pytest.raises(Unauthenticated):
                client.embed(["hello"])
    finally:
        assert service.stop() == 0
