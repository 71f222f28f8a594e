"""`models.config`: what it says of our heads, and what somebody else wrote into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from head_versions import config, made

from head_service.repository import roles
from twohop.errors import Failed
from twohop.wire import tfserving_pb2 as wire


def test_models_config_names_exactly_the_stable_version_by_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(Path("heads"))
    made(Path("heads"), "topic")
    assert config(tmp_path / "heads") == {
        "sentiment": (f"{tmp_path}/heads/sentiment", [1]),
        "topic": (f"{tmp_path}/heads/topic", [1]),
    }


def test_the_serve_root_is_remembered_for_all_heads(tmp_path: Path) -> None:
    made(tmp_path)
    made(tmp_path, "topic", serve_root="/models/")
    made(tmp_path)
    roles.promote(tmp_path, "sentiment")
    assert config(tmp_path) == {"sentiment": ("/models/sentiment", [2]), "topic": ("/models/topic", [1])}


def test_a_repository_that_was_moved_gets_its_new_paths_at_the_next_change(tmp_path: Path) -> None:
    made(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    made(tmp_path / "new", "topic")
    assert config(tmp_path / "new")["sentiment"] == (f"{tmp_path}/new/sentiment", [1])


def test_models_that_are_not_ours_are_kept(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text('model_config_list { config { name: "other" base_path: "/elsewhere/other" } }')
    made(tmp_path)
    assert config(tmp_path)["other"] == ("/elsewhere/other", [])


@pytest.mark.parametrize("policy", ["specific { versions: 1 versions: 2 }", "all {}", "latest { num_versions: 2 }"])
def test_a_policy_that_somebody_gave_a_head_is_kept_until_that_head_gets_a_role(tmp_path: Path, policy: str) -> None:
    made(tmp_path), made(tmp_path), made(tmp_path, "topic"), made(tmp_path, "topic")
    path = tmp_path / "models.config"
    ours = text_format.Parse(path.read_text(), wire.ModelServerConfig()).model_config_list.config
    topic = next(text_format.MessageToString(model) for model in ours if model.name == "topic")
    by_hand = f'name: "sentiment" base_path: "/srv/sentiment" model_platform: "tensorflow" model_version_policy {{ {policy} }}'
    path.write_text(f"model_config_list {{ config {{ {by_hand} }} config {{ {topic} }} }}")
    roles.promote(tmp_path, "topic", 2)
    assert config(tmp_path)["topic"][1] == [2]
    assert config(tmp_path)["sentiment"][0] == "/srv/sentiment"
    assert made(tmp_path).promoted is False
    roles.promote(tmp_path, "sentiment", 2)
    assert config(tmp_path)["sentiment"] == (f"{tmp_path}/sentiment", [2])


def test_labels_that_somebody_gave_a_version_are_kept(tmp_path: Path) -> None:
    made(tmp_path), made(tmp_path, "topic"), made(tmp_path, "topic")
    path = tmp_path / "models.config"
    text = path.read_text()
    at = text.index('name: "sentiment"')
    path.write_text(text[:at] + 'version_labels { key: "blue" value: 1 } ' + text[at:])
    roles.promote(tmp_path, "topic", 2)
    assert "blue" in path.read_text()


@pytest.mark.parametrize("content", ["model_config_list { config { nonsense: 1 } }", "not a config"])
def test_a_models_config_that_cannot_be_kept_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "models.config").write_text(content)
    with pytest.raises(Failed, match=r"models\.config is not a model config"):
        made(tmp_path)
    assert (tmp_path / "models.config").read_text() == content
    assert not (tmp_path / "sentiment").exists()
