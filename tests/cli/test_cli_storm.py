"""`atonce fetch` is killed again and again by SIGKILL: each page is there once and whole, and none that was recorded is asked
for again, as the server counts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from outputs import OUTPUTS, Pages, of_folder, of_parquet, parquet, verified

from atonce.lab import Lab


def storm(
    folder: Path,
    output: str,
    read: Callable[[Path], Pages],
    *,
    items: int,
    kills: int,
    rate: str,
    size: int = 3000,
    more: Sequence[str] = (),
) -> None:
    with Lab(hosts=2) as lab:
        urls = lab.urls(items, path=f"/bytes/{size}")
        (folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        command = [sys.executable, "-m", "atonce", "fetch", "-i", "urls.txt", "-o", output, "--quiet", *more]
        done: dict[str, int] = {}  # the pages recorded at the last look, and how often they had been asked for by then
        before = 0
        for left in range(kills, -1, -1):
            with subprocess.Popen([*command, *(["--rate", rate] if left else [])], cwd=folder) as process:
                if left:
                    # of what is left: more is asked for than that before the kill comes, and the run must not end first
                    asked = lab.stats().requests + (items - len(done)) // (left + 1)
                    wait_until_asked(lab, asked, process)
                    process.kill()
            assert process.returncode == (-signal.SIGKILL if left else 0)
            seen = lab.stats().urls
            assert {url: seen[url] for url in done} == done  # none of them was asked for again
            found = verified(read(folder / output), size)
            assert found >= done.keys()
            done = {url: seen[url] for url in found}
            assert not left or len(done) < items  # it was killed in the middle
            before += bool(left and done)
        assert done.keys() == set(urls)
        assert before  # some of it had been recorded before a kill


def wait_until_asked(lab: Lab, asked: int, process: subprocess.Popen[bytes]) -> None:
    lab.wait_until(lambda stats: stats.requests >= asked or process.poll() is not None, seconds=120)
    assert process.returncode is None, "the run ended before it was killed"


@pytest.mark.slow
@pytest.mark.parametrize("output", OUTPUTS)
def test_three_kills(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, OUTPUTS[output], items=300, kills=3, rate="120/s")


@pytest.mark.slow
@pytest.mark.parametrize("output", ["pages/", "out.jsonl"])
def test_two_kills_of_a_run_that_another_process_writes(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, OUTPUTS[output], items=2500, kills=2, rate="1500/s")


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("output", OUTPUTS)
def test_fifty_kills(tmp_path: Path, output: str) -> None:
    storm(tmp_path, output, OUTPUTS[output], items=20_000, kills=50, rate="1000/s")


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_fifty_kills_of_many_processes(tmp_path: Path) -> None:
    hybrid = ("--model", "hybrid")
    storm(tmp_path, "pages/", of_folder, items=20_000, kills=50, rate="1000/s", more=hybrid)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.skipif(parquet is None, reason="needs pyarrow")
def test_ten_kills_of_parquet(tmp_path: Path) -> None:
    """A part is written with 64 MiB of bodies; what waits for that is lost with a kill."""
    storm(tmp_path, "out.parquet", of_parquet, items=2000, kills=10, rate="400/s", size=1_000_000)
