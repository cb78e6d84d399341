"""`atonce map` in this process: what it reads, writes, says and returns."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atonce.cli import main

JOBS = """
import contextlib

def double(text): return text * 2
def first(row): return row["a"]
def inverse(text): return 1 / int(text)
def packed(text): return text.encode()
def with_base(base, text): return base + int(text)
def never(text): raise AssertionError("ran")
async def aloud(text): return text.upper()

@contextlib.contextmanager
def base(): yield 100
"""

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "items.txt").write_text("1\n2\n3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("jobs", None)


def atonce(*arguments: str) -> int:
    return main(["map", *arguments, "--model", "sync"])


def rows(path: str) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in Path(path).read_bytes().splitlines()]
    found = {line["index"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def test_rows_on_stdout_and_talk_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert atonce("jobs:double", "-i", "items.txt") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["index"], line["item"], line["value"]) for line in lines] == [
        (0, "1", "11"),
        (1, "2", "22"),
        (2, "3", "33"),
    ]
    assert err.startswith("3 items: 3 ok; ")


@pytest.mark.parametrize(
    ("name", "content", "target", "values"),
    [
        ("a.jsonl", '{"a": [1]}\n{"a": 2}\n', "jobs:first", [[1], 2]),
        ("a.csv", "a,b\nx,1\ny,2\n", "jobs:first", ["x", "y"]),
        ("a.txt", "\n#\n", "jobs.py:double", ["", "##"]),
        ("a.txt", "a\n", "jobs:aloud", ["A"]),
    ],
)
def test_inputs(name: str, content: str, target: str, values: list[Any]) -> None:
    Path(name).write_text(content)
    model = "coroutines" if target == "jobs:aloud" else "sync"
    assert main(["map", target, "-i", name, "-o", "out.jsonl", "--model", model]) == 0
    assert [row["value"] for _, row in sorted(rows("out.jsonl").items())] == values


def test_setup() -> None:
    assert atonce("jobs:with_base", "-i", "items.txt", "-o", "out.jsonl", "--setup", "jobs:base") == 0
    assert [row["value"] for row in rows("out.jsonl").values()] == [101, 102, 103]


def test_failed_items_are_recorded_and_run_again_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    Path("items.txt").write_text("1\n0\n2\n")
    command = ("jobs:inverse", "-i", "items.txt", "-o", "out.jsonl")
    assert atonce(*command) == 1
    err = capsys.readouterr().err
    assert "3 items: 2 ok, 1 failed" in err
    assert "1 × ZeroDivisionError, such as items.txt, line 2: division by zero" in err
    assert "to run what failed again: atonce map jobs:inverse" in err
    assert "--retry-failed" in err
    assert rows("out.jsonl")[1]["error_type"] == "ZeroDivisionError"

    assert atonce(*command) == 1  # all are done, and not all succeeded
    assert "3 of 3 already done" in capsys.readouterr().err

    assert atonce(*command, "--retry-failed") == 1
    assert "2 of 3 already done\n1 item: 0 ok, 1 failed" in capsys.readouterr().err
    assert len(rows("out.jsonl")) == 3


def test_the_first_failure_can_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("items.txt").write_text("0\n1\n")
    assert atonce("jobs:inverse", "-i", "items.txt", "-o", "out.jsonl", "--errors", "raise") == 1
    assert rows("out.jsonl")[0]["ok"] is False
    assert "ended at the first failure; to go on: atonce map" in capsys.readouterr().err


def test_failed_items_can_be_left_for_the_next_time() -> None:
    Path("items.txt").write_text("1\n0\n")
    command = ("jobs:inverse", "-i", "items.txt", "-o", "out.jsonl", "--errors", "skip")
    assert atonce(*command) == 1
    assert list(rows("out.jsonl")) == [0]
    assert atonce(*command) == 1


def test_what_is_done_is_not_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert atonce("jobs:double", "-i", "items.txt", "-o", "out.jsonl") == 0
    before = Path("out.jsonl").read_bytes()
    with open("items.txt", "a") as items:
        items.write("4\n")
    assert atonce("jobs:double", "-i", "items.txt", "-o", "out.jsonl") == 0
    assert "3 of 4 already done\n1 item: 1 ok" in capsys.readouterr().err
    assert Path("out.jsonl").read_bytes().startswith(before)
    assert rows("out.jsonl")[3]["value"] == "44"


@pytest.mark.parametrize(
    ("target", "items", "message"),
    [
        ("jobs:double", "1\nzwei\n3\n", "items.txt, line 2 is not what item 1 in it was made from"),
        ("jobs:double", "1\n2\n", "items.txt has 2 items, but item 2 is in it"),
        ("jobs:never", "1\n2\n3\n", "items.txt, line 1 is not what item 0 in it was made from"),
    ],
)
def test_a_changed_input_or_function_is_refused(
    target: str, items: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert atonce("jobs:double", "-i", "items.txt", "-o", "out.jsonl") == 0
    before = Path("out.jsonl").read_bytes()
    Path("items.txt").write_text(items)
    assert atonce(target, "-i", "items.txt", "-o", "out.jsonl") == 2
    assert message in capsys.readouterr().err
    assert Path("out.jsonl").read_bytes() == before


def test_the_same_function_by_another_spelling_goes_on() -> None:
    assert atonce("jobs:double", "-i", "items.txt", "-o", "out.jsonl") == 0
    assert atonce("./jobs.py:double", "-i", "items.txt", "-o", "out.jsonl") == 0


def test_a_folder_has_a_file_for_each_value_of_bytes() -> None:
    assert atonce("jobs:packed", "-i", "items.txt", "-o", "out/") == 0
    bodies = {row["index"]: (Path("out") / row["path"]).read_bytes() for row in rows("out/manifest.jsonl").values()}
    assert bodies == {0: b"1", 1: b"2", 2: b"3"}


def test_a_summary_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert atonce("jobs:double", "-i", "items.txt", "-o", "out.jsonl", "--json", "-q") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["ok"], err) == (3, "")


WRONG = [
    (["jobs:double"], "Missing option '-i'"),
    (["jobs:double", "-i", "no.txt"], "cannot read no.txt: there is no such file"),
    (["jobs:double", "-i", "empty.txt"], "there are no items in empty.txt"),
    (["jobs:double", "-i", "items.json"], "JSON is read a value a line"),
    (["jobs:double", "-i", "bad.jsonl", "-o", "out.jsonl"], "bad.jsonl, line 2: not JSON"),
    (["jobs:duble", "-i", "items.txt"], "module jobs has no 'duble'\n  try: double"),
    (["jobs", "-i", "items.txt"], "does not name a function"),
    (["jobs:double", "-i", "items.txt", "-o", "out.xls"], "is no kind of output"),
    (["jobs:double", "-i", "items.txt", "-o", "items.txt"], "no kind of output"),
    (["jobs:double", "-i", "bad.jsonl", "-o", "bad.jsonl"], "-i bad.jsonl is a file of the output, -o bad.jsonl"),
    (["jobs:double", "-i", "items.txt", "-o", "notes.jsonl"], "notes.jsonl is not an output of atonce"),
    (["jobs:double", "-i", "items.txt", "-o", "no/out.jsonl"], "its folder does not exist"),
    (["jobs:double", "-i", "items.txt", "--json"], "--json prints the summary on stdout"),
    (["jobs:double", "-i", "items.txt", "--retry-failed"], "--retry-failed needs an output"),
    (["jobs:double", "-i", "items.txt", "-o", "out.jsonl", "--timeout", "0"], "--timeout 0.0 is not a number above 0"),
    (["jobs:double", "-i", "items.txt", "-o", "out.jsonl", "--rate", "fast"], "rate 'fast' is not a rate"),
    (["jobs:double", "-i", "items.txt", "--concurrency", "x"], "'x' is not a whole number or auto"),
    (["jobs:double", "-i", "items.txt", "--retries", "-1"], "-1 is below 0"),
    (["jobs:double", "-i", "items.txt", "--wat"], "No such option"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_usage_ends_with_2_and_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty.txt").write_text("")
    Path("bad.jsonl").write_text("1\nx\n")
    Path("notes.jsonl").write_text("my notes\n")
    before = set(os.listdir())
    assert main(["map", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert set(os.listdir()) - {"__pycache__"} == before - {"__pycache__"}  # not even an empty output


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", "jobs:never", "-i", "items.txt", "--model", "fibers"]) == 2
    assert "unknown model 'fibers'" in capsys.readouterr().err


def test_a_second_run_on_one_output_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from atonce.sink import sink_for

    with sink_for("out.jsonl"):
        assert atonce("jobs:never", "-i", "items.txt", "-o", "out.jsonl") == 2
    assert "another run is writing to out.jsonl" in capsys.readouterr().err


def test_a_full_disk_ends_it_with_the_reason_and_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """RLIMIT_FSIZE stands for the full disk."""
    resource = pytest.importorskip("resource")
    command = ("jobs:double", "-i", "items.txt", "-o", "out.jsonl", "--json")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        assert atonce(*command) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    out, err = capsys.readouterr()
    assert "error: cannot write to out.jsonl: the file would become too big" in err
    assert "what could not be written runs again; to go on: atonce map jobs:double -i items.txt -o out.jsonl" in err
    told = json.loads(out)
    assert (told["ok"], told["failed"]) == (1, 0)  # what was recorded
    assert told["ended"].startswith("ended early: cannot write to out.jsonl")
    assert told["command"].startswith("atonce map jobs:double -i items.txt -o out.jsonl --json")
    assert list(rows("out.jsonl")) == [0]
    assert atonce(*command) == 0
    assert list(rows("out.jsonl")) == [0, 1, 2]


def test_items_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Path("items.txt").write_text("\x1b[2J\u202e\n")
    assert atonce("jobs:inverse", "-i", "items.txt", "-o", "out.jsonl") == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert rows("out.jsonl")[0]["item"] == "\x1b[2J\u202e"
