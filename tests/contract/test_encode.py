"""`embedding-service encode` at its front door: each kind of file in, the right vectors out, and the same bytes after a kill."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoder_machinery import cosines, described, loaded, workload
from services import PROGRAM, until

from embedding_service.model.encoder import describe_encoders
from embedding_service.tools.encode import alone
from embedding_service.tools.journal import Journal

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import tiny_bert

PATIENCE_S = 120


def start(*arguments: object, limit: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    command = [str(PROGRAM), "encode", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit)


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    said, complained = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, complained
    assert "Traceback" not in complained
    return said, complained


def encode(*arguments: object) -> dict[str, object]:
    return json.loads(finish(start(*arguments, "--json"))[0])


def refusal(*arguments: object, code: int = 1) -> str:
    return finish(start(*arguments), code)[1]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 rows as Parquet, with ids."""
    texts = (workload() * 2)[:2000]
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.table({"id": [f"r{number}" for number in range(2000)], "text": texts}), path, row_group_size=700)
    return path


@pytest.fixture(scope="module")
def undisturbed(rows: Path) -> Path:
    output = rows.with_name("undisturbed.parquet")
    summary = encode(rows, output, "--window", 256)
    assert (summary["rows"], summary["resumed"], summary["truncated"]) == (2000, 0, 0)
    assert not output.with_name("undisturbed.parquet.parts").exists()
    return output


def test_vectors_are_the_encoders_in_the_order_of_the_rows_and_the_file_says_whose(rows: Path, undisturbed: Path) -> None:
    table = pq.read_table(undisturbed)
    assert table.column("id").to_pylist() == [f"r{number}" for number in range(2000)]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 384)
    encoder = described()[0]
    tokens = encoder.encode_batch(pq.read_table(rows).column("text").to_pylist())
    assert table.column("tokens").to_pylist() == [len(each.ids) for each in tokens]
    vectors = np.stack(table.column("vector").to_numpy(zero_copy_only=False))
    want = np.concatenate(loaded("auto").run([(0, each.ids, each.types) for each in tokens]).vectors)
    assert cosines(vectors, want).min() >= 0.9999
    about = table.schema.metadata
    assert about[b"encoder"] == b"minilm"
    assert about[b"fingerprint"].decode() == encoder.fingerprint
    assert about[b"numerics"].decode() == loaded("auto").numerics
    assert about[b"dimension"] == b"384"
    assert pq.ParquetFile(undisturbed).metadata.num_row_groups == 8


@pytest.mark.parametrize("gap_s", [0.005, 0.05, 0.1])
def test_an_impatient_second_ctrl_c_ends_it_as_the_first(rows: Path, tmp_path: Path, gap_s: float) -> None:
    output, parts = tmp_path / "twice.parquet", tmp_path / "twice.parquet.parts"
    process = start(rows, output, "--window", 256)
    until(lambda: any(parts.glob("*.arrow")))
    process.send_signal(signal.SIGINT)
    time.sleep(gap_s)
    process.send_signal(signal.SIGINT)
    _, complained = finish(process, 1)
    assert complained.count("\n") == 1
    assert "interrupted; the same command again goes on" in complained


def test_killed_half_way_and_started_again_it_writes_the_same_bytes(rows: Path, undisturbed: Path, tmp_path: Path) -> None:
    output, parts = tmp_path / "killed.parquet", tmp_path / "killed.parquet.parts"
    for stop in (signal.SIGKILL, signal.SIGINT):
        process = start(rows, output, "--window", 256)
        before = len(list(parts.glob("*.arrow")))
        until(lambda before=before: len(list(parts.glob("*.arrow"))) > before)
        if stop == signal.SIGKILL:
            assert "another encode is writing" in refusal(rows, output, "--window", 256)
        process.send_signal(stop)
        _, complained = process.communicate(timeout=PATIENCE_S)
        assert not output.exists()
    assert process.returncode == 1
    assert complained.count("\n") == 1
    assert "interrupted; the same command again goes on" in complained

    changed = pq.read_table(rows).to_pylist()
    changed[3]["text"] = "another text"
    pq.write_table(pa.Table.from_pylist(changed), tmp_path / "changed.parquet")
    assert "rows 0 to 255 of the input are not those" in refusal(tmp_path / "changed.parquet", output, "--window", 256)

    summary = encode(rows, output, "--window", 256)
    assert summary["resumed"] >= 512
    assert output.read_bytes() == undisturbed.read_bytes()
    assert not parts.exists()


@pytest.mark.parametrize(("name", "content", "ids"), [
    ("a.txt", "one text\nanother\n", [0, 1]),
    ("a.tsv", "text\tid\none text\tx\nanother\ty\n", ["x", "y"]),
    ("a.csv", 'id,text\nx,"one text"\ny,another\n', ["x", "y"]),
    ("a.jsonl", '{"id":5,"text":"one text"}\n{"id":4,"text":"another"}\n', [5, 4]),
])
def test_each_kind_of_file_is_read(tmp_path: Path, name: str, content: str, ids: list[object]) -> None:
    (tmp_path / name).write_text(content)
    encode(tmp_path / name, tmp_path / "o.parquet", "--dtype", "float16", "--model", "minilm:max_length=3")
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.column("id").to_pylist() == ids
    assert table.column("truncated").to_pylist() == [True, False]
    assert table.schema.field("vector").type == pa.list_(pa.float16(), 384)


def test_a_token_encoder_gives_a_list_of_vectors_per_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b c\nd\n")
    summary = encode(tmp_path / "a.txt", tmp_path / "o.parquet", "--encoder", "tokens")
    table = pq.read_table(tmp_path / "o.parquet")
    assert summary["fingerprint"] == described()[2].fingerprint
    assert table.schema.field("vector").type == pa.list_(pa.list_(pa.float32()))
    assert [np.array(each).shape for each in table.column("vector").to_pylist()] == [(5, 384), (3, 384)]


def test_the_row_whose_vector_is_no_number_is_named_and_not_its_neighbour(tmp_path: Path) -> None:
    weights = tiny_bert.tensors()
    weights["embeddings.word_embeddings.weight"][tiny_bert.WORDS.index("##c")] = np.nan
    folder = tiny_bert.write(tmp_path / "tiny", weights=weights)
    (tmp_path / "a.txt").write_text("a\na b\nac\nb\n")
    said = refusal(tmp_path / "a.txt", tmp_path / "o.parquet", "--model", f"tiny={folder}", "--precision", "f32")
    assert "row 2 from 0: its vector is not finite" in said


def test_a_part_that_was_damaged_is_named_with_what_to_do(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.parquet"
    parts = Journal.folder_of(output)
    process = start(rows, output, "--window", 64)
    until(lambda: any(parts.glob("*.arrow")))
    process.kill()
    process.communicate()
    part = min(parts.glob("*.arrow"))
    part.write_bytes(part.read_bytes()[:100])
    assert f"{part} is damaged" in refusal(rows, output, "--window", 64)
    part.unlink()
    encode(rows, output, "--window", 64)


def test_an_encoder_alone_is_the_one_among_others() -> None:
    for encoder in described():
        assert describe_encoders([alone(encoder.spec)])[0].fingerprint == encoder.fingerprint


def test_wrong_input_is_refused_before_any_work_and_leaves_nothing(rows: Path, undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_bytes(b"text\n\xff\n")
    output = tmp_path / "o.parquet"
    assert "line 2: byte 0xff is not UTF-8" in refusal(tmp_path / "bad.tsv", output)
    assert "no column 'words'" in refusal(rows, output, "--text-column", "words")
    assert "name it .parquet" in refusal(rows, tmp_path / "o.csv")
    assert "is there already" in refusal(rows, undisturbed)
    assert "is the input" in refusal(rows, rows, "--overwrite")
    assert "there is no folder" in refusal(rows, tmp_path / "none" / "o.parquet")
    assert "does not exist" in refusal(tmp_path / "none.tsv", output, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tsv"]


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(rows: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Stood in for by a limit on the size of a file: parts of 0.4 MB fit, the output of 3 MB does not."""
    output = tmp_path / "o.parquet"
    process = start(rows, output, "--window", 256, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)))
    assert "error: cannot write" in finish(process, code=1)[1]
    assert not output.exists()
    assert encode(rows, output, "--window", 256)["resumed"] == 2000
    assert output.read_bytes() == undisturbed.read_bytes()
