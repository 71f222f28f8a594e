"""Old versions go; what serves, what rollback needs, and what is not ours stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from head_versions import made

from head_service.repository import roles, serving_config, versions
from head_service.repository.prune import prune
from head_service.repository.roles import Move
from twohop.errors import NotFound


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Head h with versions 1 to 8; 2 and then 4 were made stable, 6 is the canary."""
    for _ in range(8):
        made(tmp_path, "h", graph=b"x" * 1000)
    for number in (2, 4):
        roles.promote(tmp_path, "h", number)
    roles.promote_canary(tmp_path, "h", 6)
    return tmp_path


def left(repository: Path) -> list[int]:
    return [version.number for version in versions.versions(repository, "h")]


def test_stable_canary_the_way_back_and_the_newest_stay(repository: Path) -> None:
    pruned = prune(repository, "h", keep=1)
    assert pruned.removed == [7, 5, 3, 1]
    assert pruned.kept == {8: ["the newest"], 6: ["canary"], 4: ["stable"], 2: ["rollback goes to it"]}
    assert pruned.freed_bytes > 4 * 1000
    assert left(repository) == [8, 6, 4, 2]
    assert [entry.name for entry in (repository / "h").iterdir() if entry.name.startswith(".")] == []
    assert roles.rollback(repository, "h") == Move(4, 2)


def test_keep_counts_the_newest_whatever_their_roles(repository: Path) -> None:
    assert prune(repository, "h", keep=3).kept == {
        8: ["of the newest 3"], 7: ["of the newest 3"], 6: ["canary", "of the newest 3"],
        4: ["stable"], 2: ["rollback goes to it"],
    }
    assert prune(repository, "h", keep=0).removed == [8, 7]
    assert prune(repository, "h", keep=0).removed == []


def test_a_dry_run_removes_nothing(repository: Path) -> None:
    before = (repository / "ledger.json").read_text()
    assert prune(repository, "h", keep=0, dry_run=True).removed == [8, 7, 5, 3, 1]
    assert left(repository) == list(range(8, 0, -1))
    assert (repository / "ledger.json").read_text() == before


@pytest.mark.parametrize(("model", "stay"), [
    ('name: "h" base_path: "/models/h" model_version_policy { specific { versions: 4 versions: 3 } }', {4, 3}),
    ('name: "elsewhere" base_path: "/models/h/" model_version_policy { specific { versions: 5 } }', {5}),
    ('name: "h" base_path: "/models/h" model_version_policy { latest { num_versions: 2 } }', {8, 7}),
    ('name: "h" base_path: "/models/h"', {8}),
    ('name: "h" base_path: "/models/h" model_version_policy { all {} }', set(range(1, 9))),
])  # fmt: skip
def test_whatever_models_config_names_stays_however_it_got_there(repository: Path, model: str, stay: set[int]) -> None:
    (repository / "models.config").write_text(f"model_config_list {{ config {{ {model} }} }}")
    assert stay <= set(prune(repository, "h", keep=0).kept)
    assert stay <= set(left(repository))


def test_a_saved_model_that_is_not_ours_stays(repository: Path) -> None:
    (repository / "h/7/assets.extra/head.json").unlink()
    assert prune(repository, "h", keep=0).kept[7] == ["not made by head-service"]


def test_the_number_of_a_removed_version_is_never_given_again(repository: Path) -> None:
    assert 8 in prune(repository, "h", keep=0).removed
    assert made(repository, "h").version == 9


def test_rollback_after_a_prune_names_only_what_is_there(repository: Path) -> None:
    prune(repository, "h", keep=0)
    roles.rollback(repository, "h")
    with pytest.raises(NotFound, match="no version that was stable before 2"):
        roles.rollback(repository, "h")


def test_other_heads_are_left_alone_and_unknown_ones_named(repository: Path) -> None:
    before = serving_config.read(repository)
    prune(repository, "h", keep=0)
    assert serving_config.read(repository) == before
    with pytest.raises(NotFound, match="no head topic; heads there: h"):
        prune(repository, "topic", keep=1)
