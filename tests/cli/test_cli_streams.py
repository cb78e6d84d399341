"""Standard streams that are closed or full, and a current folder that is gone: what was asked for is done, or an error says why
it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atonce.lab import Lab

ATONCE = f"{sys.executable} -m atonce"
COUNT = 20
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def run(lab: Lab, options: str, streams: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """The command on a list of so many URLs, its standard streams as the shell is told."""
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(COUNT, path="/bytes/3000")))
    shell = f"{before} {ATONCE} fetch -i {Path('urls.txt').resolve()} --no-remember {options} {streams}"
    return subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("model", ["coroutines", "hybrid"])
@pytest.mark.parametrize(
    "streams",
    ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", pytest.param("2>/dev/full", marks=needs_full)],
    ids=["stdin-closed", "stdout-closed", "stderr-closed", "all-closed", "stderr-full"],
)
def test_pages_come_whatever_the_streams_are(lab: Lab, folder: Path, streams: str, model: str) -> None:
    ended = run(lab, f"-o pages --model {model}", streams)
    assert (ended.returncode, ended.stdout) == (0, "")
    rows = [json.loads(line) for line in (folder / "pages" / "manifest.jsonl").read_text().splitlines()[-COUNT:]]
    assert [row["ok"] for row in rows] == [True] * COUNT
    assert all((folder / "pages" / row["path"]).stat().st_size == 3000 for row in rows)


@pytest.mark.parametrize(
    ("options", "streams", "why"),
    [
        ("", ">&-", "cannot write to stdout: it is closed\n  try: open it"),
        pytest.param("", ">/dev/full", "cannot write to stdout: there is no space left\n  try: make room", marks=needs_full),
        ("-o pages --json", ">&-", "cannot write to stdout: it is closed\n  try: open it"),
        pytest.param("-o pages --json", ">/dev/full", "cannot write to stdout: there is no space left", marks=needs_full),
        pytest.param("--dry-run", ">/dev/full", "cannot write to stdout: there is no space left", marks=needs_full),
    ],
)
def test_a_stream_that_is_needed(lab: Lab, folder: Path, options: str, streams: str, why: str) -> None:
    ended = run(lab, options, streams)
    assert ended.returncode == 1
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "runs again" not in ended.stderr  # rows on stdout cannot be taken up again


def test_a_list_from_a_stdin_that_is_closed(folder: Path) -> None:
    shell = f"{ATONCE} fetch -i - -o pages <&-"
    ended = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "error: cannot read stdin: it is closed\n")


def test_a_current_folder_that_is_gone(lab: Lab, folder: Path) -> None:
    gone = folder / "gone"
    gone.mkdir()
    ended = run(lab, "-o pages", "", before=f"cd {gone}; rmdir {gone};")
    assert (ended.returncode, ended.stderr) == (
        2,
        "error: the folder that this runs in is no longer there\n  try: cd to one that is\n",
    )
    gone.mkdir()
    ended = run(lab, f"-o {folder / 'pages'}", "", before=f"cd {gone}; rmdir {gone};")
    assert ended.returncode == 0  # nothing here has to do with it


def test_progress_without_a_stderr() -> None:
    """As in a program without a console."""
    program = (
        "import sys, atonce; sys.stderr = None; "
        "assert list(atonce.map(str, range(9), model='threads', progress=True)) == list(map(str, range(9)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
