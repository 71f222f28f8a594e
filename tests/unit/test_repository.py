"""The repository of heads: numbers, roles, and clear refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from head_versions import ENCODER, config, made

from head_service.repository import drafts, manifest, publish, report, roles, serving_config, versions
from head_service.repository.layout import check_head_name
from head_service.repository.roles import Move
from head_service.repository.serving_config import Roles
from twohop.errors import Failed, InvalidInput, NotFound


def stable(repository: Path, head: str = "sentiment") -> int | None:
    return serving_config.read(repository)[head].stable


def test_the_first_version_is_stable_and_the_next_only_when_promoted(tmp_path: Path) -> None:
    assert made(tmp_path) == publish.Published(1, tmp_path / "sentiment/1", promoted=True)
    assert made(tmp_path).promoted is False
    assert stable(tmp_path) == 1
    assert made(tmp_path, promote=True).promoted
    assert stable(tmp_path) == 3


def test_a_canary_is_kept_until_it_becomes_stable(tmp_path: Path) -> None:
    for _ in range(3):
        made(tmp_path)
    serving_config.write(tmp_path, {"sentiment": Roles(stable=1, canary=3)}, serve_root=None)
    assert config(tmp_path)["sentiment-canary"] == (f"{tmp_path}/sentiment", [3])
    roles.promote(tmp_path, "sentiment", 2)
    assert serving_config.read(tmp_path) == {"sentiment": Roles(2, 3)}
    roles.promote(tmp_path, "sentiment", 3)
    assert serving_config.read(tmp_path) == {"sentiment": Roles(3, None)}
    assert "sentiment-canary" not in config(tmp_path)


def test_the_canary_is_a_version_beside_stable_and_ends_by_itself_or_on_demand(tmp_path: Path) -> None:
    for _ in range(3):
        made(tmp_path)
    assert roles.promote_canary(tmp_path, "sentiment", 2) == Move(None, 2, "canary")
    assert roles.promote_canary(tmp_path, "sentiment") == Move(2, 3, "canary")
    assert config(tmp_path)["sentiment"] == (f"{tmp_path}/sentiment", [1])
    assert config(tmp_path)["sentiment-canary"] == (f"{tmp_path}/sentiment", [3])
    assert roles.end_canary(tmp_path, "sentiment") == Move(3, None, "canary")
    assert serving_config.read(tmp_path) == {"sentiment": Roles(1, None)}
    with pytest.raises(NotFound, match="no canary"):
        roles.end_canary(tmp_path, "sentiment")


def test_the_stable_version_is_no_canary_and_rollback_to_a_canary_ends_it(tmp_path: Path) -> None:
    for _ in range(2):
        made(tmp_path, promote=True)
    with pytest.raises(InvalidInput, match="version 2 of head sentiment is stable: a canary is another version"):
        roles.promote_canary(tmp_path, "sentiment")
    roles.promote_canary(tmp_path, "sentiment", 1)
    assert roles.rollback(tmp_path, "sentiment") == Move(2, 1)
    assert serving_config.read(tmp_path) == {"sentiment": Roles(1, None)}
    with pytest.raises(NotFound, match="no version 7"):
        roles.promote_canary(tmp_path, "sentiment", 7)


def test_rollback_goes_back_through_a_version_that_was_stable_twice(tmp_path: Path) -> None:
    made(tmp_path), made(tmp_path)
    for number in (2, 1):
        roles.promote(tmp_path, "sentiment", number)
    assert roles.rollback(tmp_path, "sentiment").after == 2
    assert roles.rollback(tmp_path, "sentiment").after == 1
    with pytest.raises(NotFound, match="no version that was stable before 1"):
        roles.rollback(tmp_path, "sentiment")


def test_a_version_that_was_deleted_by_hand_is_never_named_and_its_number_never_given_again(tmp_path: Path) -> None:
    for _ in range(2):
        made(tmp_path, promote=True)
    for path in sorted((tmp_path / "sentiment/2").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "sentiment/2").rmdir()
    made(tmp_path, "topic")
    assert "sentiment" not in config(tmp_path)
    assert made(tmp_path).version == 3
    assert config(tmp_path)["sentiment"][1] == [3]


def test_rollback_walks_back_through_what_was_stable(tmp_path: Path) -> None:
    for _ in range(4):
        made(tmp_path)
    assert [roles.promote(tmp_path, "sentiment", number) for number in (3, 2, 4)] == [Move(1, 3), Move(3, 2), Move(2, 4)]
    assert [roles.rollback(tmp_path, "sentiment") for _ in range(3)] == [Move(4, 2), Move(2, 3), Move(3, 1)]
    with pytest.raises(NotFound, match="no version that was stable before 1"):
        roles.rollback(tmp_path, "sentiment")


def test_rollback_to_a_version_takes_only_one_that_was_stable(tmp_path: Path) -> None:
    for _ in range(4):
        made(tmp_path)
    for number in (2, 3):
        roles.promote(tmp_path, "sentiment", number)
    with pytest.raises(InvalidInput, match=r"version 4 .* was not stable before 3: these were: 1, 2"):
        roles.rollback(tmp_path, "sentiment", 4)
    assert roles.rollback(tmp_path, "sentiment", 1) == Move(3, 1)
    with pytest.raises(NotFound):
        roles.rollback(tmp_path, "sentiment")


def test_promoting_what_is_stable_changes_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    before = (tmp_path / "ledger.json").read_text()
    assert roles.promote(tmp_path, "sentiment") == Move(1, 1)
    assert (tmp_path / "ledger.json").read_text() == before


def test_versions_are_listed_newest_first_with_roles(tmp_path: Path) -> None:
    for _ in range(10):
        made(tmp_path)
    roles.promote(tmp_path, "sentiment", 9)
    found = versions.versions(tmp_path, "sentiment")
    assert [version.number for version in found] == list(range(10, 0, -1))
    assert [version.number for version in found if version.roles == ["stable"]] == [9]
    assert found[1].manifest is not None
    assert found[1].manifest.encoder == ENCODER


def test_a_foreign_saved_model_is_listed_without_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "theirs/7").mkdir(parents=True)
    (tmp_path / "theirs/7/saved_model.pb").touch()
    (tmp_path / "theirs/0012").mkdir()
    [version] = versions.versions(tmp_path, "theirs")
    assert (version.number, version.manifest) == (7, None)
    assert roles.promote(tmp_path, "theirs") == Move(None, 7)


def test_the_manifest_holds_what_the_contract_names(tmp_path: Path) -> None:
    path = made(tmp_path).path / "assets.extra/head.json"
    fields = json.loads(path.read_text())
    assert {"head", "version", "kind", "labels", "encoder", "data_sha256", "rows", "metrics", "calibration", "thresholds",
            "created"} <= fields.keys()
    assert fields["version"] == 1
    assert manifest.read(path.parents[1]) is not None


def test_published_files_are_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = made(tmp_path).path
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "models.config").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["", "Upper", "-dash", "_low", "a" * 65, "a/b", "../x", "a b", "é", "x-canary", "a\n"])
def test_bad_head_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="bad head name"):
        made(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "7", "a-b_c9", "a" * 64, "canary", "canary-x"])
def test_good_head_names_pass(name: str) -> None:
    assert check_head_name(name) == name


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(NotFound, match="no head topic; heads there: sentiment"):
        versions.versions(tmp_path, "topic")
    with pytest.raises(NotFound, match="no version 9: it has 1"):
        roles.promote(tmp_path, "sentiment", 9)
    with pytest.raises(NotFound, match="no repository"):
        versions.versions(tmp_path / "gone", "sentiment")


def test_a_version_without_a_graph_is_not_promoted(tmp_path: Path) -> None:
    (tmp_path / "half/1").mkdir(parents=True)
    with pytest.raises(Failed, match=r"no saved_model\.pb"):
        roles.promote(tmp_path, "half")


def test_a_place_that_cannot_be_a_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match=r"cannot write the repository .*file"):
        made(tmp_path / "file")


def test_a_failed_first_training_leaves_no_trace(tmp_path: Path) -> None:
    def fail() -> None:
        with drafts.draft(tmp_path, "sentiment"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_versions_say_kind_metrics_roles_size_and_age(tmp_path: Path) -> None:
    for _ in range(2):
        made(tmp_path)
    made(tmp_path, promote=True)
    (tmp_path / "sentiment/9").mkdir()
    found = versions.versions(tmp_path, "sentiment")
    document = report.versions_document("sentiment", found, versions.before_stable(tmp_path, "sentiment"))
    assert document["rollback_to"] == 1
    assert [row["version"] for row in document["versions"]] == [9, 3, 2, 1]
    foreign, stable = document["versions"][:2]
    assert (stable["roles"], stable["kind"], stable["encoder"]) == (["stable"], "linear", "minilm")
    assert (stable["accuracy"], stable["metrics"], stable["rows"]) == (0.5, {"accuracy": 0.5}, {"train": 1})
    assert stable["age_seconds"] > 0 or stable["created"] > "2026-11-24"
    assert stable["bytes"] > 100
    assert {foreign[name] for name in ("kind", "accuracy", "created", "age_seconds", "metrics")} == {None}
    lines = list(report.versions_lines(found, 1))
    assert len({line.find("roles") for line in lines[:1]} | {lines[2].find("stable")}) == 1
    assert "(no head.json)" in lines[1]
    assert lines[-1] == "rollback goes to version 1"


def test_a_draft_of_a_dead_trainer_goes_with_the_next_publish_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    made(tmp_path)
    dead = tmp_path / "sentiment/.draft-dead"
    dead.mkdir()
    (dead / "half").write_text("x")
    (tmp_path / "sentiment/.removed-7-0000/variables").mkdir(parents=True)
    for name in (".models.config-0000", ".ledger.json-0000"):
        (tmp_path / name).touch()
    with drafts.draft(tmp_path, "sentiment") as living:
        assert made(tmp_path).version == 2
        assert living.is_dir()
        assert not dead.exists()
    assert sorted(entry.name for entry in (tmp_path / "sentiment").iterdir()) == ["1", "2"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "ledger.json", "models.config", "sentiment"]


def test_what_holds_a_draft_is_not_published(tmp_path: Path) -> None:
    assert sorted(entry.name for entry in made(tmp_path).path.iterdir()) == ["assets.extra", "saved_model.pb"]
