"""What the flags ask for, checked and frozen, in slices for those who need them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from head_service.model_server.flags import TABLE, Parsed
from head_service.model_server.status import Code, ServingError, invalid
from head_service.repository.layout import CONFIG
from twohop_service.settings import is_loopback

REPOSITORY_POLL_S = 1.0
_INT32 = 2**31


@dataclass(frozen=True)
class GrpcSettings:
    """`port` 0: only the socket. `channel_arguments` as gRPC takes them."""

    host: str
    port: int
    socket_path: str
    threads: int
    channel_arguments: tuple[tuple[str, int | str], ...]
    health: bool


@dataclass(frozen=True)
class RestSettings:
    """`port` 0: no REST."""

    host: str
    port: int
    threads: int
    timeout_ms: int
    cors: bool


@dataclass(frozen=True)
class SourceSettings:
    """Where the list of models comes from: `config_file`, re-read every `poll_s` (0: once), or one model's name and path.
    `may_be_absent`: the file is waited for."""

    config_file: Path | None
    poll_s: float
    may_be_absent: bool
    model_name: str
    model_base_path: str


@dataclass(frozen=True)
class SessionSettings:
    """How a SavedModel is opened; 0 threads: TensorFlow decides."""

    tags: tuple[str, ...]
    intra_op_threads: int
    inter_op_threads: int


@dataclass(frozen=True)
class LoadingSettings:
    """`scan_s`: pause between looks at the base paths; 0: one look, negative: none. `warmup_iterations` 0: no warm-up."""

    scan_s: float
    threads: int
    retries: int
    retry_s: float
    warmup_iterations: int


@dataclass(frozen=True)
class AnswerSettings:
    """`as_content`: tensors go out as tensor_content and not in the typed fields."""

    as_content: bool
    check_method_name: bool


@dataclass(frozen=True)
class Settings:
    grpc: GrpcSettings
    rest: RestSettings
    source: SourceSettings
    session: SessionSettings
    loading: LoadingSettings
    answers: AnswerSettings


def settings_of(flags: Parsed) -> Settings:
    """Raises ServingError for flags that cannot be followed, together or at all."""
    _refuse_not_built(flags)
    _check_ports(flags)
    _check_host(flags)
    return Settings(_grpc(flags), _rest(flags), _source(flags), _session(flags), _loading(flags), _answers(flags))


def _refuse_not_built(flags: Parsed) -> None:
    for flag in TABLE.values():
        if not flag.built and flags.values[flag.name] != flag.default:
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"--{flag.name} is not built yet in the embedded server; leave it out, or give --binary=PATH of a "
                "tensorflow_model_server",
            )


def _check_ports(flags: Parsed) -> None:
    for name in ("port", "rest_api_port"):
        if not 0 <= flags.number(name) < 2**16:
            raise invalid(f"--{name}={flags.number(name)} is no port: give 1 to 65535, or 0 for none")
    if not flags.number("port") and not flags.text("grpc_socket_path"):
        raise invalid("server_options.grpc_port is not set, nor is server_options.grpc_socket_path.")


def _check_host(flags: Parsed) -> None:
    host = flags.text("host")
    if not (is_loopback(host) or flags.switch("insecure")):
        raise invalid(
            f"--host={host} is reachable from other machines, and nothing is encrypted: give --insecure where the network "
            "itself is trusted"
        )


def _grpc(flags: Parsed) -> GrpcSettings:
    return GrpcSettings(
        host=flags.text("host"),
        port=flags.number("port"),
        socket_path=flags.text("grpc_socket_path"),
        threads=_threads(flags, "grpc_max_threads"),
        channel_arguments=_channel_arguments(flags.text("grpc_channel_arguments")),
        health=flags.switch("enable_grpc_healthcheck_service"),
    )


def _rest(flags: Parsed) -> RestSettings:
    return RestSettings(
        host=flags.text("host"),
        port=flags.number("rest_api_port"),
        threads=_threads(flags, "rest_api_num_threads"),
        timeout_ms=flags.number("rest_api_timeout_in_ms"),
        cors=flags.switch("rest_api_enable_cors_support"),
    )


def _source(flags: Parsed) -> SourceSettings:
    repository, config_file = flags.text("repository"), flags.text("model_config_file")
    base_path, poll_s = flags.text("model_base_path"), float(flags.number("model_config_file_poll_wait_seconds"))
    if repository and (config_file or base_path):
        raise invalid("--repository says what is served: leave out --model_config_file and --model_base_path")
    if not (repository or config_file or base_path):
        raise invalid(
            "Both server_options.model_base_path and server_options.model_config_file are empty! Give --repository=DIR, "
            "--model_config_file=FILE, or --model_name=NAME with --model_base_path=DIR."
        )
    if repository:
        polled = poll_s if "model_config_file_poll_wait_seconds" in flags.given else REPOSITORY_POLL_S
        return SourceSettings(Path(repository, CONFIG).absolute(), polled, True, "", "")
    if config_file:
        return SourceSettings(Path(config_file), poll_s, False, "", "")
    return SourceSettings(None, 0.0, False, flags.text("model_name"), base_path)


def _session(flags: Parsed) -> SessionSettings:
    both = flags.number("tensorflow_session_parallelism")
    intra, inter = flags.number("tensorflow_intra_op_parallelism"), flags.number("tensorflow_inter_op_parallelism")
    if both and intra and inter:
        raise invalid(
            "tensorflow_session_parallelism, tensorflow_intra_op_parallelism and tensorflow_inter_op_parallelism cannot all be "
            "set: give the first, or the other two"
        )
    if not all(-_INT32 <= threads < _INT32 for threads in (both, intra, inter)):
        raise invalid("the numbers of TensorFlow's threads must fit into 32 bits")
    return SessionSettings(tuple(flags.text("saved_model_tags").split(",")), intra or both, inter or both)


def _loading(flags: Parsed) -> LoadingSettings:
    return LoadingSettings(
        scan_s=float(flags.number("file_system_poll_wait_seconds")),
        threads=max(0, flags.number("num_load_threads")) or (os.cpu_count() or 1),
        retries=max(0, flags.number("max_num_load_retries")),
        retry_s=max(0, flags.number("load_retry_interval_micros")) / 1e6,
        warmup_iterations=max(1, flags.number("num_request_iterations_for_warmup")) if flags.switch("enable_model_warmup") else 0,
    )


def _answers(flags: Parsed) -> AnswerSettings:
    return AnswerSettings(
        as_content=flags.switch("enable_serialization_as_tensor_content"),
        check_method_name=flags.switch("enable_signature_method_name_check"),
    )


def _threads(flags: Parsed, name: str) -> int:
    return flags.number(name) if flags.number(name) > 0 else 4 * (os.cpu_count() or 1)


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """`a=1,b=x`: whole numbers as such, everything else as a string."""
    found: list[tuple[str, int | str]] = []
    for argument in filter(None, text.split(",")):
        key, separator, value = argument.partition("=")
        if not separator:
            raise invalid(f"--grpc_channel_arguments: '{argument}' is no KEY=VALUE")
        is_number = re.fullmatch(r"[+-]?[0-9]+", value) and -_INT32 <= int(value) < _INT32
        found.append((key, int(value) if is_number else value))
    return tuple(found)
