"""`twohop` from a shell: what it reads, prints, exits with and takes from the environment, without any service."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from twohop import command
from twohop.cli import twohop
from twohop.errors import InvalidInput
from twohop.lines import Arguments, Lines
from twohop.table import ClassificationTable, columns_of, padded, plain, status_rows
from twohop.types import Classification, Classifications

CLASSIFY = ["classify", "--embedding", "h:1", "--heads", "h:2", "--head", "sentiment"]


def call(args: Sequence[str], environment: dict[str, str] | None = None) -> int:
    with pytest.raises(SystemExit) as ended:
        command.run(twohop, args, environment or {})
    return int(ended.value.code or 0)


# --- wrong use


@pytest.mark.parametrize(("args", "named"), [
    (["classify", "a"], "--embedding"), (["classify", "--embedding", "h:1", "a"], "--heads"), ([*CLASSIFY[:5], "a"], "--head"),
    (["embed", "a"], "--embedding"), (["status"], "--embedding, --heads, or both"),
    (["status", "--embedding", "h:1", "--head", "x"], "--heads"), (["nothing"], "nothing"),
    ([*CLASSIFY, "--file", "/nowhere", "a"], "/nowhere"), ([*CLASSIFY, "--timeout", "0", "a"], "--timeout"),
])
def test_wrong_use_names_the_option_and_exits_with_2(args: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(args) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert captured.out == ""


def test_texts_come_from_one_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_text("a\n")
    assert call([*CLASSIFY, "--file", str(tmp_path / "t.txt"), "b"]) == 2
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize(("args", "kind"), [
    ([*CLASSIFY, "--json", ""], "InvalidInput"),
    ([*CLASSIFY, "--json", "--head", "Bad", "--timeout", "0.1", "a"], "Unavailable"),
    (["classify", "--json", "--embedding", "h", "--heads", "h:2", "--head", "x", "a"], "InvalidInput"),
    (["embed", "--json", "--embedding", "h:1,g:1/x", "a"], "InvalidInput"),
    ([*CLASSIFY, "--json", "--heads", "h:2/name", "a"], "InvalidInput"),
])
def test_a_failure_leaves_stdout_empty_and_ends_stderr_with_the_error_object(
    args: list[str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [arg.replace("h:", "127.0.0.1:") for arg in args]
    assert call(args) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err.splitlines()[-1])["error"]["type"] == kind


def test_every_command_knows_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["classify"], ["embed"], ["status"]):
        assert call([*args, "--version"]) == 0
        assert capsys.readouterr().out.startswith("twohop 0.")
        assert call([*args, "--help"]) == 0
        assert "Usage: twohop" in capsys.readouterr().out


# --- the environment


def test_options_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"TWOHOP_CLASSIFY_EMBEDDING": "no-address", "TWOHOP_CLASSIFY_HEADS": "h:2", "TWOHOP_CLASSIFY_HEAD": "x"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert call(["classify", "a"], environment) == 1
    assert "'no-address' is no address" in capsys.readouterr().err


def test_a_misspelt_name_is_an_error_and_those_of_other_programs_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["status"], {"TWOHOP_CLASSIFY_HEDS": "x"}) == 2
    assert "did you mean TWOHOP_CLASSIFY_HEADS?" in capsys.readouterr().err
    assert call(["--version"], {"TWOHOP_EMBEDDING_PORT": "1", "TWOHOP_HEAD_TRAIN_KIND": "x", "TWOHOP_GATEWAY_PORT": "1"}) == 0


# --- reading


def read(content: bytes, size: int = 1 << 16) -> tuple[list[str], list[str], int]:
    class Trickle(io.BytesIO):
        def read1(self, _: int | None = -1, /) -> bytes:
            return super().read1(size)

    lines = Lines("f", Trickle(content))
    chunks = list(lines.chunks())
    return [t for c in chunks for t in c.texts], [p for c in chunks for p in c.places], lines.skipped


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
def test_lines_are_texts_however_they_arrive(size: int) -> None:
    content = "\ufeffone\r\n\n  \nzwei ü\u2028 still the same\nlast".encode()
    assert read(content, size) == (["one", "zwei ü\u2028 still the same", "last"], ["f, line 1", "f, line 4", "f, line 5"], 2)


def test_what_is_there_is_answered_before_more_is_read() -> None:
    chunks = Lines("f", io.BytesIO(b"")).chunks()
    with pytest.raises(InvalidInput, match="no text"):
        next(chunks)

    class Pipe:
        pieces = iter([b"one\ntw", b"o\n", b""])

        def read1(self, size: int, /) -> bytes:
            return next(self.pieces)

    chunks = Lines("pipe", Pipe()).chunks()
    assert next(chunks).texts == ["one"]
    assert next(chunks).texts == ["two"]


def test_bytes_that_are_no_utf_8_name_file_and_line() -> None:
    with pytest.raises(InvalidInput, match=r"f, line 3: no UTF-8 \(byte 0xff at position 1\)") as caught:
        read(b"a\n\nb\xff\n")
    assert caught.value.detail == {"file": "f", "line": 3}


def test_an_error_about_a_text_tells_where_it_came_from() -> None:
    (chunk,) = Arguments(["a", "b"]).chunks()
    assert chunk.locate(InvalidInput("text 1 is bad", detail={"index": 1})).message == "argument 2: text 1 is bad"
    error = InvalidInput("about none")
    assert chunk.locate(error) is error


# --- tables


def test_tables_align_whatever_is_in_the_texts() -> None:
    answers = {"topic": Classifications(
        (Classification("sports", 0.5, {"sports": 0.5, "art": 0.25}), Classification(None, 0.25, None, 9, True)),
        "topic", 1, "enc-000000000000", {"embed": 2.0, "head": 1.0, "total": 3.5},
    )}
    table = ClassificationTable()
    header, first, scores, second = table.rows(["日本語", "a\x1b[31m\tb"], answers)
    assert header.split() == ["text", "topic"]
    assert scores.strip() == "topic: sports 0.500  art 0.250"
    assert "\x1b" not in second
    assert second.endswith("(abstained)  0.250")
    assert columns_of(first) == columns_of(second)
    assert table.summary() == "2 texts in 3.5 ms: hop 1 2.0 ms, hop 2 topic 1.0 ms; 1 longer than the encoder reads, and cut"
    assert len(list(table.rows(["日本語", "b"], answers))) == 3, "the header comes once"


@pytest.mark.parametrize("text", ["short", "a much longer text", "日本語のテキスト", "e\u0301" * 20, ""])
def test_a_cell_is_as_wide_as_asked(text: str) -> None:
    assert columns_of(padded(text, 8)) in (7, 8) if columns_of(text) > 8 else columns_of(padded(text, 8)) == 8


@pytest.mark.parametrize("number", ["nan", "inf", "-1"])
def test_a_number_that_is_in_no_range_is_wrong_use(number: str) -> None:
    assert call(["status", "--embedding", "h:1", "--wait", number]) == 2


def test_nothing_printed_moves_the_cursor() -> None:
    assert plain("a\nb\x1b[2J\u202e\x07") == "a b [2J  "


def test_a_status_tells_each_service_and_what_is_amiss() -> None:
    rows = "\n".join(status_rows({
        "ready": False,
        "embedding": {"address": "h:1", "ready": False, "encoders": [], "error": {"message": "refused"}},
        "heads": {"address": "h:2", "ready": True, "heads": [
            {"name": "topic", "version": 1, "state": "AVAILABLE", "fingerprint": "enc-0", "matches": False},
            {"name": "nobody", "version": None, "state": "NOT_FOUND", "fingerprint": None, "matches": None},
        ]},
    }))
    assert "h:1  NOT READY\n    refused" in rows
    assert "NO ENCODER OF HOP 1 FITS" in rows
    assert rows.endswith("nobody             NOT_FOUND")
    assert list(status_rows({"ready": True, "embedding": None, "heads": None})) == []
