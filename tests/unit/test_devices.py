"""Which devices there are, as CUDA itself would count them, without PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedding_service.model.devices import cpu_computes_bfloat16, cuda_devices


@pytest.fixture
def two_cards(tmp_path: Path) -> Path:
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / bus).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("chosen", "devices"),
    [(None, ("0", "1")), ("1", ("1",)), ("1, 0", ("1", "0")), ("", ()), ("-1", ()), ("0,7,1", ("0",)), ("GPU-8f", ("GPU-8f",))],
)
def test_a_process_sees_the_cards_that_cuda_visible_devices_leaves_it(
    chosen: str | None, devices: tuple[str, ...], two_cards: Path
) -> None:
    environment = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert cuda_devices(environment, two_cards) == devices


def test_without_a_driver_there_is_no_device_whatever_the_environment_says(tmp_path: Path) -> None:
    assert cuda_devices({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path) == ()


def test_where_the_driver_lists_none_its_device_nodes_count(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert cuda_devices({}, tmp_path) == ("0",)


def test_bfloat16_is_a_word_among_the_processors_flags(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("flags\t\t: fpu avx512f avx512_bf16\n")
    assert cpu_computes_bfloat16(file)
    file.write_text("flags\t\t: fpu avx512f\n")
    assert not cpu_computes_bfloat16(file)
    assert not cpu_computes_bfloat16(tmp_path / "none")
