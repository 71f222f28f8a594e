"""Which program serves: the embedded server, or a `tensorflow_model_server` of this machine, with our flags translated."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from head_service.model_server.flags import OURS, Parsed
from head_service.model_server.settings import REPOSITORY_POLL_S
from head_service.model_server.status import Code, ServingError, invalid
from head_service.repository.layout import CONFIG
from twohop_service.settings import is_loopback

log = logging.getLogger(__name__)

NAME = "tensorflow_model_server"
EVERY_ADDRESS = ("0.0.0.0", "::", "[::]")
LOOK_S = 1.0


def chosen(flags: Parsed, which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The path of the binary to become, or None for the embedded server. Raises ServingError for one that is not there,
    and where it cannot do what is asked: it knows no --host and listens on every address."""
    wanted = flags.text("binary")
    if wanted == "embedded":
        return None
    found = which(NAME if wanted == "auto" else wanted)
    if found is None and wanted != "auto":
        raise ServingError(Code.NOT_FOUND, f"--binary={wanted} is no program; give auto, embedded, or the path of one")
    if found is None or "host" not in flags.given or flags.text("host") in EVERY_ADDRESS:
        return found
    if wanted != "auto":
        raise invalid(f"--binary={wanted} listens on every address: it cannot keep to --host={flags.text('host')}; leave one out")
    log.info("%s is there, and cannot keep to --host=%s: the embedded server is used", found, flags.text("host"))
    return None


def translated(argv: Sequence[str], flags: Parsed) -> list[str]:
    """The same arguments in TF-Serving's own flags."""
    ours = tuple(f"--{flag.name}" for flag in OURS)
    kept = [argument for argument in argv if argument.partition("=")[0] not in ours]
    if flags.text("repository"):
        kept.append(f"--model_config_file={Path(flags.text('repository'), CONFIG).absolute()}")
        if "model_config_file_poll_wait_seconds" not in flags.given:
            kept.append(f"--model_config_file_poll_wait_seconds={REPOSITORY_POLL_S:.0f}")
    return kept


def become(binary: str, argv: Sequence[str], flags: Parsed) -> NoReturn:
    """Replaces this process. A repository that has no models.config yet is waited for here: the binary would end."""
    if flags.text("repository"):
        _wait_for(Path(flags.text("repository"), CONFIG))
    if "host" not in flags.given or not is_loopback(flags.text("host")):
        log.warning("%s listens on every address of this machine; --binary=embedded keeps to 127.0.0.1", binary)
    log.info("Serving with %s", binary)
    os.execv(binary, [binary, *translated(argv, flags)])


def _wait_for(path: Path) -> None:
    told = False
    while not path.exists():
        if not told:
            log.warning("%s is not there yet: waiting for the first head to be trained", path)
            told = True
        time.sleep(LOOK_S)
