"""TF-Serving's flags and their syntax: `--name=value` only, booleans also as `--name`. An unknown flag is told about and
does not stop the server; a value that cannot be read does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twohop.errors import InvalidInput

Value = bool | int | float | str


@dataclass(frozen=True)
class Flag:
    """One flag; the type of `default` is its own. `built` is false where another value than the default is refused."""

    name: str
    default: Value
    help: str
    built: bool = True


def _ignored(name: str, default: Value) -> Flag:
    return Flag(name, default, "Accepted and without effect in the embedded server.")


def _not_built(name: str, default: Value, what: str) -> Flag:
    return Flag(name, default, f"{what} Not built yet in the embedded server: refused.", built=False)


OURS = (
    Flag("repository", "", "A repository of heads: serve what DIR/models.config says, and follow it. Ours, not TF-Serving's."),
    Flag("host", "127.0.0.1", "Address to listen on, gRPC and REST. Ours, not TF-Serving's."),
    Flag("insecure", False, "Allow a --host that other machines reach, without TLS. Ours, not TF-Serving's."),
    Flag("binary", "auto", "auto: tensorflow_model_server where it is on PATH, else embedded; embedded; or the path of a "
                           "tensorflow_model_server. Ours, not TF-Serving's."),
)

# In the order of TF-Serving 2.20's own usage text.
THEIRS = (
    Flag("port", 8500, "TCP port to listen on for gRPC API. Disabled if port set to zero."),
    Flag("grpc_socket_path", "", "If non-empty, listen to a UNIX socket for gRPC API on the given path. Can be either "
                                 "relative or absolute path."),
    Flag("rest_api_port", 0, "Port to listen on for HTTP/REST API. If set to zero HTTP/REST API will not be exported. This port "
                             "must be different than the one specified in --port."),
    Flag("rest_api_num_threads", 0, "Number of threads for HTTP/REST API processing. If not set, four for each CPU."),
    Flag("rest_api_timeout_in_ms", 30000, "Timeout for HTTP/REST API calls."),
    Flag("rest_api_enable_cors_support", False, "Enable CORS headers in response."),
    _not_built("enable_batching", False, "Batch requests."),
    _not_built("allow_version_labels_for_unavailable_models", False, "Assign labels to versions that are not loaded."),
    _not_built("batching_parameters_file", "", "Batching parameters."),
    Flag("model_config_file", "", "If non-empty, read an ascii ModelServerConfig protobuf from the supplied file name, and serve "
                                  "the models in that file. (--model_name, --model_base_path are ignored.)"),
    Flag("model_config_file_poll_wait_seconds", 0, "Interval in seconds between each poll of the filesystem for "
                                                   "model_config_file. If unset or zero, poll only once."),
    Flag("model_name", "default", "Name of model (ignored if --model_config_file flag is set)."),
    Flag("model_base_path", "", "Path to export (ignored if --model_config_file flag is set, otherwise required)."),
    Flag("num_load_threads", 0, "The number of threads that load models. If zero, one for each CPU. (A load that waits for its "
                                "next try occupies none.)"),
    _ignored("num_unload_threads", 0),
    Flag("max_num_load_retries", 5, "Maximum number of times it retries loading a model after the first failure, before giving "
                                    "up. If set to zero, a load is attempted only once."),
    Flag("load_retry_interval_micros", 60_000_000, "The interval, in microseconds, between each servable load retry. If set "
                                                   "negative, it doesn't wait."),
    Flag("file_system_poll_wait_seconds", 1, "Interval in seconds between each poll of the filesystem for new model versions. "
                                             "If set to zero, poll only once. Negative: never."),
    _ignored("flush_filesystem_caches", True),
    Flag("tensorflow_session_parallelism", 0, "Number of threads to use for running a Tensorflow session. Auto-configured by "
                                              "default."),
    _not_built("tensorflow_session_config_file", "", "A text ConfigProto."),
    Flag("tensorflow_intra_op_parallelism", 0, "Number of threads to use to parallelize the execution of an individual op. "
                                               "Auto-configured by default."),
    Flag("tensorflow_inter_op_parallelism", 0, "Controls the number of operators that can be executed simultaneously. "
                                               "Auto-configured by default."),
    _not_built("use_alts_credentials", False, "Google ALTS."),
    _not_built("ssl_config_file", "", "TLS on the gRPC port."),
    _not_built("platform_config_file", "", "A platform configuration."),
    _ignored("per_process_gpu_memory_fraction", 0.0),
    Flag("saved_model_tags", "serve", "Comma-separated set of tags corresponding to the meta graph def to load from SavedModel."),
    Flag("grpc_channel_arguments", "", "A comma separated list of arguments to be passed to the grpc server. (e.g. "
                                       "grpc.max_connection_age_ms=2000)"),
    Flag("grpc_max_threads", 0, "Max grpc server threads to handle grpc messages. If not set, four for each CPU."),
    Flag("enable_model_warmup", True, "Enables model warmup, which triggers lazy initializations (such as TF optimizations) at "
                                      "load time, to reduce first request latency."),
    Flag("num_request_iterations_for_warmup", 0, "Number of times a request is iterated during warmup replay. This value is "
                                                 "used only if > 0."),
    Flag("version", False, "Display version."),
    _not_built("monitoring_config_file", "", "Prometheus metrics."),
    _ignored("remove_unused_fields_from_bundle_metagraph", True),
    _not_built("prefer_tflite_model", False, "TensorFlow Lite models."),
    _ignored("num_tflite_pools", 1),
    _ignored("num_tflite_interpreters_per_pool", 0),
    Flag("enable_signature_method_name_check", False, "Enable method_name check for SignatureDef. Disable this if serving "
                                                      "native TF2 regression/classification models."),
    _ignored("xla_cpu_compilation_enabled", False),
    _ignored("xla_gpu_compilation_enabled", False),
    _ignored("enable_profiler", True),
    _not_built("thread_pool_factory_config_file", "", "A thread pool factory."),
    _ignored("mixed_precision", ""),
    _ignored("skip_initialize_tpu", False),
    Flag("enable_grpc_healthcheck_service", False, "Enable the standard gRPC healthcheck service."),
    Flag("enable_serialization_as_tensor_content", False, "Enable serialization of predict response as tensor content."),
    _not_built("enable_per_model_batching_parameters", False, "Batching parameters per model version."),
)

TABLE: Mapping[str, Flag] = {flag.name: flag for flag in (*THEIRS, *OURS)}


@dataclass(frozen=True)
class Parsed:
    """Every flag's value, the names that were given, and the arguments that are no flags, in order."""

    values: Mapping[str, Value]
    given: frozenset[str]
    unknown: tuple[str, ...]

    def text(self, name: str) -> str:
        return str(self.values[name])

    def number(self, name: str) -> int:
        return int(self.values[name])

    def switch(self, name: str) -> bool:
        return bool(self.values[name])


def parse(argv: Sequence[str]) -> Parsed:
    """Raises InvalidInput for a value that its flag cannot take."""
    values = {flag.name: flag.default for flag in TABLE.values()}
    given, unknown = set(), []
    for argument in argv:
        name, separator, text = argument.removeprefix("--").partition("=")
        flag = TABLE.get(name) if argument.startswith("--") else None
        if flag is None or not (separator or isinstance(flag.default, bool)):
            unknown.append(argument)
            continue
        values[name] = _read(flag, text if separator else "true")
        given.add(name)
    return Parsed(values, frozenset(given), tuple(unknown))


def usage(program: str) -> str:
    lines = [f"usage: {program}", "Flags:"]
    for flag in (*THEIRS, *OURS):
        lines.append(f"\t{f'--{flag.name}={_shown(flag.default)}':<48}\t{_KINDS[type(flag.default)]}\t{flag.help}")
    return "\n".join(lines)


_KINDS = {bool: "bool", int: "int", float: "float", str: "string"}
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def _read(flag: Flag, text: str) -> Value:
    if isinstance(flag.default, bool):
        if text in ("true", "false"):
            return text == "true"
    elif isinstance(flag.default, int):
        if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            return int(text)
    elif isinstance(flag.default, float):
        try:
            return float(text)
        except ValueError:
            pass
    else:
        return text
    raise InvalidInput(f"Couldn't interpret value {text} for flag {flag.name}: it takes {_EXPECTED[type(flag.default)]}.")


_EXPECTED = {bool: "true or false", int: "an integer", float: "a number"}


def _shown(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
