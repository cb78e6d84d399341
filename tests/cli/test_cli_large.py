"""Large bodies by the command: each output that need not have them in memory has not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
