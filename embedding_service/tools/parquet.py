"""The `pyarrow` library behind one door: columns of a Parquet input, a window's vectors as a part, parts as the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embedding_service.tools.texts_in import Columns, Fields, positions, refuse
from twohop.errors import Failed, InvalidInput

READ_ROWS = 8192
Vectors = NDArray[Any]            # float32 or float16


@dataclass(frozen=True)
class Layout:
    """What the columns of an output are. `id_kind`: int or str."""

    id_kind: type
    dimension: int
    per_token: bool
    dtype: str

    def schema(self, metadata: Mapping[str, str]) -> pa.Schema:
        value = pa.from_numpy_dtype(np.dtype(self.dtype))
        vector = pa.list_(pa.list_(value)) if self.per_token else pa.list_(value, self.dimension)
        return pa.schema(
            [
                pa.field("id", pa.int64() if self.id_kind is int else pa.string(), nullable=False),
                pa.field("vector", vector, nullable=False),
                pa.field("tokens", pa.int32(), nullable=False),
                pa.field("truncated", pa.bool_(), nullable=False),
            ],
            metadata=dict(metadata),
        )


def read_columns(path: Path, columns: Columns) -> tuple[int, Fields]:
    """(rows in all, rows). Raises InvalidInput for what is no Parquet, lacks a column, or has one of another type."""
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{path}: no Parquet file ({error})", detail={"path": str(path)}) from error
    schema = file.schema_arrow
    text, key = positions(path, schema.names, columns)
    if not _is_string(schema.field(text).type):
        raise InvalidInput(f"{path}: column {schema.names[text]!r} is {schema.field(text).type}, not strings; name another by "
                           "--text-column", detail={"path": str(path), "column": schema.names[text]})
    if key is not None and not (_is_string(schema.field(key).type) or pa.types.is_integer(schema.field(key).type)):
        raise InvalidInput(f"{path}: column {schema.names[key]!r} is {schema.field(key).type}, neither strings nor whole "
                           "numbers; name another by --id-column", detail={"path": str(path), "column": schema.names[key]})
    return file.metadata.num_rows, _rows(path, file, schema.names[text], None if key is None else schema.names[key])


def _rows(path: Path, file: pq.ParquetFile, text: str, key: str | None) -> Fields:
    number = 0
    names = [text] if key in (None, text) else [text, key]
    try:
        for batch in file.iter_batches(READ_ROWS, columns=names):
            texts = batch.column(text).to_pylist()
            keys: list[Any] = [None] * len(texts) if key is None else batch.column(key).to_pylist()
            for value, name in zip(texts, keys, strict=True):
                if key is not None and name is None:
                    refuse(path, number, f"{key!r} is null; give it a value", unit="row")
                yield number, value, name, number + 1
                number += 1
    except (pa.ArrowException, UnicodeDecodeError) as error:
        refuse(path, number, f"this row or one of the next {READ_ROWS} cannot be read ({error})", unit="row")


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def write_part(
    file: BinaryIO, layout: Layout, ids: Sequence[int | str], vectors: Vectors, tokens: Sequence[int], truncated: Sequence[bool]
) -> None:
    """`vectors` [sum of rows, D]: one a text, or of a token encoder `tokens` many. Raises OSError."""
    schema = layout.schema({})
    values = pa.array(vectors.reshape(-1))
    if layout.per_token:
        rows = pa.ListArray.from_arrays(np.arange(len(vectors) + 1, dtype=np.int32) * layout.dimension, values)
        vector = pa.ListArray.from_arrays(np.cumsum([0, *tokens], dtype=np.int32), rows)
    else:
        vector = pa.FixedSizeListArray.from_arrays(values, layout.dimension)
    columns = [pa.array(ids, schema.field("id").type), vector, pa.array(tokens, pa.int32()), pa.array(truncated, pa.bool_())]
    with pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))


def join_parts(file: BinaryIO, layout: Layout, parts: Sequence[Path], metadata: Mapping[str, str]) -> tuple[int, int]:
    """Each part a row group, in order; the same parts make the same bytes. Returns (rows, how many of them truncated).

    Vectors are stored plain: dictionaries and compression cost time and save nothing on them. Raises OSError, and Failed,
    naming it, for a part that is no longer whole.
    """
    schema = layout.schema({**metadata, "dimension": str(layout.dimension)})
    rows = truncated = 0
    with pq.ParquetWriter(file, schema, use_dictionary=False, compression="none", write_statistics=["id", "tokens"]) as writer:
        for part in parts:
            with pa.memory_map(str(part)) as source:
                table = _whole(part, source).replace_schema_metadata(schema.metadata)
                writer.write_table(table, row_group_size=len(table))
                rows += len(table)
                truncated += table.column("truncated").to_numpy().sum(dtype=int).item()
    return rows, truncated


def _whole(part: Path, source: pa.MemoryMappedFile) -> pa.Table:
    try:
        return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid as error:
        raise Failed(f"{part} is damaged ({error}): delete it and run the same command again, which makes it anew",
                     detail={"path": str(part)}) from error
