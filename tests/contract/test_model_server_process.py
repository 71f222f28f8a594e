"""The embedded model server as a process: versions that come and go under requests, starts that fail, signals."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_server_process import ModelServer, publish, until
from stock_client import Code, X, predict, predict_request, refusal, status

from twohop.wire import tfserving_pb2 as wire

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_serving")
from tensorflow_serving.apis import (  # noqa: E402
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

# --- lifecycle


def test_new_versions_come_and_corrupt_ones_stay_out_without_one_failed_request(
    tmp_path: Path, exported: dict[int, Path]
) -> None:
    """Under requests that never pause: 1, then 2, then a corrupt 3, then back to 1 by deleting 2."""
    publish(exported[1], tmp_path / "m", 1)
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0")
    server.ready()
    answers: list[tuple[float, int]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            reply = predict(server, "m", {"x": X})
            answers.append((reply.outputs["y"].float_val[0], reply.model_spec.version.value))

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            until(lambda: len(answers) > 20)
            publish(exported[2], tmp_path / "m", 2)
            until(lambda: answers[-1] == (2.0, 2))
            until(lambda: [(each.version, each.state) for each in status(server, "m")] == [(2, 30), (1, 50)])
            (tmp_path / "m" / "3").mkdir()
            corrupt = until(lambda: [each for each in status(server, "m") if each.version == 3 and each.state == 50])[0]
            assert corrupt.status.error_code == 5
            assert "does not appear to contain a SavedModel bundle" in corrupt.status.error_message
            assert answers[-1] == (2.0, 2)
            shutil.rmtree(tmp_path / "m" / "3")
            shutil.rmtree(tmp_path / "m" / "2")
            until(lambda: answers[-1] == (1.0, 1))
        finally:
            done.set()
        for each in asking:
            each.result()
    assert {(1.0, 1), (2.0, 2)} == set(answers)
    assert "Successfully loaded servable version {name: m version: 2}" in server.log
    assert server.stop() == 0


def test_a_request_under_way_keeps_its_version_and_a_signal_lets_it_end(tmp_path: Path, exported: dict[int, Path]) -> None:
    publish(exported[1], tmp_path / "m", 1)
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0")
    server.ready()
    stub = prediction_service_pb2_grpc.PredictionServiceStub(server.channel)

    def slow(rounds: int) -> Any:
        inputs = {"rounds": tf.make_tensor_proto(np.int32(rounds))}
        return stub.Predict.future(predict_request("m", inputs, signature="slow"), timeout=120)

    slow(1).result()
    first = slow(4000)
    publish(exported[2], tmp_path / "m", 2)
    until(lambda: predict(server, "m", {"x": X}).model_spec.version.value == 2)
    assert first.result().outputs["factor"].float_val == [1]
    last = slow(3000)
    until(lambda: [each.state for each in status(server, "m", 1)] == [50])
    server.process.send_signal(signal.SIGTERM)
    assert last.result().outputs["factor"].float_val == [2]
    assert server.ended() == 0


def model_config(**models: Path) -> Any:
    config = model_server_config_pb2.ModelServerConfig()
    for name, path in models.items():
        config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    return config


def test_a_repository_is_waited_for_then_followed_and_reload_by_request_works(tmp_path: Path, exported: dict[int, Path]) -> None:
    repository = tmp_path / "repository"
    server = ModelServer(tmp_path / "run", f"--repository={repository}")
    server.says("is not there yet")
    for port in (server.port, server.rest_port):
        with socket.socket() as attempt:
            assert attempt.connect_ex(("127.0.0.1", port)) != 0
    publish(exported[1], repository / "a", 1)
    publish(exported[2], repository / "a", 2)

    def write(*entries: tuple[str, str, int]) -> None:
        models = [
            wire.ModelConfig(
                name=name, base_path=str(repository / folder), model_platform="tensorflow",
                model_version_policy=wire.ServableVersionPolicy(specific=wire.ServableVersionPolicy.Specific(versions=[version])),
            )
            for name, folder, version in entries
        ]
        config = wire.ModelServerConfig(model_config_list=wire.ModelConfigList(config=models))
        draft = repository / "draft"
        draft.write_text(f"# comment\n{config}")
        draft.rename(repository / "models.config")

    write(("a", "a", 1))
    server.ready()
    assert predict(server, "a", {"x": X}).model_spec.version.value == 1
    write(("a", "a", 2), ("a-canary", "a", 1))
    until(lambda: predict(server, "a", {"x": X}).model_spec.version.value == 2)
    until(lambda: server.http.get("/v1/models/a-canary").status_code == 200)
    (repository / "models.config").write_text("model_config_list {")
    server.says("what was served before is kept")
    assert predict(server, "a", {"x": X}).model_spec.version.value == 2

    stub = model_service_pb2_grpc.ModelServiceStub(server.channel)
    request = model_management_pb2.ReloadConfigRequest(config=model_config(b=repository / "a"))
    assert stub.HandleReloadConfigRequest(request, timeout=60).status.error_code == 0
    assert predict(server, "b", {"x": X}).model_spec.version.value == 2
    until(lambda: refusal(lambda: predict(server, "a", {"x": X}))[0] is Code.NOT_FOUND)
    relative = model_management_pb2.ReloadConfigRequest(config=model_config(b=Path("relative")))
    assert refusal(lambda: stub.HandleReloadConfigRequest(relative)) == (
        Code.INVALID_ARGUMENT, "Expected model b to have an absolute path or URI; got base_path()=relative")
    assert server.stop(signal.SIGINT) == 0


def test_warm_up_requests_are_replayed_and_a_bad_one_keeps_the_version_out(tmp_path: Path, exported: dict[int, Path]) -> None:
    def add_warmup(version: Path, signature: str) -> None:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(predict_request("anything", {"x": X}, signature=signature, version=99))
        (version / "assets.extra").mkdir()
        with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
            writer.write(log.SerializeToString())

    add_warmup(publish(exported[1], tmp_path / "m", 1), "serving_default")
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=0")
    server.ready()
    assert "Number of warmup records read: 1" in server.log
    draft = publish(exported[2], tmp_path / "draft", 2)
    add_warmup(draft, "no_such_signature")
    draft.rename(tmp_path / "m" / "2")
    failed = until(lambda: [each for each in status(server, "m") if each.version == 2 and each.state == 50])[0]
    assert failed.status.error_message == 'Serving signature key "no_such_signature" not found.'
    draft = publish(exported[2], tmp_path / "draft", 3)
    (draft / "assets.extra").mkdir()
    (draft / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"this is no file of TFRecords at all")
    draft.rename(tmp_path / "m" / "3")
    failed = until(lambda: [each for each in status(server, "m") if each.version == 3 and each.state == 50])[0]
    assert "Please verify your warmup data is in TFRecord format" in failed.status.error_message
    assert predict(server, "m", {"x": X}).model_spec.version.value == 1
    assert server.stop() == 0


# --- starts that fail


def failed_start(folder: Path, *flags: str, **keywords: Any) -> ModelServer:
    server = ModelServer(folder, *flags, **keywords)
    assert server.ended() == 255
    return server


def test_a_model_that_cannot_be_loaded_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    server = failed_start(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}", "--max_num_load_retries=1",
                          "--load_retry_interval_micros=1000")
    assert server.out.startswith("Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: {")
    assert "{name: m version: 1} due to error: NOT_FOUND: Specified file path does not appear" in server.out
    assert "(try 2 of 2)" in server.log


def test_a_taken_port_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = failed_start(tmp_path / "run", f"--port={port}", "--model_name=m", f"--model_base_path={tmp_path}")
    assert f"cannot listen on 127.0.0.1:{port}" in server.out


def test_a_taken_rest_port_is_logged_and_grpc_is_served(tmp_path: Path, exported: dict[int, Path]) -> None:
    publish(exported[1], tmp_path / "m", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}",
                             f"--rest_api_port={port}", "--enable_serialization_as_tensor_content", rest=False)
        server.ready()
        assert f"Failed to start HTTP Server at localhost:{port}" in server.log
        assert predict(server, "m", {"x": X}).outputs["y"].tensor_content == X.tobytes()
        assert server.stop() == 0


def test_a_bad_config_file_ends_the_start(tmp_path: Path) -> None:
    path = tmp_path / "bad.config"
    path.write_text("this is no config")
    server = failed_start(tmp_path / "run", f"--model_config_file={path}")
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in server.log
    assert server.out.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert "Failed to start server. Error: NOT_FOUND" in failed_start(tmp_path / "run", "--model_config_file=/no/such").out


def test_a_signal_ends_the_wait_for_a_model_without_version(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    server = ModelServer(tmp_path / "run", "--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    server.says("No versions of servable m found under base path")
    assert server.stop() == 0
