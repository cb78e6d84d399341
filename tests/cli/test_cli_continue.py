"""`--continue`: a body that was cut is gone on with, by each transport, also after a kill; what comes of it is the whole."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atonce.cli import main
from atonce.lab import Lab
from atonce.lab.content import content

SIZE = 1_000_000
TRANSPORTS = ("curl", "aiohttp", "requests")


def fetch(url: str, *more: str) -> list[str]:
    return ["fetch", url, "-o", "out/", "--retries", "0", "--no-remember", "--quiet", *more]


def row() -> dict[str, Any]:
    [line] = Path("out/manifest.jsonl").read_text().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def assert_whole(start: int) -> None:
    found = row()
    ranges = [value for name, value in found["headers"] if name == "Content-Range"]
    assert ranges == ([f"bytes {start}-{SIZE - 1}/{SIZE}"] if start else [])
    body = Path("out", found["path"]).read_bytes()
    assert body == content(SIZE)
    assert (found["bytes"], found["sha256"]) == (SIZE, hashlib.sha256(body).hexdigest())
    assert not Path("out/.partial").exists()


@pytest.mark.parametrize("first", [(), ("--continue",)])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_rest_of_a_cut_body_is_asked_for(lab: Lab, folder: Path, transport: str, first: tuple[str, ...]) -> None:
    url = f"{lab.base}/range/good/{SIZE}?cut=400000"
    model = ("--model", "threads") if transport == "requests" else ()
    command = fetch(url, "--transport", transport, *model)
    assert main([*command, *first]) == 1
    assert (row()["error_class"], row()["bytes"]) == ("truncated", 400000)
    assert main([*command, "--continue"]) == 0
    assert_whole(400000)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_kill_leaves_what_has_come(lab: Lab, folder: Path, transport: str) -> None:
    url = f"{lab.base}/range/good/{SIZE}?stay=400000"
    model = ("--model", "threads") if transport == "requests" else ()
    command = fetch(url, "--transport", transport, *model, "--continue")
    with subprocess.Popen([sys.executable, "-m", "atonce", *command]) as process:
        lab.wait_until(lambda stats: kept() > 200_000)
        process.kill()
    before = kept()
    assert main(command) == 0
    assert 200_000 < before <= 400_000
    assert_whole(before)


def kept() -> int:
    """Bytes of a body in the one part there is."""
    files = list(Path("out/.partial").glob("*.part"))
    if not files:
        return 0
    return len(files[0].read_bytes().partition(b"\n")[2])


def test_within_a_run_the_next_attempt_asks_for_the_rest(lab: Lab, folder: Path) -> None:
    url = f"{lab.base}/range/good/{SIZE}?cut=400000"
    assert main([*fetch(url, "--continue")[:4], "--retries", "1", "--no-remember", "--quiet", "--continue"]) == 0
    assert row()["attempts"] == 2
    assert_whole(400000)


def test_a_run_that_does_not_go_on_starts_over(lab: Lab, folder: Path) -> None:
    url = f"{lab.base}/range/good/{SIZE}?cut=400000"
    assert main(fetch(url)) == 1
    assert list(Path("out/.partial").iterdir())
    assert main(fetch(url)) == 1
    assert not Path("out/.partial").exists()
    assert main(fetch(url, "--continue")) == 0
    assert_whole(0)


@pytest.mark.parametrize(
    ("more", "why"),
    [(("-o", "out.jsonl"), "which only a folder keeps"), (("--no-body",), "--no-body leaves nothing for --continue")],
)
def test_what_cannot_go_on_says_so(folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], why: str) -> None:
    assert main([*fetch("http://127.0.0.1:9/"), "--continue", *more]) == 2
    assert why in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_across_workers(lab: Lab, folder: Path) -> None:
    url = f"{lab.base}/range/good/{SIZE}?cut=400000"
    assert main(fetch(url, "--model", "hybrid")) == 1
    assert main(fetch(url, "--model", "hybrid", "--continue")) == 0
    assert_whole(400000)
