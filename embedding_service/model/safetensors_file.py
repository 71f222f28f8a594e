"""Read-only view of one `.safetensors` file, and how to write one: the header is JSON, the tensors are views into a memory map.

Format: 8 bytes little-endian header length, the header, then the data; `data_offsets` count from the end of the header.
Nothing is copied until someone asks for a tensor as float32 that is stored as something else.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twohop.errors import Failed

# Size in bytes of the kinds that hold weights. BF16 is the upper half of a float32.
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class Entry:
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


class SafetensorsFile:
    """Raises Failed, naming the file, if it is missing, cut off or not a safetensors file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:
            raise Failed(f"cannot read weights {path}: {error}", detail={"file": str(path)}) from error
        self.entries = self._read_header()

    def _read_header(self) -> dict[str, Entry]:
        try:
            length = int.from_bytes(self._map[:8], "little")
            header: dict[str, Any] = json.loads(self._map[8 : 8 + length])
            header.pop("__metadata__", None)
            base = 8 + length
            entries = {}
            for name, value in header.items():
                start, end = value["data_offsets"]
                entries[name] = Entry(value["dtype"], tuple(value["shape"]), base + start, base + end)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise Failed(f"{self.path} is not a safetensors file ({error})", detail={"file": str(self.path)}) from error
        for name, entry in entries.items():
            size = WIDTHS.get(entry.kind, 0) * int(np.prod(entry.shape, dtype=np.int64))
            is_within = base <= entry.start <= entry.end <= len(self._map)
            if not is_within or (entry.kind in WIDTHS and entry.end - entry.start != size):
                raise Failed(f"{self.path} is cut off or damaged at tensor {name}: copy or download it again",
                             detail={"file": str(self.path), "tensor": name})
        return entries

    def float32(self, name: str) -> NDArray[np.float32]:
        """The tensor as float32; a view into the file if it is stored so. Raises Failed for a kind that holds no weights."""
        entry = self.entries[name]
        if entry.kind not in WIDTHS:
            raise Failed(f"{self.path}: tensor {name} is stored as {entry.kind}; this service reads {', '.join(WIDTHS)}",
                         detail={"file": str(self.path), "tensor": name})
        stored = np.frombuffer(self._map, _STORED[entry.kind], int(np.prod(entry.shape, dtype=np.int64)), entry.start)
        if entry.kind == "BF16":
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32, copy=False).reshape(entry.shape)

    def drop_pages(self) -> None:
        """Gives the pages read so far back to the system's cache: they no longer count as this process's memory."""
        self._map.madvise(mmap.MADV_DONTNEED)


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], NDArray[np.float32]]) -> None:
    """A file of float32 tensors, on disk when this returns; `read` is asked for one at a time, so that one at most is in memory.

    Raises ValueError if a tensor is not of the shape announced, OSError if it cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}         # transformers asks for it
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)                                     # so that the tensors are aligned
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name, shape in shapes.items():
            tensor = read(name)
            if tensor.shape != shape:
                raise ValueError(f"tensor {name} has shape {tensor.shape}, announced was {shape}")
            file.write(np.ascontiguousarray(tensor, "<f4").data)
        file.flush()
        os.fsync(file.fileno())


_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
