"""CRC-32C against its published check values and a bit-by-bit computation; damaged checkpoints are refused naming the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.model.crc32c import crc32c
from embedding_service.model.google_checkpoint import GoogleCheckpoint
from twohop.errors import Failed


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(("data", "crc"), [
    (b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
])
def test_the_check_values_of_rfc_3720(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@given(st.integers(0, 9000), st.integers(0, 2**32 - 1))
def test_stretches_side_by_side_give_what_one_bit_at_a_time_gives(length: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, length, np.uint8).tobytes()
    assert crc32c(data) == bit_by_bit(data)


@pytest.mark.parametrize("content", [b"", b"short", bytes(200)])
def test_what_is_no_index_is_refused_naming_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.ckpt.index").write_bytes(content)
    with pytest.raises(Failed, match=r"model\.ckpt\.index is damaged or no TensorFlow checkpoint"):
        GoogleCheckpoint(tmp_path / "model.ckpt")


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"model\.ckpt\.index cannot be read"):
        GoogleCheckpoint(tmp_path / "model.ckpt")
