"""Vectors kept on disk: what was put is found again, byte for byte, and a broken file says so."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from head_service.training.vector_store import VectorStore
from twohop.errors import Failed

FINGERPRINT = "enc-0123456789ab"


def vectors_of(texts: list[str]) -> dict[str, np.ndarray]:
    return {text: np.random.default_rng(abs(len(text))).normal(size=(1, 6)).astype(np.float32) for text in texts}


def test_vectors_come_back_as_they_were_also_to_another_run(tmp_path: Path) -> None:
    kept = vectors_of(["one", "three", "línea\nzwei", "x" * 100_000])
    with VectorStore(tmp_path / "new/folder", FINGERPRINT, "rule-f32", 6) as store:
        store.put(kept)
    with VectorStore(tmp_path / "new/folder", FINGERPRINT, "rule-f32", 6) as store:
        found = store.get([*kept, "unknown"])
    assert found.keys() == kept.keys()
    assert all(np.array_equal(found[text], kept[text]) for text in kept)


def test_encoders_and_numerics_never_mix(tmp_path: Path) -> None:
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6) as store:
        store.put(vectors_of(["one"]))
    for fingerprint, numerics in ((FINGERPRINT, "rule-bf16"), ("enc-aaaaaaaaaaaa", "rule-f32")):
        with VectorStore(tmp_path, fingerprint, numerics, 6) as store:
            assert store.get(["one"]) == {}


def test_more_texts_than_one_query_holds(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1234)]
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6) as store:
        store.put(vectors_of(texts))
        assert len(store.get(texts)) == 1234


def test_several_vectors_a_text_keep_their_shape(tmp_path: Path) -> None:
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6, dtype="float16") as store:
        store.put({"two tokens": np.ones((4, 6), np.float16)})
        assert store.get(["two tokens"])["two tokens"].shape == (4, 6)


def test_concurrent_trainers_keep_all_vectors(tmp_path: Path) -> None:
    def keep(part: int) -> None:
        with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6) as store:
            for number in range(20):
                store.put(vectors_of([f"{part} {number}", f"shared {number}"]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6) as store:
        assert len(store.get([f"{part} {number}" for part in [*range(4), "shared"] for number in range(20)])) == 100


def test_a_file_that_is_no_database_or_of_another_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / f"{FINGERPRINT}.rule-f32.sqlite"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(Failed, match="remove the file"):
        VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6)
    path.unlink()
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6) as store:
        store.put(vectors_of(["one"]))
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 4) as store, pytest.raises(Failed, match="another size"):
        store.get(["one"])


def test_a_transaction_that_fails_keeps_nothing_of_it(tmp_path: Path) -> None:
    with VectorStore(tmp_path, FINGERPRINT, "rule-f32", 6) as store:
        other = sqlite3.connect(store.path)
        refuse_large = "WHEN length(NEW.vectors) > 24 BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        other.execute(f"CREATE TRIGGER full BEFORE INSERT ON vectors {refuse_large}")
        other.commit()
        other.close()
        with pytest.raises(Failed):
            store.put({"small": np.ones((1, 6), np.float32), "large": np.ones((2, 6), np.float32)})
        assert store.get(["small"]) == {}
