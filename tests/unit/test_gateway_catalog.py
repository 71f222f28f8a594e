"""Which heads the gateway offers, read from a repository as the repository's own code writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from head_service.gateway.catalog import NamedHeads, RepositoryHeads
from head_service.repository import serving_config
from head_service.repository.layout import CONFIG, MANIFEST
from head_service.repository.manifest import EncoderIdentity, Manifest
from head_service.repository.serving_config import Roles
from twohop.errors import Failed


def publish(repository: Path, head: str, version: int, *labels: str) -> None:
    path = repository / head / str(version) / MANIFEST
    path.parent.mkdir(parents=True)
    encoder = EncoderIdentity("minilm", f"enc-{version:012x}", "openvino-bf16", 384)
    rows, metrics, created = {"train": 9}, {"accuracy": 0.5}, "2026-11-24T08:00:00Z"
    said = Manifest(head, version, "linear", list(labels), encoder, "0" * 64, rows, metrics, created)
    path.write_text(said.as_json(), encoding="utf-8")


def test_a_new_head_and_a_moved_role_appear_without_a_restart(tmp_path: Path) -> None:
    heads = RepositoryHeads(tmp_path)
    assert heads.offers() == []
    publish(tmp_path, "topic", 1, "a", "b")
    serving_config.write(tmp_path, {"topic": Roles(stable=1)}, serve_root=None)
    [topic] = heads.offers()
    assert (topic.name, topic.models, topic.roles) == ("topic", ("topic",), {1: ("stable",)})
    assert (topic.encoder, topic.labels, topic.metrics) == ("enc-000000000001", ("a", "b"), {"accuracy": 0.5})

    publish(tmp_path, "topic", 2, "a", "b", "c")
    publish(tmp_path, "intent", 1, "x", "y")
    serving_config.write(tmp_path, {"topic": Roles(stable=1, canary=2), "intent": Roles(stable=1)}, serve_root=None)
    intent, topic = heads.offers()
    assert intent.name == "intent"
    assert (topic.models, topic.roles) == (("topic", "topic-canary"), {1: ("stable",), 2: ("canary",)})
    assert topic.labels == ("a", "b")

    serving_config.write(tmp_path, {"topic": Roles(stable=2)}, serve_root=None)
    assert heads.offers()[1].labels == ("a", "b", "c")


def test_a_version_without_a_manifest_is_offered_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "foreign" / "7").mkdir(parents=True)
    serving_config.write(tmp_path, {"foreign": Roles(stable=7)}, serve_root=None)
    [foreign] = RepositoryHeads(tmp_path).offers()
    assert (foreign.name, foreign.roles, foreign.encoder, foreign.labels) == ("foreign", {7: ("stable",)}, None, None)


def test_a_repository_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="does not exist yet"):
        RepositoryHeads(tmp_path / "absent").offers()
    (tmp_path / CONFIG).write_text("model_config_list { nonsense", encoding="utf-8")
    with pytest.raises(Failed, match=CONFIG):
        RepositoryHeads(tmp_path).offers()


def test_named_heads_are_offered_once_each() -> None:
    assert [offer.name for offer in NamedHeads(["b", "a", "b"]).offers()] == ["b", "a"]
