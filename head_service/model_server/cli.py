"""`head-service serve`: TF-Serving's command line. No heavy import before the flags are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from head_service.model_server.flags import Parsed, parse, usage
from head_service.model_server.status import ServingError
from twohop import __version__
from twohop.errors import Failed, InvalidInput
from twohop_service import logs

PROGRAM = "head-service serve"
FAILED = 255
SPEAKS = "2.20.0"               # the release of TF-Serving whose behaviour this is


def main(argv: Sequence[str]) -> int:
    """The exit status: 0, or 255 for whatever keeps the server from starting, as TF-Serving's."""
    if any(argument in ("--help", "-h") for argument in argv):
        print(usage(PROGRAM))
        return 0
    try:
        flags = parse(argv)
    except InvalidInput as error:
        print(error.message, file=sys.stderr)
        print(usage(PROGRAM))
        return FAILED
    for argument in flags.unknown:
        print(f"unknown argument: {argument}")
    if flags.unknown:
        print(usage(PROGRAM), flush=True)
    return _serve(argv, flags)


def _serve(argv: Sequence[str], flags: Parsed) -> int:
    from head_service.model_server import binary
    from head_service.model_server.settings import settings_of

    logs.set_up()
    try:
        found = binary.chosen(flags)
        if found is None and flags.switch("version"):
            print(_versions())
            return 0
        if found is not None:
            binary.become(found, argv, flags)
        settings = settings_of(flags)
        if find_spec("tensorflow") is None:         # or every load would fail for it, try after try
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
        from head_service.model_server.server import run

        run(settings)
    except (ServingError, Failed) as error:
        print(f"Failed to start server. Error: {error}", flush=True)
        return FAILED
    except KeyboardInterrupt:
        return 0
    return 0


def _versions() -> str:
    return f"TensorFlow ModelServer: {SPEAKS}+twohop.{__version__}\nTensorFlow Library: {_tensorflow_version()}"


def _tensorflow_version() -> str:
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none (pip install 'twohop[head]')"
