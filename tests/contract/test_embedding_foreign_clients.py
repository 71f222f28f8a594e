"""Clients made from embedding.proto alone, without a line of ours: in Python from the server's own reflection, in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from services import EmbeddingProcess

ROOT = Path(__file__).parents[2]
SERVICE = "twohop.embedding.v1.EmbeddingService"
TEXTS = ["The film was a delight.", "我爱北京天安门。"]


def reflected(channel: grpc.Channel) -> tuple[list[str], descriptor_pool.DescriptorPool]:
    """The names of the services, and the messages of ours in a pool of its own."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = reflection_pb2.ServerReflectionRequest
    questions = [ask(list_services=""), ask(file_containing_symbol=SERVICE)]
    listed, files = stub.ServerReflectionInfo(iter(questions), timeout=10)
    pool = descriptor_pool.DescriptorPool()
    for raw in files.file_descriptor_response.file_descriptor_proto:
        pool.Add(descriptor_pb2.FileDescriptorProto.FromString(raw))
    return [service.name for service in listed.list_services_response.service], pool


def call(channel: grpc.Channel, pool: descriptor_pool.DescriptorPool, name: str, **fields: Any) -> Any:
    """Calls a method as a generated stub would, from its descriptor."""
    method = pool.FindServiceByName(SERVICE).FindMethodByName(name)
    asked, answered = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
    rpc = channel.unary_unary(
        f"/{SERVICE}/{name}", request_serializer=asked.SerializeToString, response_deserializer=answered.FromString
    )
    return rpc(asked(**fields), timeout=30)


def test_reflection_is_enough_for_a_client_in_python(embedding_service: EmbeddingProcess) -> None:
    with grpc.insecure_channel(embedding_service.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        services, pool = reflected(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(services)
        reply = call(channel, pool, "Embed", texts=TEXTS)
        encoders = call(channel, pool, "ListEncoders").encoders
    vectors = np.frombuffer(reply.vectors, "<f4").reshape(2, reply.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert reply.fingerprint == encoders[0].fingerprint == "enc-70fe41bf296e"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of docs/, installed."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm on PATH")
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(ROOT / "docs" / "examples" / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install the example's two packages here: {done.stderr.strip()[-300:]}")
    return folder


def run_node(folder: Path, address: str, *texts: str) -> subprocess.CompletedProcess[str]:
    proto = ROOT / "shared" / "proto" / "twohop" / "wire" / "embedding.proto"
    return subprocess.run(
        ["node", "embed.js", address, str(proto), *texts], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_node_example_embeds(embedding_service: EmbeddingProcess, node: Path) -> None:
    done = run_node(node, embedding_service.address, *TEXTS)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == TEXTS
    for line in lines:
        assert line["fingerprint"] == "enc-70fe41bf296e"
        (vector,) = line["vectors"]
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-3


def test_the_node_example_tells_the_class_of_an_error(embedding_service: EmbeddingProcess, node: Path) -> None:
    done = run_node(node, embedding_service.address, " ")
    assert done.returncode == 1
    assert done.stderr.startswith("InvalidInput: text 0 is only white space")
