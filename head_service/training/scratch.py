"""Arrays larger than memory: mapped onto files that have no name, so that they go with the process, however it ends."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads.material import Matrix
from twohop_service import durable

ROWS_AT_ONCE = 4096


def array(folder: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros of that shape, on the disk that `folder` lies on. Raises Failed where it has no room for them."""
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    with durable.explained("keep arrays for training in", folder), tempfile.TemporaryFile(dir=folder) as file:
        _reserve(file.fileno(), math.prod(shape) * np.dtype(dtype).itemsize)
        mapped: npt.NDArray[Any] = np.memmap(file, dtype, mode="r+", shape=shape).view(np.ndarray)
    return mapped


def taken(source: Matrix, indices: npt.NDArray[np.int64], folder: Path) -> npt.NDArray[Any]:
    """The rows of `source` at `indices`, in that order."""
    rows = array(folder, (len(indices), *source.shape[1:]), source[:0].dtype)
    for start in range(0, len(indices), ROWS_AT_ONCE):
        some = indices[start : start + ROWS_AT_ONCE]
        rows[start : start + len(some)] = source[some]
    return rows


def _reserve(descriptor: int, size_bytes: int) -> None:
    """Now, so that a full disk is an error with a name, where writing to the map later would kill the process (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
    else:
        os.ftruncate(descriptor, size_bytes)
