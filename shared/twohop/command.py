"""The frame of every command line of ours: `--version`, the environment, and the one place where errors become
exit codes (0 done, 1 it failed, 2 wrong use) and, with `--json`, an error object as the last line of stderr."""

from __future__ import annotations

import difflib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

from twohop import __version__
from twohop.errors import Failed, InvalidInput, TwoHopError

# Programs share one environment (a container, a shell): each checks the names below its own prefixes, letter by
# letter, and leaves those of the others to them. A prefix that is nobody's is a misspelling.
PREFIXES = ("TWOHOP_EMBEDDING_", "TWOHOP_HEAD_", "TWOHOP_GATEWAY_", "TWOHOP_CLASSIFY_", "TWOHOP_EMBED_", "TWOHOP_STATUS_")

OWN_PACKAGES = ("twohop", "twohop_service", "embedding_service", "head_service")

Command = TypeVar("Command", bound=Callable[..., Any])


def program(name: str, *, prefix: str, summary: str) -> click.Group:
    """The group of one program. Options read `PREFIX_COMMAND_OPTION`; a command may set a shorter prefix of its own
    by `context_settings={"auto_envvar_prefix": …}`."""
    group = _Program(
        name,
        help=summary,
        context_settings={
            "auto_envvar_prefix": prefix,
            "help_option_names": ["-h", "--help"],
            "show_default": True,
            "max_content_width": 110,
        },
    )
    return _with_version(group, name)


class _Program(click.Group):
    """A group whose commands all know --version, or have one of their own."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        super().add_command(_with_version(cmd, self.name or ""), name)


def _with_version(command: Command, program_name: str) -> Command:
    if any("--version" in parameter.opts for parameter in getattr(command, "params", ())):
        return command  # head-service versions: there it is a version of a head
    return click.version_option(__version__, prog_name=program_name, message="%(prog)s %(version)s")(command)


def needs_extra(extra: str) -> Callable[[Command], Command]:
    """A command whose imports come with an extra: without it, one line says how to install it."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except ModuleNotFoundError as error:
                if error.name is None or error.name.split(".")[0] in OWN_PACKAGES:
                    raise
                raise Failed(
                    f"this command needs the extra '{extra}' ({error.name} is not installed): pip install 'twohop[{extra}]'",
                    detail={"extra": extra, "module": error.name},
                ) from error

        return call  # type: ignore[return-value]

    return decorate


class FiniteRange(click.FloatRange):
    """click's takes `nan`, which is in no range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


def run(group: click.Group, argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> NoReturn:
    """Runs one command and exits. Raises SystemExit, always."""
    args = list(sys.argv[1:] if argv is None else argv)
    sys.exit(_exit_code(group, args, os.environ if environment is None else environment))


def _exit_code(group: click.Group, args: list[str], environment: Mapping[str, str]) -> int:
    as_json = "--json" in args
    try:
        check_environment(group, environment)
        result = group.main(args, prog_name=group.name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        error.show()
        return _report(InvalidInput(error.format_message()), as_json, code=2, shown=True)
    except click.ClickException as error:
        return _report(Failed(error.format_message()), as_json, code=1)
    except (click.Abort, KeyboardInterrupt):
        return _report(Failed("interrupted"), as_json, code=1)
    except TwoHopError as error:
        return _report(error, as_json, code=1)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Python would complain once more while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _report(error: TwoHopError, as_json: bool, *, code: int, shown: bool = False) -> int:
    if as_json:
        click.echo(json.dumps(error.as_json(), ensure_ascii=False), err=True)
    elif not shown:
        click.echo(f"error: {error.message}", err=True)
    return code


def check_environment(group: click.Group, environment: Mapping[str, str]) -> None:
    """Raises click.UsageError for a name that starts with TWOHOP_ and that nothing reads: a misspelling that would
    otherwise be silence."""
    known = set(_environment_names(group))
    own = {prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in known)}
    for name in sorted(environment):
        if not name.startswith("TWOHOP_") or name in known:
            continue
        of_others = any(name.startswith(prefix) for prefix in PREFIXES if prefix not in own)
        if not of_others:
            near = difflib.get_close_matches(name, [*known, *PREFIXES], n=1)
            raise click.UsageError(f"unknown environment variable {name}" + (f"; did you mean {near[0]}?" if near else ""))


def _environment_names(group: click.Group) -> Iterable[str]:
    for name, command in group.commands.items():
        fallback = f"{group.context_settings['auto_envvar_prefix']}_{name.upper()}"
        prefix = command.context_settings.get("auto_envvar_prefix", fallback).replace("-", "_")
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name and parameter.expose_value:
                yield f"{prefix}_{parameter.name.upper()}"
