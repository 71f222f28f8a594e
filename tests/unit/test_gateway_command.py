"""The command line of `head-service gateway`: what it refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from head_service.gateway.command import gateway
from twohop import command

HOPS = ["--embedding", "127.0.0.1:1", "--heads", "127.0.0.1:1"]


def run(*arguments: str, environment: dict[str, str] | None = None) -> int:
    group = command.program("head-service", prefix="TWOHOP_HEAD", summary="")
    group.add_command(gateway)
    with pytest.raises(SystemExit) as end:
        command.run(group, ["gateway", *arguments], environment or {})
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--head", "a"], "--embedding"),
        (["--embedding", "h:1", "--head", "a"], "--heads"),
        (HOPS, "--repository DIR or --head NAME"),
        ([*HOPS, "--head", "a", "--repository", "."], "--repository DIR or --head NAME"),
        ([*HOPS, "--head", "a", "--port", "70000"], "--port"),
        ([*HOPS, "--head", "a", "--timeout-ms", "0"], "--timeout-ms"),
        ([*HOPS, "--head", "a", "--key-file", "/nowhere"], "/nowhere"),
        ([*HOPS, "--head", "a", "--hop-cert", "/dev/null"], "--hop-key"),
    ],
)
def test_wrong_use_is_told_by_the_flags_name(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err


def test_a_misspelt_name_in_the_environment_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*HOPS, "--head", "a", environment={"TWOHOP_GATEWAY_PROT": "1"}) == 2
    assert "TWOHOP_GATEWAY_PORT" in capsys.readouterr().err


def test_a_host_that_others_reach_needs_keys_and_tls_or_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*HOPS, "--head", "a", "--host", "0.0.0.0", "--port", "0") == 1
    assert "--insecure" in capsys.readouterr().err


def test_an_address_that_is_none_ends_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--embedding", "http://h:1", "--heads", "h:1", "--head", "a", "--port", "0") == 1
    assert "http://h:1" in capsys.readouterr().err


def test_a_key_for_the_hops_must_be_in_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("\n")
    assert run(*HOPS, "--head", "a", "--port", "0", "--hop-token-file", str(tmp_path / "token")) == 1
    assert str(tmp_path / "token") in capsys.readouterr().err
