"""`head-service serve --binary=embedded` as a process, and SavedModels that are exported for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import services

from deploy.ports import free_ports

PROGRAM = Path(sys.executable).with_name("head-service")
PATIENCE_S = 90.0
until = partial(services.until, patience_s=PATIENCE_S)


class ModelServer:
    """The process; `ready()` waits for its ports. Its log goes to a file in `folder`."""

    def __init__(self, folder: Path, *flags: str, rest: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._out = folder / "stderr.log", folder / "stdout.log"
        self.port, self.rest_port = free_ports(2)
        ports = [f"--port={self.port}"] if not any(flag.startswith("--port=") for flag in flags) else []
        ports += [f"--rest_api_port={self.rest_port}"] if rest else []
        with self._log.open("wb") as log, self._out.open("wb") as out:
            command = [str(PROGRAM), "serve", "--binary=embedded", *ports, *flags]
            self.process = subprocess.Popen(command, stdout=out, stderr=log)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", [("grpc.max_receive_message_length", -1)])
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.rest_port}", timeout=PATIENCE_S, trust_env=False)

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8")

    def says(self, text: str) -> None:
        """Returns once the log has the text."""
        def said_or_ended() -> bool:
            assert self.process.poll() is None or text in self.log, self.log + self.out
            return text in self.log

        until(said_or_ended)

    def ready(self) -> ModelServer:
        self.says("Running gRPC ModelServer at")
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        self.channel.close()
        self.http.close()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert "Traceback" not in self.log, self.log
        return code


def export(folder: Path, factor: float) -> Path:
    """A SavedModel with a signature of each sort that is tested; `serving_default` multiplies by `factor`."""
    import tensorflow as tf

    class Model(tf.Module):                     # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.factor = tf.Variable(factor)
            self.weights = tf.Variable(tf.ones([2, 3]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])             # type: ignore[untyped-decorator]
        def multiply(self, x: Any) -> Any:
            return {"y": x * self.factor}

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])          # type: ignore[untyped-decorator]
        def project(self, x: Any) -> Any:
            return {"scores": tf.matmul(x, self.weights), "best": tf.reduce_max(x, axis=1)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])           # type: ignore[untyped-decorator]
        def echo(self, text: Any) -> Any:
            return {"text": text, "raw_bytes": text, "length": tf.strings.length(text)}

        @tf.function(input_signature=[                                                           # type: ignore[untyped-decorator]
            tf.TensorSpec([None], tf.int64, name="a"), tf.TensorSpec([None], tf.bool, name="b"),
        ])
        def pair(self, a: Any, b: Any) -> Any:
            return {"a": a + 1, "b": tf.logical_not(b), "total": tf.reduce_sum(a)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="rounds")])              # type: ignore[untyped-decorator]
        def slow(self, rounds: Any) -> Any:
            square = tf.eye(300)
            for _ in tf.range(rounds):
                square = tf.matmul(square, square)
            return {"trace": tf.linalg.trace(square), "factor": self.factor}

    model = Model()
    signatures = {
        "serving_default": model.multiply, "project": model.project, "echo": model.echo, "pair": model.pair, "slow": model.slow,
    }
    draft = folder.parent / f".draft-{folder.name}"
    tf.saved_model.save(model, str(draft), signatures=signatures)
    draft.rename(folder)
    return folder


def publish(source: Path, base_path: Path, version: int) -> Path:
    """A copy of an exported model as a version, visible at once and whole."""
    base_path.mkdir(parents=True, exist_ok=True)
    draft = base_path / f".draft-{version}"
    shutil.copytree(source, draft)
    target = base_path / str(version)
    os.rename(draft, target)
    return target
