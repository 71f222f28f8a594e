"""The reconciler on real folders, with a fake clock and with small honest models in place of TensorFlow's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from head_service.model_server.lifecycle.available import Available
from head_service.model_server.lifecycle.history import History, State
from head_service.model_server.lifecycle.model_config import ModelConfig, Policy
from head_service.model_server.lifecycle.reconciler import Reconciler
from head_service.model_server.lifecycle.transitions import Phase
from head_service.model_server.settings import LoadingSettings
from head_service.model_server.status import Code, ServingError
from twohop.wire import tfserving_pb2 as wire

NEW, LOADING, READY, UNLOADING, ENDED, FAILED = Phase


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
