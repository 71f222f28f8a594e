"""What `make deploy` decides before it starts anything."""

from __future__ import annotations

import configparser
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import local, sample_heads, services
from deploy.folder_lock import FolderInUse, only_one
from deploy.local import DeployFailed, Deployment
from deploy.ports import free_ports, is_free
from deploy.services import Ports
from deploy.supervision import Program, Supervisor, configuration, socket_path
from head_service.repository import serving_config
from head_service.repository.serving_config import Roles


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def published(repository: Path, head: str, version: int) -> None:
    folder = repository / head / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")


def test_a_deployment_is_found_again_as_it_was_asked_for(tmp_path: Path) -> None:
    asked = Deployment(tmp_path, Ports(*range(7000, 7005)), tmp_path / "heads")
    asked.record()
    assert Deployment.recorded(tmp_path) == asked


@pytest.mark.parametrize("content", [None, "", "{}", '{"ports": {"nonesuch": 1}, "repository": "x"}'])
def test_a_record_that_is_missing_or_damaged_counts_as_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "deployment.json").write_text(content)
    assert Deployment.recorded(tmp_path) is None


def test_an_empty_repository_gets_the_sample_heads_and_a_used_one_none(tmp_path: Path) -> None:
    assert sample_heads.to_train(tmp_path) == ["sentiment", "topic"]
    published(tmp_path, "sentiment", 1)
    assert sample_heads.to_train(tmp_path) == ["topic"]
    published(tmp_path, "mood", 1)
    assert sample_heads.to_train(tmp_path) == []


def test_heads_count_once_a_version_of_theirs_is_served(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, Ports(), tmp_path / "r")
    assert deployment.heads() == []
    for head in ("topic", "put_there_by_hand"):
        published(tmp_path / "r", head, 2)
    serving_config.write(tmp_path / "r", {"topic": Roles(stable=2)}, serve_root=None)
    assert deployment.heads() == ["topic"]


def test_the_head_server_is_ready_only_when_each_head_is(tmp_path: Path) -> None:
    probes = services.heads(Ports(), tmp_path, ["sentiment", "topic"]).probes
    assert [url.rpartition("/")[2] for url in probes] == ["sentiment", "topic"]


def test_a_taken_port_is_named_with_its_holder_and_the_remedy(tmp_path: Path, taken_port: int) -> None:
    ports = Ports(*free_ports(4), gateway=taken_port)
    with pytest.raises(DeployFailed, match=f"port {taken_port}.*gateway.*process [0-9]+.*GATEWAY_PORT="):
        local.check_ports(Deployment(tmp_path, ports, tmp_path), Supervisor(tmp_path))


def test_free_ports_are_different_and_free() -> None:
    found = free_ports(5)
    assert len(set(found)) == 5
    assert all(map(is_free, found))


def test_a_port_that_is_listened_on_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_the_supervisors_file_keeps_odd_names_whole(tmp_path: Path) -> None:
    odd = tmp_path / "a folder, 100% odd"
    text = configuration(odd, tmp_path, [Program("one", ("/bin/echo", "two words", "50%"))], {"A": "1,2 %"})
    parsed = configparser.RawConfigParser()
    parsed.read_string(text)
    section = parsed["program:one"]
    assert section["command"].endswith("/bin/echo 'two words' 50%%")
    assert section["environment"] == 'A="1,2 %%"'
    assert section["stdout_logfile"] == f"{tmp_path}/a folder, 100%% odd/one.log"


def test_the_socket_of_a_folder_deep_down_stays_within_the_systems_limit(tmp_path: Path) -> None:
    assert socket_path(Path("/short")) == Path("/short/supervisor.sock")
    deep = tmp_path / ("x" * 120)
    assert len(str(socket_path(deep))) < 100
    assert socket_path(deep) != socket_path(deep / "y")


def test_a_change_of_settings_or_code_reaches_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = local.environment()
    monkeypatch.setenv("TWOHOP_EMBEDDING_PRECISION", "f32")
    monkeypatch.setenv("UNRELATED", "x")
    assert local.environment() == {**before, "TWOHOP_EMBEDDING_PRECISION": "f32"}
    assert before["DEPLOYED_SOURCE"] == local.source_digest()


def test_a_setting_that_the_file_cannot_hold_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOHOP_GATEWAY_EMBEDDING", 'a"b')
    with pytest.raises(DeployFailed, match="TWOHOP_GATEWAY_EMBEDDING"):
        local.environment()


def test_two_runs_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(FolderInUse, match=str(tmp_path)), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass
