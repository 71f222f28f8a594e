"""Makes what is loaded follow what is wanted: looks at the base paths, asks `transitions` what to do, and does it.

Loads run on a pool. A load that failed and waits for its next try holds neither a thread nor anybody up; TF-Serving
sleeps in its one thread, so that one broken version keeps all other models from changing for minutes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from head_service.model_server.lifecycle.available import Available, Servable
from head_service.model_server.lifecycle.history import History, Record, State
from head_service.model_server.lifecycle.model_config import ModelConfig, Models
from head_service.model_server.lifecycle.scanner import Paths, scan
from head_service.model_server.lifecycle.transitions import Action, Phase, Standing, decide
from head_service.model_server.model import Model
from head_service.model_server.settings import LoadingSettings
from head_service.model_server.status import Code, ServingError

log = logging.getLogger(__name__)

REMIND_S = 30.0

Load = Callable[[str], Model]


@dataclass
class _Version:
    path: str
    phase: Phase = Phase.NEW
    is_wanted: bool = True
    tries: int = 0
    retry_at: float | None = None               # set while a failed load waits for its next try
    error: ServingError | None = None
    servable: Servable | None = None


@dataclass
class _Model:
    config: ModelConfig
    versions: dict[int, _Version] = field(default_factory=dict)
    settled: Record | None = None               # the first version to become available or to fail for good
    notice: tuple[str, float] = ("", 0.0)       # what was last said about it, and when


class Reconciler:
    """`load` opens the SavedModel in a folder, warm, or raises ServingError; it runs on `pool`. `clock`: seconds."""

    def __init__(
        self,
        settings: LoadingSettings,
        load: Load,
        pool: Executor,
        available: Available,
        history: History,
        *,
        clock: Callable[[], float] = time.monotonic,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._load = load
        self._pool = pool
        self._available = available
        self._history = history
        self._clock = clock
        self._wake = wake
        self._lock = threading.RLock()
        self._models: dict[str, _Model] = {}
        self._leaving: list[_Model] = []        # no longer configured, with versions that still have to go
        self._scan_at: float | None = None

    def set_models(self, models: Models) -> set[str]:
        """From now on these are served, and no others. Returns the names that were not served before."""
        with self._lock:
            new = set(models) - set(self._models)
            for name in set(self._models) - set(models):
                self._leaving.append(self._models.pop(name))
            for name, config in models.items():
                model = self._models.get(name) or self._returning(name) or _Model(config)
                model.config = config
                self._models[name] = model
            if self._settings.scan_s >= 0:
                self._scan_at = self._clock()
        self._wake()
        return new

    def _returning(self, name: str) -> _Model | None:
        """The model of this name that is still on its way out: there is never a second one beside it."""
        for model in self._leaving:
            if model.config.name == name:
                self._leaving.remove(model)
                if not any(version.phase is Phase.READY for version in model.versions.values()):
                    model.settled = None
                return model
        return None

    def unsettled(self, names: Iterable[str] | None = None) -> set[str]:
        """The models, of `names` or of all, that have no version yet that became available or failed for good."""
        with self._lock:
            chosen = set(self._models if names is None else names)
            return {name for name, model in self._models.items() if name in chosen and model.settled is None}

    def failures(self, names: Iterable[str] | None = None) -> dict[str, Record]:
        """The models, of `names` or of all, whose first version to settle had failed."""
        with self._lock:
            chosen = set(self._models if names is None else names)
            settled = {name: model.settled for name, model in self._models.items() if name in chosen}
            return {name: record for name, record in settled.items() if record is not None and record.error is not None}

    def step(self) -> None:
        """Looks, where it is time to, and starts what has to be done. To be called again and again."""
        found = self._look()
        with self._lock:
            for model, paths in found:
                self._want(model, paths)
            for model in self._leaving:
                self._want(model, {})
            for model in (*self._models.values(), *self._leaving):
                self._advance(model)
            self._leaving = [model for model in self._leaving if model.versions]

    def close(self) -> None:
        """Ends every version that is loaded. Nobody may be using them any more."""
        with self._lock:
            for model in (*self._models.values(), *self._leaving):
                for version in model.versions.values():
                    if version.servable is not None:
                        version.servable.model.close()

    # --- looking

    def _look(self) -> list[tuple[_Model, Paths]]:
        with self._lock:
            if self._scan_at is None or self._clock() < self._scan_at:
                return []
            self._scan_at = self._clock() + self._settings.scan_s if self._settings.scan_s > 0 else None
            models = list(self._models.values())
        looked = ((model, self._scan(model)) for model in models)      # without the lock: a disk may be slow
        return [(model, paths) for model, paths in looked if paths is not None]

    def _scan(self, model: _Model) -> Paths | None:
        """None where nothing can be said: what is loaded stays, and other models are not concerned."""
        config = model.config
        try:
            paths = scan(config)
        except OSError as error:
            self._notice(model, logging.ERROR, f"Could not find base path {config.base_path} for servable {config.name} "
                                               f"({error.strerror})")
            return None
        if paths:
            model.notice = ("", 0.0)
        else:
            self._notice(model, logging.WARNING, f"No versions of servable {config.name} found under base path "
                         f"{config.base_path}. Did you forget to name your leaf directory as a number (eg. '/1/')?")
        return paths

    def _notice(self, model: _Model, level: int, text: str) -> None:
        said, at = model.notice
        if text != said or self._clock() - at >= REMIND_S:
            log.log(level, "%s", text)
            model.notice = (text, self._clock())

    def _want(self, model: _Model, paths: Paths) -> None:
        for number, version in model.versions.items():
            version.is_wanted = number in paths
        for number, path in paths.items():
            if number in model.versions:
                model.versions[number].path = path
            else:
                model.versions[number] = _Version(path)
                self._history.note(model.config.name, Record(number, State.START))

    # --- acting

    def _advance(self, model: _Model) -> None:
        for number, version in list(model.versions.items()):
            if version.phase is Phase.UNLOADING:
                self._finish_unloading(model, number, version)
            elif version.retry_at is not None:
                self._try_again(model, number, version)
            if version.phase is Phase.NEW and not version.is_wanted:
                version.phase = Phase.ENDED
                self._history.note(model.config.name, Record(number, State.END))
            if version.phase in (Phase.ENDED, Phase.FAILED) and not version.is_wanted:
                del model.versions[number]
            elif version.phase is Phase.ENDED:                          # wanted again while it was going
                model.versions[number] = _Version(version.path)
        while action := decide(Standing(number, each.phase, each.is_wanted) for number, each in model.versions.items()):
            self._act(model, action)

    def _act(self, model: _Model, action: Action) -> None:
        version = model.versions[action.version]
        if action.do == "load":
            self._start_loading(model, action.version, version)
        elif version.servable is not None:
            version.phase = Phase.UNLOADING
            self._history.note(model.config.name, Record(action.version, State.UNLOADING))
            self._available.withdraw(version.servable)
            self._finish_unloading(model, action.version, version)

    def _finish_unloading(self, model: _Model, number: int, version: _Version) -> None:
        if version.servable is None or not self._available.is_idle(version.servable):
            return
        version.servable.model.close()
        version.servable = None
        version.phase = Phase.ENDED
        self._history.note(model.config.name, Record(number, State.END))
        log.info("Unloaded servable version %s", _named(model, number))

    def _start_loading(self, model: _Model, number: int, version: _Version) -> None:
        version.phase = Phase.LOADING
        version.tries += 1
        version.retry_at = None
        self._history.note(model.config.name, Record(number, State.LOADING))
        log.info("Loading servable version %s from %s", _named(model, number), version.path)
        self._pool.submit(self._loaded, model, number, version)

    def _try_again(self, model: _Model, number: int, version: _Version) -> None:
        if not version.is_wanted:
            self._fail(model, number, version)
        elif version.retry_at is not None and self._clock() >= version.retry_at:
            log.warning("Retrying of loading servable: %s retry: %d", _named(model, number), version.tries)
            self._start_loading(model, number, version)

    def _loaded(self, model: _Model, number: int, version: _Version) -> None:
        """On the pool. What was not foreseen is this version's failure too, and not the end of its thread."""
        try:
            loaded: Model | ServingError = self._load(version.path)
        except ServingError as error:
            loaded = error
        except Exception as error:
            log.exception("Loading servable version %s failed in a way that was not foreseen", _named(model, number))
            loaded = ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
        with self._lock:
            if isinstance(loaded, ServingError):
                self._failed(model, number, version, loaded)
            else:
                self._publish(model, number, version, loaded)
        self._wake()

    def _publish(self, model: _Model, number: int, version: _Version, loaded: Model) -> None:
        version.servable = Servable(model.config.name, number, loaded)
        version.phase = Phase.READY
        self._available.publish(version.servable)
        self._history.note(model.config.name, Record(number, State.AVAILABLE))
        self._settle(model, Record(number, State.AVAILABLE))
        log.info("Successfully loaded servable version %s", _named(model, number))

    def _failed(self, model: _Model, number: int, version: _Version, error: ServingError) -> None:
        version.error = error
        log.error("Servable version %s cannot be loaded (try %d of %d): %s",
                  _named(model, number), version.tries, self._settings.retries + 1, error)
        if version.tries > self._settings.retries:
            self._fail(model, number, version)
        else:
            version.retry_at = self._clock() + self._settings.retry_s

    def _fail(self, model: _Model, number: int, version: _Version) -> None:
        version.phase = Phase.FAILED
        version.retry_at = None
        record = Record(number, State.END, version.error)
        self._history.note(model.config.name, record)
        self._settle(model, record)

    def _settle(self, model: _Model, record: Record) -> None:
        if model.settled is None:
            model.settled = record


def _named(model: _Model, number: int) -> str:
    return f"{{name: {model.config.name} version: {number}}}"
