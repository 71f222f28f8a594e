"""Where the list of models comes from: one model of the flags, or a file that may be followed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from head_service.model_server.lifecycle.model_config import Models, models_of, parse, single
from head_service.model_server.settings import SourceSettings
from head_service.model_server.status import Code, ServingError, invalid

log = logging.getLogger(__name__)


def first_models(settings: SourceSettings) -> Models:
    """What to serve at the start. Raises ServingError for a file that is not there or says nothing that can be served."""
    if settings.config_file is None:
        log.info("Building single TensorFlow model file config:  model_name: %s model_base_path: %s",
                 settings.model_name, settings.model_base_path)
        return models_of(single(settings.model_name, settings.model_base_path))
    text = _read(settings.config_file)
    try:
        config = parse(text)
    except ServingError as error:
        log.error("%s", error.message)              # scripts look for it among the log lines
        raise invalid(f"Invalid protobuf file: '{settings.config_file}' ({error.message})") from error
    return models_of(config)


class ConfigFile:
    """The file, re-read and applied again every `poll_s` seconds, so that it wins over a reload that was asked for meanwhile.
    What cannot be read or served, or says nothing, is told once and changes nothing."""

    def __init__(self, path: Path, poll_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._poll_s = poll_s
        self._clock = clock
        self._due_at = clock()
        self._told = ""                 # the error last told

    def due(self) -> Models | None:
        """The models, where it is time to look and the file says what can be served."""
        if self._clock() < self._due_at:
            return None
        self._due_at = self._clock() + self._poll_s
        try:
            config = parse(_read(self._path))
            if config.WhichOneof("config") is None:         # as a file that is being written, or an editor has emptied
                raise invalid("there is no list of models in it")
            models = models_of(config)
        except ServingError as error:
            if str(error) != self._told:
                log.error("%s: what was served before is kept: %s", self._path, error)
                self._told = str(error)
            return None
        self._told = ""
        return models


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}; {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise invalid(f"Invalid protobuf file: '{path}' ({error.reason})") from error
