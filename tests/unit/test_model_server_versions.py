"""Which versions are wanted and what is done next: the decision, folders that are versions, configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from head_service.model_server.lifecycle.config_source import ConfigFile
from head_service.model_server.lifecycle.model_config import ModelConfig, Policy, models_of, parse
from head_service.model_server.lifecycle.scanner import versions_named, wanted
from head_service.model_server.lifecycle.transitions import Action, Phase, Standing, decide
from head_service.model_server.status import Code, ServingError

NEW, LOADING, READY, UNLOADING, ENDED, FAILED = Phase


# --- the decision


@pytest.mark.parametrize(("standings", "action"), [
    ([], None),
    ([(1, NEW, True)], Action("load", 1)),
    ([(1, NEW, True), (2, NEW, True)], Action("load", 2)),
    ([(1, READY, False), (2, NEW, True)], Action("load", 2)),               # the new one first
    ([(1, READY, False), (2, LOADING, True)], None),                        # and until it is there, the old one stays
    ([(1, READY, False), (2, FAILED, True)], None),                         # for ever, if need be
    ([(1, READY, False), (2, READY, True)], Action("unload", 1)),
    ([(1, READY, True), (2, READY, False)], Action("unload", 2)),           # rollback
    ([(1, NEW, True), (2, READY, False)], Action("load", 1)),
    ([(1, READY, False), (2, READY, False)], Action("unload", 1)),          # nothing is wanted
    ([(1, READY, False), (2, READY, False), (3, LOADING, True)], Action("unload", 1)),      # one old one is enough
    ([(1, UNLOADING, False), (2, READY, True)], None),
    ([(1, ENDED, True)], None),
    ([(1, NEW, False)], None),
    ([(1, READY, True), (2, NEW, True)], Action("load", 2)),
])
def test_the_decision(standings: list[tuple[int, Phase, bool]], action: Action | None) -> None:
    assert decide(Standing(*each) for each in standings) == action


standings = st.lists(
    st.builds(Standing, st.integers(-3, 9), st.sampled_from(Phase), st.booleans()),
    unique_by=lambda each: each.version,
    max_size=6,
)


@given(standings)
def test_availability_is_never_given_up_while_something_is_wanted(known: list[Standing]) -> None:
    action = decide(known)
    ready = {each.version for each in known if each.phase is READY}
    if action is not None and action.do == "unload" and any(each.is_wanted for each in known):
        assert ready - {action.version}, "the last version that answers went while another is wanted"


@given(standings)
def test_only_ready_unwanted_versions_go_and_only_new_wanted_ones_come(known: list[Standing]) -> None:
    action = decide(known)
    if action is not None:
        (chosen,) = [each for each in known if each.version == action.version]
        expected = (READY, False) if action.do == "unload" else (NEW, True)
        assert (chosen.phase, chosen.is_wanted) == expected


@given(standings)
def test_following_the_decisions_ends(known: list[Standing]) -> None:
    """Loads succeed here, unloads end at once: what is wanted and can be loaded is ready in the end, nothing else is."""
    for _ in range(20):
        action = decide(known)
        if action is None:
            break
        phase = READY if action.do == "load" else ENDED
        known = [Standing(each.version, phase, each.is_wanted) if each.version == action.version else each for each in known]
    else:
        raise AssertionError("no end")
    wanted_new = [each for each in known if each.is_wanted and each.phase is NEW]
    assert wanted_new == []


# --- scanning


@pytest.mark.parametrize(("names", "found"), [
    (["1", "2"], {1: "1", 2: "2"}),
    (["00000123", "x", "1.5", "", ".draft-4", "models.config", "1_0", "\u0661"], {123: "00000123"}),
    (["-3", "+4", "0"], {-3: "-3", 4: "+4", 0: "0"}),
    (["1", "01", "001"], {1: "1"}),
    ([str(2**63), str(2**63 - 1)], {2**63 - 1: str(2**63 - 1)}),
])
def test_names_that_are_versions(names: list[str], found: dict[int, str]) -> None:
    assert versions_named(names) == found


@pytest.mark.parametrize(("policy", "expected"), [
    (Policy(), [7]),
    (Policy("latest", 2), [5, 7]),
    (Policy("latest", 9), [1, 5, 7]),
    (Policy("all"), [1, 5, 7]),
    (Policy("specific", versions=frozenset({1, 2})), [1]),
    (Policy("specific"), []),
])
def test_policies(policy: Policy, expected: list[int]) -> None:
    assert wanted(policy, [5, 1, 7]) == expected


# --- configuration


ENTRY = 'name: "m" base_path: "/m" model_platform: "tensorflow"'


def listed(*entries: str) -> str:
    return "model_config_list { " + " ".join(f"config {{ {entry} }}" for entry in entries) + " }"


def test_a_list_of_models_is_read() -> None:
    found = models_of(parse(listed(
        ENTRY,
        'name: "s" base_path: "/s" model_type: TENSORFLOW model_version_policy { specific { versions: 1 versions: 3 } }',
        'name: "a" base_path: "/a" model_platform: "tensorflow" model_version_policy { all {} }',
        'name: "l" base_path: "/l" model_platform: "tensorflow" model_version_policy { latest { num_versions: 0 } }',
    )))
    assert found["m"] == ModelConfig("m", "/m", Policy())
    assert found["s"].policy == Policy("specific", versions=frozenset({1, 3}))
    assert (found["a"].policy.kind, found["l"].policy.number) == ("all", 1)
    assert models_of(parse("")) == {}


@pytest.mark.parametrize(("text", "code", "message"), [
    ("nonsense", Code.INVALID_ARGUMENT, "Error parsing text-format tensorflow.serving.ModelServerConfig"),
    (listed(ENTRY, ENTRY), Code.INVALID_ARGUMENT, "Illegal to list model m multiple times"),
    (listed('name: "m" base_path: "x" model_platform: "tensorflow"'), Code.INVALID_ARGUMENT,
     "Expected model m to have an absolute path or URI; got base_path()=x"),
    (listed('name: "m" base_path: "gs://x" model_platform: "tensorflow"'), Code.INVALID_ARGUMENT, "reads folders only"),
    (listed('name: "m" base_path: "/m"'), Code.INVALID_ARGUMENT, "neither model_type"),
    (listed(ENTRY + " model_type: TENSORFLOW"), Code.INVALID_ARGUMENT, "both model_type"),
    (listed('name: "m" base_path: "/m" model_platform: "onnx"'), Code.INVALID_ARGUMENT, "requests unsupported platform"),
    (listed(ENTRY + " logging_config {}"), Code.INVALID_ARGUMENT, "No request-logger-creator provided."),
    (listed(ENTRY + ' version_labels { key: "stable" value: 1 }'), Code.UNIMPLEMENTED, "not built yet"),
    ('custom_model_config { type_url: "x" }', Code.INVALID_ARGUMENT, "custom model config"),
])
def test_lists_that_are_refused(text: str, code: Code, message: str) -> None:
    with pytest.raises(ServingError) as raised:
        models_of(parse(text))
    assert raised.value.code is code
    assert message in raised.value.message


def test_a_config_file_is_followed_and_what_cannot_be_read_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, path = [0.0], tmp_path / "models.config"
    path.write_text(listed(ENTRY))
    followed = ConfigFile(path, 5, clock=lambda: now[0])
    assert followed.due() == {"m": ModelConfig("m", "/m")}, "the first look is at once"
    path.write_text("nonsense")
    assert followed.due() is None, "it is not yet time"

    def after_a_while() -> object:
        now[0] += 5
        return followed.due()

    assert [after_a_while() for _ in range(3)] == [None] * 3
    path.write_text("# nothing yet\n")
    assert [after_a_while() for _ in range(3)] == [None] * 3
    path.unlink()
    assert [after_a_while() for _ in range(3)] == [None] * 3
    assert len([record for record in caplog.records if "is kept" in record.message]) == 3, "each trouble is told once"
    path.write_text(listed(ENTRY))
    assert [after_a_while() for _ in range(2)] == [{"m": ModelConfig("m", "/m")}] * 2, "it wins over a reload in between"
    path.write_text(listed())
    assert after_a_while() == {}
