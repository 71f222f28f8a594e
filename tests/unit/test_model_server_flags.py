"""`head-service serve`'s command line: TF-Serving's syntax and rules."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from head_service.model_server import binary
from head_service.model_server.cli import main
from head_service.model_server.flags import OURS, TABLE, THEIRS, parse, usage
from head_service.model_server.settings import settings_of
from head_service.model_server.status import ServingError
from twohop.errors import InvalidInput


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """`main` sets up the process's logging; here there are other tests after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


ONE_MODEL = ["--model_name=m", "--model_base_path=/models/m"]


def test_all_48_flags_of_tf_serving_are_known_with_their_defaults() -> None:
    assert len(THEIRS) == 48
    defaults = parse([]).values
    expected = {
        "port": 8500, "rest_api_port": 0, "model_name": "default", "rest_api_timeout_in_ms": 30000, "max_num_load_retries": 5,
        "load_retry_interval_micros": 60_000_000, "file_system_poll_wait_seconds": 1, "enable_model_warmup": True,
        "saved_model_tags": "serve", "model_config_file_poll_wait_seconds": 0, "enable_batching": False,
    }
    assert {name: defaults[name] for name in expected} == expected


@pytest.mark.parametrize(("argument", "name", "value"), [
    ("--port=9000", "port", 9000),
    ("--port=-1", "port", -1),
    ("--model_name=a=b", "model_name", "a=b"),
    ("--model_name=", "model_name", ""),
    ("--rest_api_enable_cors_support", "rest_api_enable_cors_support", True),
    ("--enable_model_warmup=false", "enable_model_warmup", False),
    ("--enable_model_warmup=true", "enable_model_warmup", True),
    ("--per_process_gpu_memory_fraction=0.5", "per_process_gpu_memory_fraction", 0.5),
])
def test_values_are_read(argument: str, name: str, value: object) -> None:
    parsed = parse([argument])
    assert parsed.values[name] == value
    assert (parsed.given, parsed.unknown) == ({name}, ())


@pytest.mark.parametrize("argument", [
    "--port=", "--port=x", "--port=1.5", "--port= 1", "--enable_model_warmup=yes", "--enable_model_warmup=",
    "--per_process_gpu_memory_fraction=half", f"--port={2**63}",
])
def test_a_value_that_cannot_be_read_is_an_error_that_names_the_flag(argument: str) -> None:
    name = argument.removeprefix("--").partition("=")[0]
    with pytest.raises(InvalidInput, match=f"Couldn't interpret value .* for flag {name}"):
        parse([argument])


def test_unknown_flags_and_blank_separated_values_are_kept_aside() -> None:
    parsed = parse(["--foo", "--bar=1", "--port", "9000", "-port=1", "port=2"])
    assert parsed.unknown == ("--foo", "--bar=1", "--port", "9000", "-port=1", "port=2")
    assert parsed.number("port") == 8500


def test_an_unreadable_value_prints_the_usage_and_exits_255(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port=x"]) == 255
    said = capsys.readouterr()
    assert said.out.startswith("usage: ")
    assert "flag port" in said.err


def test_an_unknown_flag_is_told_and_the_start_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--foo", "--binary=embedded"]) == 255
    said = capsys.readouterr().out
    assert said.startswith("unknown argument: --foo\nusage: ")
    assert "Failed to start server. Error: INVALID_ARGUMENT: Both server_options.model_base_path and" in said


def test_version_and_help_say_what_they_are_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version", "--binary=embedded"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "TensorFlow ModelServer", "TensorFlow Library"]
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.strip() == usage("head-service serve")


def test_the_usage_names_every_flag_with_its_default() -> None:
    text = usage("program")
    assert all(f"--{flag.name}=" in text for flag in TABLE.values())


def test_reading_flags_loads_nothing_heavy() -> None:
    code = (
        "import sys; from head_service.model_server.cli import main; main(['--help']); main(['--version', '--binary=embedded']); "
        "print([name for name in ('tensorflow', 'numpy', 'grpc', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("argument", [
    "--enable_batching", "--batching_parameters_file=x", "--enable_per_model_batching_parameters", "--ssl_config_file=x",
    "--monitoring_config_file=x", "--allow_version_labels_for_unavailable_models", "--platform_config_file=x",
    "--thread_pool_factory_config_file=x", "--use_alts_credentials", "--prefer_tflite_model",
    "--tensorflow_session_config_file=x",
])
def test_flags_that_would_change_what_is_done_are_refused_until_they_are_built(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ONE_MODEL, "--binary=embedded", argument]) == 255
    name = argument.partition("=")[0]
    assert f"Failed to start server. Error: UNIMPLEMENTED: {name} is not built yet" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "text"), [
    ([], "Both server_options.model_base_path and server_options.model_config_file are empty"),
    ([*ONE_MODEL, "--port=0"], "grpc_port is not set"),
    ([*ONE_MODEL, "--port=70000"], "--port=70000 is no port"),
    ([*ONE_MODEL, "--host=0.0.0.0"], "give --insecure"),
    ([*ONE_MODEL, "--host=10.1.2.3"], "reachable from other machines"),
    ([*ONE_MODEL, "--repository=/r"], "--repository says what is served"),
    ([*ONE_MODEL, "--grpc_channel_arguments=a"], "'a' is no KEY=VALUE"),
    ([*ONE_MODEL, "--tensorflow_session_parallelism=1", "--tensorflow_intra_op_parallelism=1",
      "--tensorflow_inter_op_parallelism=1"], "cannot all be set"),
])
def test_flags_that_cannot_be_followed_are_refused_with_the_reason(arguments: list[str], text: str) -> None:
    with pytest.raises(ServingError) as raised:
        settings_of(parse(arguments))
    assert text in raised.value.message


def test_flags_become_settings() -> None:
    found = settings_of(parse([
        *ONE_MODEL, "--host=0.0.0.0", "--insecure", "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,a=b,c=-1",
        "--load_retry_interval_micros=-1", "--num_request_iterations_for_warmup=3", "--tensorflow_session_parallelism=2",
        "--tensorflow_inter_op_parallelism=5", "--grpc_max_threads=6", "--saved_model_tags=serve,gpu",
    ]))
    assert found.grpc.channel_arguments == (("grpc.max_connection_age_ms", 2000), ("a", "b"), ("c", -1))
    assert (found.grpc.host, found.grpc.threads) == ("0.0.0.0", 6)
    assert (found.loading.retry_s, found.loading.warmup_iterations) == (0.0, 3)
    assert (found.session.intra_op_threads, found.session.inter_op_threads) == (2, 5)
    assert found.session.tags == ("serve", "gpu")
    assert settings_of(parse([*ONE_MODEL, "--enable_model_warmup=false"])).loading.warmup_iterations == 0


def test_a_repository_is_its_config_file_followed() -> None:
    source = settings_of(parse(["--repository=/r"])).source
    assert (source.config_file, source.poll_s, source.may_be_absent) == (Path("/r/models.config"), 1.0, True)
    slower = settings_of(parse(["--repository=/r", "--model_config_file_poll_wait_seconds=9"])).source
    assert slower.poll_s == 9


# --- which program

def no_program(name: str) -> str | None:
    return None


def any_program(name: str) -> str | None:
    return f"/bin/{name.rpartition('/')[2]}"


def test_the_binary_of_this_machine_is_used_where_there_is_one() -> None:
    assert binary.chosen(parse([]), no_program) is None
    assert binary.chosen(parse([]), any_program) == "/bin/tensorflow_model_server"
    assert binary.chosen(parse(["--binary=embedded"]), any_program) is None
    assert binary.chosen(parse(["--binary=/opt/tfs"]), any_program) == "/bin/tfs"
    with pytest.raises(ServingError, match="is no program"):
        binary.chosen(parse(["--binary=/opt/tfs"]), no_program)


def test_a_host_that_the_binary_cannot_keep_to_is_not_given_up_silently() -> None:
    assert binary.chosen(parse(["--host=127.0.0.1"]), any_program) is None
    assert binary.chosen(parse(["--host=0.0.0.0", "--insecure"]), any_program) is not None
    with pytest.raises(ServingError, match="cannot keep to"):
        binary.chosen(parse(["--host=127.0.0.1", "--binary=/opt/tfs"]), any_program)


def test_our_flags_are_translated_for_the_binary() -> None:
    argv = ["--repository=/r", "--port=1", "--host=0.0.0.0", "--insecure", "--binary=auto", "--unknown"]
    assert binary.translated(argv, parse(argv)) == [
        "--port=1", "--unknown", "--model_config_file=/r/models.config", "--model_config_file_poll_wait_seconds=1"]
    assert not any(flag.name in " ".join(binary.translated(ONE_MODEL, parse(ONE_MODEL))) for flag in OURS)


def test_a_binary_on_path_takes_this_process_over(tmp_path: Path) -> None:
    program = tmp_path / "tensorflow_model_server"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (tmp_path / "models.config").write_text("")
    code = f"from head_service.model_server.cli import main; main(['--repository={tmp_path}', '--port=1'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
                          timeout=60, check=True)
    assert done.stdout.split() == [
        "--port=1", f"--model_config_file={tmp_path}/models.config", "--model_config_file_poll_wait_seconds=1"]
    assert "listens on every address" in done.stderr
