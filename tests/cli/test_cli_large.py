"""Large bodies by the command: each output that need not have them in memory has not."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from atonce import sink
from atonce.cli import main
from atonce.lab import Lab
from atonce.lab.content import content

SIZE, COUNT = 20_000_000, 12
# The command in a process that says how much memory it has had at most, in bytes, itself and those that it forked aside.
MEASURED = """
import sys
from atonce.cli import main
code = main(sys.argv[1:])
status = dict(line.split(":") for line in open("/proc/self/status"))
print(1024 * int(status["VmHWM"].split()[0]))
sys.exit(code)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("transport", ["curl", "aiohttp", "requests"])
@pytest.mark.parametrize("output", [("-o", "pages/"), ("-o", "out.jsonl", "--no-body")], ids=["folder", "no-body"])
def test_memory(lab: Lab, folder: Path, output: tuple[str, ...], transport: str) -> None:
    """All of them in flight at once are 240 MB: twice that it would be, were they there."""
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(COUNT, f"/bytes/{SIZE}")))
    options = ("--transport", transport, "--concurrency", f"{COUNT}", "--per-host", f"{COUNT}", "--no-remember", "--quiet")
    command = [sys.executable, "-c", MEASURED, "fetch", "-i", "urls.txt", *output, *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) < 120_000_000
    sha256 = hashlib.sha256(content(SIZE, 0)).hexdigest()
    record = folder / ("pages/manifest.jsonl" if "pages/" in output else "out.jsonl")
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(row["ok"], row["bytes"], row["sha256"]) for row in rows] == [(True, SIZE, sha256)] * COUNT
    if "pages/" in output:
        assert {hashlib.sha256((folder / "pages" / row["path"]).read_bytes()).hexdigest() for row in rows} == {sha256}
        assert not (folder / "pages/.partial").exists()


@pytest.mark.parametrize("transport", ["curl", "aiohttp", "requests"])
def test_a_body_that_a_table_does_not_take_fails_alone(
    lab: Lab, folder: Path, transport: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sink.MOST_BODY, ".sqlite", 1000)
    urls = [f"{lab.base}/bytes/{size}" for size in (1000, 1001, 10)]
    assert main(["fetch", *urls, "-o", "out.sqlite", "--max-body", "3g", "--transport", transport]) == 1
    assert "a .sqlite takes bodies of up to 1000 bytes: larger ones fail as too-big" in capsys.readouterr().err
    with closing(sqlite3.connect("out.sqlite")) as database:
        found = database.execute('SELECT error_class, error, length(body) FROM rows ORDER BY "index"').fetchall()
    assert found == [(None, None, 1000), ("too-big", "the body is over 1000 bytes", None), (None, None, 10)]
    assert main(["fetch", *urls, "-o", "all.sqlite", "--max-body", "3g", "--no-body"]) == 0


def test_a_value_that_a_table_does_not_take_fails_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sink.MOST_BODY, ".sqlite", 10)
    Path("lines").write_text("short\nmuch too long\n")
    Path("encoding_code.py").write_text("def encode(text):\n    return text.encode()\n")
    assert main(["map", "encoding_code.py:encode", "-i", "lines", "-o", "out.sqlite", "--model", "sync"]) == 1
    assert "the function returned 13 bytes, of which the output takes 10 in a row" in capsys.readouterr().err
    with closing(sqlite3.connect("out.sqlite")) as database:
        found = database.execute('SELECT ok, value_bytes FROM rows ORDER BY "index"').fetchall()
    assert found == [(1, b"short"), (0, None)]


def test_what_is_too_large_all_the_same_is_no_traceback(
    lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(sqlite3.Connection):
        def executemany(self, *arguments: object) -> sqlite3.Cursor:
            raise OverflowError("string longer than INT_MAX bytes")

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **more: connect(*given, factory=Full, **more))
    assert main(["fetch", f"{lab.base}/bytes/10", "-o", "out.sqlite", "--quiet"]) == 1
    assert "cannot write to out.sqlite: string longer than INT_MAX bytes" in capsys.readouterr().err
