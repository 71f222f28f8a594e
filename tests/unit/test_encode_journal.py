"""What `encode` keeps beside its output, and how its threads end: nobody's work is taken for another's."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from embedding_service.model.encoder import Item, Output, Tokens
from embedding_service.tools.journal import Journal
from embedding_service.tools.pipeline import Pipeline, Work
from embedding_service.tools.progress import Progress
from embedding_service.tools.windows import Window
from twohop.errors import Failed, ModelError

ABOUT = {"fingerprint": "enc-1", "dtype": "float32"}
ONE, OTHER = "1" * 32, "2" * 32


def keep_one(output: Path) -> None:
    with Journal.opened(output, may_replace=False) as journal:
        journal.begin(ABOUT)
        with journal.written(journal.part(0, ONE)) as file:
            file.write(b"done")


def test_a_kept_window_is_found_again_and_a_half_written_one_is_not(tmp_path: Path) -> None:
    output = tmp_path / "o.parquet"
    keep_one(output)
    half = Journal.folder_of(output) / f"00000001-{ONE}.arrow.new"
    half.write_bytes(b"hal")
    with Journal.opened(output, may_replace=False) as journal:
        journal.begin(ABOUT)
        assert journal.has(0, ONE, "rows 0 to 3")
        assert not journal.has(1, ONE, "rows 4 to 7")
        assert not half.exists()


def test_other_settings_or_texts_are_refused_by_what_differs_unless_they_may_be_replaced(tmp_path: Path) -> None:
    output = tmp_path / "o.parquet"
    keep_one(output)
    with Journal.opened(output, may_replace=False) as journal:
        with pytest.raises(Failed, match=r"dtype was float32, is float16.*--overwrite"):
            journal.begin({**ABOUT, "dtype": "float16"})
        journal.begin(ABOUT)
        with pytest.raises(Failed, match=r"rows 0 to 3 of the input are not those.*--overwrite"):
            journal.has(0, OTHER, "rows 0 to 3")
        with pytest.raises(Failed, match="the input is shorter"):
            journal.finished(0)
    with Journal.opened(output, may_replace=True) as journal:
        journal.begin(ABOUT)
        assert not journal.has(0, OTHER, "rows 0 to 3")
    keep_one(output)
    with Journal.opened(output, may_replace=True) as journal:
        journal.begin({**ABOUT, "dtype": "float16"})
        assert not journal.has(0, ONE, "rows 0 to 3")


def test_of_two_at_once_the_second_is_refused_and_an_output_that_is_there_too(tmp_path: Path) -> None:
    output = tmp_path / "o.parquet"
    with (
        Journal.opened(output, may_replace=True),
        pytest.raises(Failed, match="another encode is writing"),
        Journal.opened(output, may_replace=True),
    ):
        pass
    output.touch()
    with pytest.raises(Failed, match=r"is there already.*--overwrite"), Journal.opened(output, may_replace=False):
        pass


@pytest.mark.parametrize("may_replace", [False, True])
@pytest.mark.parametrize("name", ["thesis", "thesis.new", "o.parquet"])
def test_a_folder_of_that_name_with_something_of_others_in_it_is_left_alone(
    tmp_path: Path, name: str, may_replace: bool
) -> None:
    output = tmp_path / "o.parquet"
    keep_one(output)
    theirs = Journal.folder_of(output) / name
    theirs.mkdir()
    with pytest.raises(Failed, match=f"holds {name}: move that away"), Journal.opened(output, may_replace=may_replace):
        pass
    assert theirs.exists()
    assert len(list(Journal.folder_of(output).glob("*.arrow"))) == 1


def test_what_ends_before_anything_was_begun_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Failed), Journal.opened(tmp_path / "o.parquet", may_replace=False):
        raise Failed("bad input")
    assert list(tmp_path.iterdir()) == []


class Doubler:
    """An engine whose vector is twice the first token; `broken` tokens it refuses."""

    streams = 3

    def __init__(self, broken: int = -1) -> None:
        self._broken = broken

    def run(self, items: Sequence[Item], stream: int | None = None) -> Output:
        assert stream in range(3)
        if any(ids[0] == self._broken for _, ids, _ in items):
            raise ModelError("broken")
        return Output([np.full((1, 2), 2 * ids[0], np.float32) for _, ids, _ in items], 0)


def works(count: int) -> Iterator[Work]:
    for number in range(count):
        tokens = [Tokens(np.array([number * 10 + index], np.int32), None, 1) for index in range(5)]
        window = Window(number, number * 5, range(5), ["x"] * 5, 0, ONE)
        yield Work(window, 0.1, [], []) if number == 1 else Work(window, 0.1, tokens, [[4, 0], [1, 3], [2]])


def test_every_window_is_kept_once_whole_and_in_the_order_of_its_texts() -> None:
    kept: dict[int, Work] = {}
    advanced: list[int] = []
    count = Pipeline(Doubler(), works(20), "float32").run(
        lambda work, pack: advanced.append(len(pack)), lambda work: kept.update({work.window.number: work})
    )
    assert (count, len(kept), sum(advanced)) == (20, 20, 19 * 5)
    for number, work in kept.items():
        assert [array[0, 0] for array in work.vectors] == ([] if number == 1 else [2.0 * (number * 10 + at) for at in range(5)])


def test_what_the_engine_the_reader_or_the_writer_raises_ends_the_run() -> None:
    def unreadable() -> Iterator[Work]:
        yield from works(2)
        raise Failed("unreadable")

    def full(work: Work) -> None:
        raise Failed("disk full")

    for engine, source, keep, message in (
        (Doubler(broken=153), works(1000), lambda work: None, "broken"),
        (Doubler(), unreadable(), lambda work: None, "unreadable"),
        (Doubler(), works(1000), full, "disk full"),
    ):
        with pytest.raises((Failed, ModelError), match=message):
            Pipeline(engine, source, "float32").run(lambda work, pack: None, keep)


def test_progress_tells_share_rate_and_time_left_without_what_was_done_before() -> None:
    now, said = [0.0], io.StringIO()
    progress = Progress("encode", said, lambda: now[0])
    progress.skip(1000, 0.5)
    now[0] = 10.0
    progress.advance(200, 0.1)
    progress.advance(200, 0.1)
    progress.close()
    assert said.getvalue() == "encode: 1,200 texts, 60%, 20 texts/s, 40 s left\n"
