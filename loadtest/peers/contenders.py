"""Who is measured: how each is started and asked. One that cannot be had is absent, with the reason."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deploy import services
from deploy.development.pip_progress import SetupFailed
from deploy.ports import LOOPBACK, free_ports
from deploy.services import Service
from embedding_service.model.folder_defaults import packaged_folder
from loadtest import environments
from loadtest.peers import callers

HERE = Path(__file__).parent
EXPORT = HERE / "export_onnx.py"
PLAIN_PACKAGES = ("torch", "sentence-transformers", "transformers", "fastapi", "uvicorn", "numpy")
INFINITY_PACKAGES = ("infinity-emb", "optimum", "onnxruntime", "transformers", "numpy", "torch")
INFINITY_BATCH = 32         # infinity's own default


@dataclass(frozen=True)
class Contender:
    """`name` is also its log's. `python`: of its environment, with the packages worth naming; None for ours."""

    name: str
    title: str
    service: Service
    address: str
    client: callers.Client
    environment: dict[str, str] | None = None
    python: Path | None = None
    packages: tuple[str, ...] = field(default=())


def ours(precision: str) -> Callable[[Path], Contender]:
    return lambda _: twohop(precision)


def twohop(precision: str) -> Contender:
    grpc, http = free_ports(2)
    argv = services.command(
        "embedding-service", ["serve", "--model", "minilm", "--precision", precision, "--port", grpc, "--http-port", http]
    )
    service = Service(f"twohop-{precision}", argv, (("gRPC", grpc),), (f"http://{LOOPBACK}:{http}/readyz",))
    return Contender(service.name, f"twohop {precision}", service, f"{LOOPBACK}:{grpc}", callers.Grpc())


def plain(_: Path) -> Contender:
    python = environments.ready("plain", HERE / "plain_requirements.txt", "the plain way needs sentence-transformers")
    [port] = free_ports(1)
    argv = (str(python), str(HERE / "plain_server.py"), "--encoder", str(packaged_folder()), "--port", str(port))
    service = Service("plain", argv, (("HTTP", port),), (f"http://{LOOPBACK}:{port}/health",))
    return Contender(
        "plain", "sentence-transformers in FastAPI", service, f"{LOOPBACK}:{port}", callers.PLAIN,
        environments.environment(), python, PLAIN_PACKAGES,
    )


def infinity(variant: str) -> Callable[[Path], Contender]:
    """`variant`: one of the folders that export_onnx.py makes."""

    def contender(folder: Path) -> Contender:
        python = environments.ready("infinity", HERE / "infinity_requirements.txt", "infinity needs packages of its own")
        models = onnx_folders(python, folder)
        [port] = free_ports(1)
        # Within the folder: this infinity asks for a path of the model where this optimum compares names.
        argv = (
            "env", f"--chdir={models / variant}", str(python.with_name("infinity_emb")), "v2",
            "--model-id", ".", "--pooling-method", "mean", "--served-model-name", "minilm", "--engine", "optimum",
            "--device", "cpu", "--batch-size", str(INFINITY_BATCH), "--no-vector-disk-cache", "--no-trust-remote-code",
            "--host", LOOPBACK, "--port", str(port),
        )
        service = Service(f"infinity-{variant}", argv, (("HTTP", port),), (f"http://{LOOPBACK}:{port}/health",))
        return Contender(
            service.name, f"infinity ONNX {variant}", service, f"{LOOPBACK}:{port}", callers.infinity("minilm"),
            {**environments.environment(), "HF_HOME": str(models / f"{variant}-hub"), "INFINITY_ONNX_DISABLE_OPTIMIZE": "true"},
            python, INFINITY_PACKAGES,
        )

    return contender


def onnx_folders(python: Path, folder: Path) -> Path:
    """The folder with all variants, exported once for each way to export. Raises SetupFailed."""
    target = folder / f"onnx-{hashlib.sha256(EXPORT.read_bytes()).hexdigest()[:8]}"
    partial = target.with_suffix(".partial")
    if not target.exists():
        shutil.rmtree(partial, ignore_errors=True)
        done = subprocess.run(
            [python, EXPORT, packaged_folder(), partial], env=environments.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        if done.returncode:
            raise SetupFailed(f"the encoder could not be exported to ONNX for infinity:\n{done.stdout[-2000:]}")
        partial.rename(target)
    return target.resolve()


OURS = ("bf16", "f32", "int8")
ALL: dict[str, Callable[[Path], Contender]] = {
    "plain": plain,
    **{f"infinity-{variant}": infinity(variant) for variant in ("f32-stock", "f32", "int8-stock", "int8")},
    **{f"twohop-{precision}": ours(precision) for precision in OURS},
}
