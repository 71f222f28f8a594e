"""The Dockerfiles and the compose file, checked by other people's tools and against what production asks for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from container_files import COMPOSE, DOCKERFILES, ROOT, compose_services, container, image

BINARIES = Path(sys.executable).parent
BY_NAME = {path.name.removesuffix(".Dockerfile"): path for path in DOCKERFILES}
PINNED = re.compile(r"[a-z/]+:\d+\.\d+\.\d+[\w.-]*")


def test_every_image_of_the_design_has_a_dockerfile() -> None:
    assert set(BY_NAME) == {"embedding", "embedding-cuda", "trainer", "gateway"}


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([BINARIES / "hadolint", *DOCKERFILES], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_follows_its_schema() -> None:
    argv = [BINARIES / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_images_run_as_nobody_special_on_a_pinned_base(name: str) -> None:
    built = image(BY_NAME[name])
    assert built.user == "10001"
    assert PINNED.fullmatch(built.base)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_images_install_nothing_unlocked_and_copy_only_what_there_is(name: str) -> None:
    text = BY_NAME[name].read_text()
    for line in re.findall(r"pip install .*", text):
        assert "--require-hashes" in line or "/wheels/" in line or '"$TORCH"' in line, line
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split()), sources


def test_the_weights_in_images_are_those_that_setup_verifies() -> None:
    from deploy.development.environment import WEIGHTS, WEIGHTS_SHA256

    for name in ("embedding", "embedding-cuda"):
        text = BY_NAME[name].read_text()
        assert WEIGHTS_SHA256 in text
        assert WEIGHTS in text


def test_every_service_restarts_within_limits_and_the_long_running_ones_are_watched() -> None:
    for name, service in compose_services().items():
        assert service["restart"], name
        assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        if name != "trainer":
            assert container(name).health, name
            assert int(service["stop_grace_period"].removesuffix("s")) >= 30, name


def test_ports_are_published_on_this_machine_alone_unless_told() -> None:
    for name, service in compose_services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_the_two_machines_need_nothing_of_each_other_to_start() -> None:
    """Compose refuses a service that depends on one of a profile that is not chosen."""
    services = compose_services()
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            assert services[needed]["profiles"] == service["profiles"], name


def test_heads_run_on_the_stock_image_and_follow_models_config() -> None:
    service = compose_services()["heads"]
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", service["image"])
    assert "--model_config_file=/models/models.config" in service["command"]
    assert any(flag.startswith("--model_config_file_poll_wait_seconds=") for flag in service["command"])
