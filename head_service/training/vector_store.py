"""Vectors on disk, so that training again embeds nothing and an interrupted run goes on where it stopped.

One SQLite file per fingerprint and numerics class; a row is the SHA-256 of a text and its vectors: one, or one for each
token. SQLite's own locking keeps concurrent trainers apart, its journal keeps the file whole through a crash.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twohop.errors import Failed
from twohop_service import durable

BUSY_TIMEOUT_S = 60.0
_KEYS_PER_QUERY = 500  # SQLite's oldest limit on parameters is 999
_PAGE_BYTES = 32768  # vectors of 6 KiB would waste a quarter of SQLite's usual 4 KiB pages


class VectorStore:
    """Vectors of one encoder: `dtype` [rows, dimension] per text, rows 1 for a pooled encoder. Closes with `with`."""

    def __init__(self, folder: Path, fingerprint: str, numerics: str, dimension: int, dtype: str = "float32") -> None:
        self.path = folder / f"{fingerprint}.{numerics}.sqlite"
        self._dimension, self._dtype = dimension, np.dtype(dtype).newbyteorder("<")
        with durable.explained("write vectors to", folder):
            folder.mkdir(parents=True, exist_ok=True)
        with self._explained(), ExitStack() as unusable:
            self._database = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            unusable.callback(self._database.close)
            self._database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("CREATE TABLE IF NOT EXISTS vectors (text_sha256 BLOB PRIMARY KEY, vectors BLOB NOT NULL)")
            unusable.pop_all()

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()

    def get(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
        """The vectors of those texts that are here, each [rows, D]. Raises Failed."""
        by_key = {_key(text): text for text in texts}
        return {by_key[key]: self._array(blob) for key, blob in self._select("vectors", list(by_key))}

    def rows(self, texts: Sequence[str]) -> dict[str, int]:
        """How many vectors each of those texts has that are here; reads none of them. Raises Failed."""
        by_key = {_key(text): text for text in texts}
        row_bytes = self._dimension * self._dtype.itemsize
        return {by_key[key]: size // row_bytes for key, size in self._select("length(vectors)", list(by_key))}

    def put(self, vectors: dict[str, npt.NDArray[np.generic]]) -> None:
        """Keeps the vectors of some texts, in one transaction. Raises Failed."""
        rows = [(_key(text), np.ascontiguousarray(array, self._dtype).tobytes()) for text, array in vectors.items()]
        with self._explained(), self._database:  # commits at the end, or rolls back
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _select(self, what: str, keys: list[bytes]) -> Iterator[tuple[bytes, Any]]:
        with self._explained():
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = keys[start : start + _KEYS_PER_QUERY]
                query = f"SELECT text_sha256, {what} FROM vectors WHERE text_sha256 IN ({','.join('?' * len(some))})"
                yield from self._database.execute(query, some)

    def _array(self, blob: bytes) -> npt.NDArray[np.generic]:
        array = np.frombuffer(blob, self._dtype)
        if array.size == 0 or array.size % self._dimension:
            raise Failed(f"{self.path} holds vectors of another size than {self._dimension}: remove it, and texts embed again")
        return array.reshape(-1, self._dimension)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Failed(
                f"cannot use the kept vectors in {self.path} ({error}): remove the file, or give another --vectors folder",
                detail={"path": str(self.path)},
            ) from error


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()
