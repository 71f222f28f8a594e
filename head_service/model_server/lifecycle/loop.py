"""The thread that keeps looking: the configuration file, then the base paths, then what there is to do."""

from __future__ import annotations

import logging
import threading

from head_service.model_server.lifecycle.config_source import ConfigFile
from head_service.model_server.lifecycle.reconciler import Reconciler

log = logging.getLogger(__name__)

STEP_S = 0.1


class Loop:
    """Steps every 100 ms, and at once when woken. `wake` is for every thread."""

    def __init__(self) -> None:
        self._awake = threading.Event()
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        self._awake.set()

    def start(self, reconciler: Reconciler, config_file: ConfigFile | None) -> None:
        self._thread = threading.Thread(target=self._run, args=(reconciler, config_file), name="model-lifecycle", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns once the step under way is done."""
        self._is_stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join()

    def _run(self, reconciler: Reconciler, config_file: ConfigFile | None) -> None:
        while not self._is_stopping:
            try:
                if config_file is not None and (models := config_file.due()) is not None:
                    reconciler.set_models(models)
                reconciler.step()
            except Exception:           # whatever it is: versions must go on coming and going
                log.exception("A step of the model lifecycle failed; the next one follows")
            self._awake.wait(STEP_S)
            self._awake.clear()
