"""Each file that a command names is another one, and none is written over that is not of its own kind: else nothing runs."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import pytest

from atonce.cli import main

URL = "http://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-o", "t.json.jsonl", "--trace", "t.json.jsonl"], "--trace t.json.jsonl is a file of the output"),
        (["-o", "o.jsonl", "--trace", "run.trace"], "does not end in .json or .json.gz"),
        (["-o", "o.jsonl", "--trace", "-"], "does not end in .json or .json.gz"),
        (["-o", "o.jsonl", "--trace", "none/t.json"], "--trace none/t.json cannot be made: there is no folder"),
        (["-o", "o.jsonl", "--trace", "folder.json"], "--trace folder.json cannot be made: it is a folder"),
        (["-o", "o.jsonl", "--trace", "foreign.json"], "foreign.json is not a trace of atonce, and is not overwritten"),
        (["-o", "o.jsonl", "--trace", "foreign.json.gz"], "foreign.json.gz is not a trace of atonce"),
        (["-o", "o.jsonl", "--report", "foreign.json"], "is not a page of atonce, and is not overwritten"),
        (["-o", "o.jsonl", "--report", "pipe"], "--report pipe cannot be made: it is not a regular file"),
        (["-o", "o.jsonl", "--report", "o.jsonl"], "--report o.jsonl is a file of the output, -o o.jsonl"),
        (["-o", "o.jsonl", "--report", "./folder.json/../o.jsonl"], "is a file of the output"),
        (["-o", "o.sqlite", "--report", "o.sqlite-wal"], "is a file of the output"),
        (["-o", "o.warc.gz", "--report", "o.warc.gz.jsonl"], "is a file of the output"),
        (["-o", "pages/", "--report", "pages/manifest.jsonl"], "is a file of the output"),
        (["-o", "pages", "--report", "pages/0a/x.html"], "is a file of the output"),
        (["-o", "o.jsonl", "--report", "p.json", "--trace", "./p.json"], "--report p.json is the file of --trace, too"),
        (["-o", "o.jsonl", "-i", "urls.txt", "--report", "urls.txt"], "--report urls.txt is the file of -i, too"),
        (["-o", "o.jsonl", "-i", "urls.txt", "--report", "link"], "--report link is the file of -i, too"),
        (["-o", "o.jsonl", "-i", "pages/manifest.jsonl", "-o", "pages/"], "try: another name for -o"),
        (["-o", "o.jsonl", "--headers-from", "h", "--report", "h"], "--report h is the file of --headers-from, too"),
    ],
)
def test_nothing_runs(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    Path("folder.json").mkdir()
    Path("foreign.json").write_text("[1]")
    Path("foreign.json.gz").write_bytes(gzip.compress(b"[1]"))
    Path("urls.txt").write_text(URL)
    os.link("urls.txt", "link")
    os.mkfifo("pipe")
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    assert main(["fetch", URL, "--retries", "0", "--no-remember", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "json:loads", "-i", "in.txt", "--yes", "--report", "in.txt"],
        ["compare", "json:loads", "-i", "in.txt", "--yes", "--report", "foreign.html"],
        ["compare", "json:loads", "-i", "in.txt", "--yes", "--report", "none/page.html"],
        ["demo", "--claims", "C1", "--report", "foreign.html"],
    ],
)
def test_nor_does_a_comparison_or_the_demo(folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.txt").write_text("1\n")
    Path("foreign.html").write_text("<p>")
    assert main(command) == 2
    assert "error: " in capsys.readouterr().err
    assert Path("foreign.html").read_text() == "<p>"


def test_beside_the_output_is_fine_and_so_is_one_more_time(folder: Path) -> None:
    Path("in.txt").write_text("1\n2\n")
    for name, trace, page in (("out/", "out/run.json", "out/page.html"), ("out.jsonl", "out.json.gz", "out.jsonl.html")):
        command = ["map", "json:loads", "-i", "in.txt", "-o", name, "--model", "sync", "--trace", trace, "--report", page]
        Path("out").mkdir(exist_ok=True)
        assert main(command) == 0
        assert main(command) == 0
        assert Path(page).read_text().startswith("<!doctype html>")


def test_what_becomes_of_the_page_is_said_before_the_last_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says how to go on, also where there is no room for a page."""
    Path("in.txt").write_text("1\noops\n")
    command = ["map", "json:loads", "-i", "in.txt", "-o", "out.jsonl", "--model", "sync", "--report", "page.html"]
    assert main(command) == 1
    *_, page, last = capsys.readouterr().err.splitlines()
    assert page.startswith("the page is ")
    assert last.startswith("to run what failed again: ")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert main([*command, "--retry-failed"]) == 1
    *_, error, remedy, last = capsys.readouterr().err.splitlines()
    assert error.endswith("page.html cannot be made: No space left on device")
    assert remedy == "  try: make room, or a file elsewhere"
    assert last.startswith("to run what failed again: ")
