"""CRC-32C (Castagnoli) of large buffers in numpy: many stretches side by side, put together by the algebra of CRCs.

The reflected polynomial and the joining of two CRCs are zlib's (`crc32_combine`), with Castagnoli's polynomial.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78
MOST_LANES = 1 << 15            # their states stay in the processor's second cache
_ONE, _ONE_BYTE = 1 << 31, 1 << 23      # x^0 and x^8, reflected


def crc32c(data: bytes | memoryview | NDArray[np.uint8]) -> int:
    """About 0.3 GB/s."""
    bytes_ = np.frombuffer(data, np.uint8) if not isinstance(data, np.ndarray) else data
    lanes = 1
    while lanes < MOST_LANES and len(bytes_) // (2 * lanes) >= 64:
        lanes *= 2
    words = len(bytes_) // lanes // 4
    crc = 0
    if words:
        crc = _join(_stretches(bytes_[: lanes * words * 4].view("<u4").reshape(lanes, words)), words * 4)
    return _continue(crc, bytes_[lanes * words * 4 :].tobytes())


def masked_crc32c(data: bytes | memoryview | NDArray[np.uint8]) -> int:
    """As TensorFlow and LevelDB store it, so that a CRC of data that holds CRCs is not degenerate."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _stretches(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """words [lanes, W] -> the CRC of each row [lanes]."""
    tables = _tables()
    crc = np.full(len(words), 0xFFFFFFFF, np.uint32)
    for column in range(words.shape[1]):
        crc ^= words[:, column]
        crc = (tables[3][crc & 255] ^ tables[2][crc >> 8 & 255]) ^ (tables[1][crc >> 16 & 255] ^ tables[0][crc >> 24])
    return crc ^ np.uint32(0xFFFFFFFF)


def _join(crcs: NDArray[np.uint32], length: int) -> int:
    """CRCs of consecutive stretches of `length` bytes, a power of two of them, -> that of all."""
    shift = _power(length)
    while len(crcs) > 1:
        crcs = _times(shift, crcs[0::2]) ^ crcs[1::2]
        shift = _times(shift, shift)
    return int(crcs[0])


def _continue(crc: int, data: bytes) -> int:
    table, crc = _byte_table(), crc ^ 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _times(a: int, b: Any) -> Any:
    """The product of two reflected polynomials; `b` an int, or uint32 [N]."""
    product = b & 0
    while a:
        if a & _ONE:
            product = product ^ b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (b & 1) * POLYNOMIAL if isinstance(b, int) else b >> 1 ^ (b & 1) * np.uint32(POLYNOMIAL)
    return product


def _power(bytes_: int) -> int:
    """x to the power of 8 * bytes_."""
    result, square = _ONE, _ONE_BYTE
    while bytes_:
        if bytes_ & 1:
            result = _times(square, result)
        square, bytes_ = _times(square, square), bytes_ >> 1
    return result


@cache
def _byte_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (byte & 1) * POLYNOMIAL
        table.append(byte)
    return table


@cache
def _tables() -> list[NDArray[np.uint32]]:
    """Table k: what a byte does to the CRC with k more bytes after it."""
    tables = [np.array(_byte_table(), np.uint32)]
    for _ in range(3):
        tables.append(tables[-1] >> 8 ^ tables[0][tables[-1] & 255])
    return tables
