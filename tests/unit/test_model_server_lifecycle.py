"""Which versions are loaded and when: the decision alone, then the reconciler on real folders, with a fake clock and with
small honest models in place of TensorFlow's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from head_service.model_server.lifecycle.available import Available
from head_service.model_server.lifecycle.config_source import ConfigFile
from head_service.model_server.lifecycle.history import History, State
from head_service.model_server.lifecycle.model_config import ModelConfig, Policy, models_of, parse
from head_service.model_server.lifecycle.reconciler import Reconciler
from head_service.model_server.lifecycle.scanner import versions_named, wanted
from head_service.model_server.lifecycle.transitions import Action, Phase, Standing, decide
from head_service.model_server.settings import LoadingSettings
from head_service.model_server.status import Code, ServingError
from twohop.wire import tfserving_pb2 as wire

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
    assert followed.changed() == {"m": ModelConfig("m", "/m")}, "the first look is at once"
    path.write_text("nonsense")
    assert followed.changed() is None, "it is not yet time"

    def after_a_while() -> object:
        now[0] += 5
        return followed.changed()

    assert [after_a_while() for _ in range(3)] == [None] * 3
    path.unlink()
    assert [after_a_while() for _ in range(3)] == [None] * 3
    assert len([record for record in caplog.records if "is kept" in record.message]) == 2, "each trouble is told once"
    path.write_text(listed(ENTRY))
    assert after_a_while() is None, "nothing new"
    path.write_text(listed())
    assert after_a_while() == {}


# --- the reconciler

class Loaded:
    """An honest small model: knows where it came from, and whether it was closed."""

    signatures: Mapping[str, wire.SignatureDef] = {}

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_closed = False

    def run(self, feeds: Mapping[str, Any], fetches: Sequence[str], timeout_ms: int) -> list[Any]:
        assert not self.is_closed
        return []

    def close(self) -> None:
        self.is_closed = True


class Inline(Executor):
    """Runs at once, or, when `hold` is set, when told to."""

    def __init__(self) -> None:
        self.hold = False
        self.held: list[Callable[[], Any]] = []

    def submit(self, function: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        self.held.append(lambda: function(*arguments, **keywords))
        if not self.hold:
            self.release()
        return Future()

    def release(self) -> None:
        held, self.held = self.held, []
        for work in held:
            work()


class World:
    """A reconciler on real folders; `broken`: paths whose load fails."""

    def __init__(self, folder: Path, *, scan_s: float = 1, retries: int = 2) -> None:
        self.folder = folder
        self.now = 0.0
        self.broken: dict[str, str] = {}
        self.tries: list[str] = []
        self.pool = Inline()
        self.available, self.history = Available(), History()
        settings = LoadingSettings(scan_s=scan_s, threads=1, retries=retries, retry_s=60, warmup_iterations=0)
        self.reconciler = Reconciler(
            settings, self._load, self.pool, self.available, self.history, clock=lambda: self.now
        )

    def _load(self, path: str) -> Loaded:
        self.tries.append(Path(path).relative_to(self.folder).as_posix())
        name = Path(path).relative_to(self.folder).as_posix()
        if name in self.broken:
            raise ServingError(Code.NOT_FOUND, self.broken[name])
        return Loaded(path)

    def config(self, *names: str, policy: Policy | None = None) -> dict[str, ModelConfig]:
        return {name: ModelConfig(name, str(self.folder / name), policy or Policy()) for name in names}

    def add(self, *names: str) -> None:
        for name in names:
            (self.folder / name).mkdir(parents=True)

    def remove(self, name: str) -> None:
        (self.folder / name).rmdir()

    def step(self, seconds: float = 1) -> None:
        self.now += seconds
        self.reconciler.step()

    def answers(self, name: str) -> int | None:
        try:
            with self.available.use(name, None) as servable:
                return servable.version
        except ServingError:
            return None

    def states(self, name: str) -> dict[int, State]:
        return {record.version: record.state for record in self.history.of(name)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_new_version_answers_before_the_old_one_goes(world: World) -> None:
    world.add("m/1")
    assert world.reconciler.set_models(world.config("m")) == {"m"}
    assert world.reconciler.unsettled() == {"m"}
    world.step()
    assert (world.answers("m"), world.reconciler.unsettled()) == (1, set())
    world.add("m/2")
    world.pool.hold = True
    world.step()
    assert (world.answers("m"), world.states("m")) == (1, {2: State.LOADING, 1: State.AVAILABLE})
    world.pool.release()
    assert world.answers("m") == 2
    world.step(0)
    assert world.states("m") == {2: State.AVAILABLE, 1: State.END}


def test_deleting_the_newest_version_brings_the_older_one_back(world: World) -> None:
    world.add("m/1", "m/2")
    world.reconciler.set_models(world.config("m"))
    world.step()
    assert (world.answers("m"), world.tries) == (2, ["m/2"])
    world.remove("m/2")
    world.step()
    world.step(0)
    assert (world.answers("m"), world.states("m")) == (1, {2: State.END, 1: State.AVAILABLE})


def test_a_request_under_way_keeps_its_version_open(world: World) -> None:
    world.add("m/1")
    world.reconciler.set_models(world.config("m"))
    world.step()
    with world.available.use("m", None) as servable:
        world.add("m/2")
        world.step()
        world.step(0)
        assert (world.answers("m"), world.states("m")[1]) == (2, State.UNLOADING)
        assert not servable.model.is_closed                              # type: ignore[attr-defined]
    world.step(0)
    assert servable.model.is_closed                                      # type: ignore[attr-defined]
    assert world.states("m")[1] is State.END


def test_a_broken_new_version_is_tried_again_and_then_never(world: World) -> None:
    world.add("m/1")
    world.reconciler.set_models(world.config("m"))
    world.step()
    world.broken["m/2"] = "torn"
    world.add("m/2")
    world.step()
    assert (world.answers("m"), world.states("m")[2]) == (1, State.LOADING)
    world.step(30)
    assert world.tries.count("m/2") == 1
    for _ in range(5):
        world.step(61)
    assert world.tries.count("m/2") == 3                                 # once, and two retries
    record = world.history.of("m")[0]
    assert (record.version, record.state, record.error and record.error.message) == (2, State.END, "torn")
    assert world.answers("m") == 1
    world.remove("m/2")
    world.step()
    world.broken.clear()
    world.add("m/2")
    world.step()
    assert world.answers("m") == 2, "removed and added again, it is tried again"


def test_a_version_that_waits_for_its_next_try_holds_no_other_model_up(world: World) -> None:
    world.broken["a/1"] = "torn"
    world.add("a/1", "b/1")
    world.reconciler.set_models(world.config("a", "b"))
    world.step()
    assert world.answers("b") == 1
    world.add("b/2")
    world.step()
    assert (world.answers("b"), world.reconciler.unsettled()) == (2, {"a"})


def test_a_missing_base_path_unloads_nothing_and_concerns_no_other_model(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.add("a/1", "b/1")
    world.reconciler.set_models(world.config("a", "b", "never"))
    world.step()
    world.remove("a/1")
    world.remove("a")
    world.add("b/2")
    for _ in range(3):
        world.step()
    assert (world.answers("a"), world.answers("b")) == (1, 2)
    told = [record.message for record in caplog.records if "Could not find base path" in record.message]
    assert len(told) == 2, "once for each of the two, not at every look"


def test_an_emptied_base_path_unloads_the_model(world: World) -> None:
    world.add("a/1")
    world.reconciler.set_models(world.config("a"))
    world.step()
    world.remove("a/1")
    world.step()
    assert (world.answers("a"), world.states("a")) == (None, {1: State.END})


def test_models_leave_and_come_with_the_list(world: World) -> None:
    world.add("a/1", "b/1")
    world.reconciler.set_models(world.config("a"))
    world.step()
    assert world.reconciler.set_models(world.config("b")) == {"b"}
    world.step()
    assert (world.answers("a"), world.answers("b"), world.states("a")) == (None, 1, {1: State.END})
    assert world.reconciler.set_models(world.config("a", "b")) == {"a"}
    assert world.reconciler.unsettled({"a"}) == {"a"}
    world.step()
    assert (world.answers("a"), world.reconciler.unsettled()) == (1, set())
    assert world.reconciler.set_models({}) == set()
    world.step()
    assert (world.answers("a"), world.answers("b")) == (None, None)


def test_a_model_that_is_dropped_and_named_again_at_once_is_never_there_twice(world: World) -> None:
    world.add("a/1")
    world.reconciler.set_models(world.config("a"))
    world.step()
    world.reconciler.set_models({})
    world.reconciler.set_models(world.config("a"))
    world.step()
    assert (world.answers("a"), world.tries, world.reconciler.unsettled()) == (1, ["a/1"], set())


def test_a_version_dropped_while_it_loads_goes_once_it_is_loaded(world: World) -> None:
    world.add("a/1")
    world.reconciler.set_models(world.config("a"))
    world.pool.hold = True
    world.step()
    world.reconciler.set_models({})
    world.step()
    world.pool.release()
    world.step()
    assert (world.answers("a"), world.states("a")) == (None, {1: State.END})


def test_several_versions_are_served_at_once_where_the_policy_says_so(world: World) -> None:
    world.add("a/1", "a/2", "a/3")
    world.reconciler.set_models(world.config("a", policy=Policy("specific", versions=frozenset({1, 3}))))
    world.step()
    assert (world.answers("a"), set(world.states("a"))) == (3, {1, 3})
    with world.available.use("a", 1) as servable:
        assert servable.version == 1
    with pytest.raises(ServingError, match=r"Servable not found for request: Specific\(a, 2\)"), world.available.use("a", 2):
        pass


def test_failures_tell_which_model_settled_badly(world: World) -> None:
    world.broken["a/1"] = "torn"
    world.add("a/1", "b/1")
    world.reconciler.set_models(world.config("a", "b"))
    for _ in range(4):
        world.step(61)
    assert world.reconciler.unsettled() == set()
    (name, record), = world.reconciler.failures().items()
    assert (name, record.version, str(record.error)) == ("a", 1, "NOT_FOUND: torn")
    assert world.reconciler.failures({"b"}) == {}


@pytest.mark.parametrize(("scan_s", "looks"), [(0, 1), (-1, 0)])
def test_scanning_once_and_never(tmp_path: Path, scan_s: float, looks: int) -> None:
    world = World(tmp_path, scan_s=scan_s)
    world.add("a/1")
    world.reconciler.set_models(world.config("a"))
    world.step()
    world.add("a/2")
    world.step(10)
    assert world.answers("a") == (1 if looks else None)


def test_a_load_that_fails_in_an_unforeseen_way_is_that_versions_failure(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(World):
        def _load(self, path: str) -> Loaded:
            raise KeyError("odd")

    odd = Odd(world.folder, retries=0)
    odd.add("a/1")
    odd.reconciler.set_models(odd.config("a"))
    odd.step()
    assert str(odd.reconciler.failures()["a"].error) == "INTERNAL: KeyError: 'odd'"
