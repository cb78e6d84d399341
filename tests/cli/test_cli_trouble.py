"""What this machine refuses: room, rights, descriptors, names that are taken. The run ends with the reason and the way to go
on, what was recorded is whole, and the same command ends it."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from outputs import OUTPUTS, of_parquet, parquet, verified

from atonce.cli import main
from atonce.lab import Lab
from atonce.lab.doors import CERTIFICATES
from atonce.sink import sink_for
from atonce.sink.base import Sink
from atonce.sink.summary import grouped
from atonce.source.inputs import Input

SIZE = 3000
ATONCE = [sys.executable, "-m", "atonce"]
needs_parquet = pytest.mark.skipif(parquet is None, reason="needs pyarrow")


def arguments(lab: Lab, output: str, count: int = 600) -> list[str]:
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(count, path=f"/bytes/{SIZE}")))
    return ["fetch", "-i", "urls.txt", "-o", output, "--no-progress", "--no-remember"]


def run(shell: str, arguments: list[str], *wrapper: str) -> subprocess.CompletedProcess[str]:
    """The command, where the shell has done something first. It writes no bytecode: Python 3.11 keeps what had room of it."""
    command = [*wrapper, "sh", "-c", f'export PYTHONDONTWRITEBYTECODE=1; {shell}; exec "$@"', "sh", *ATONCE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def resumed(told: str) -> int:
    """Run the command that it says goes on."""
    words = shlex.split(told.partition("to go on: ")[2].partition("\n")[0])
    assert words[:3] == ["python", "-m", "atonce"]
    return main(words[3:])


# (output, blocks of 512 bytes that a file may have): some of the rows have room
FULL = [("pages/", 100), ("out.jsonl", 500), ("out.sqlite", 1000), ("out.warc.gz", 500)]


@pytest.mark.slow
@pytest.mark.parametrize(("output", "blocks"), FULL)
def test_no_room(lab: Lab, folder: Path, output: str, blocks: int) -> None:
    command = [*arguments(lab, output), "--json"]
    ended = run(f"ulimit -f {blocks}", command)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "the file would become too big" in ended.stderr
    assert "what could not be written runs again" in ended.stderr
    recorded = verified(OUTPUTS[output](folder / output), SIZE)
    assert len(recorded) < 600
    told = json.loads(ended.stdout)
    assert (told["ok"], told["ended"][:11]) == (len(recorded), "ended early")
    before = lab.stats().urls
    assert resumed(ended.stderr) == 0
    assert len(verified(OUTPUTS[output](folder / output), SIZE)) == 600
    after = lab.stats().urls
    assert all(after[url] == before[url] for url in recorded)


@pytest.mark.parametrize("output", [*OUTPUTS, pytest.param("out.parquet", marks=needs_parquet)])
def test_an_output_that_is_moved_during_the_run(
    lab: Lab, folder: Path, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said to be in it that is not, and put back where it was it is gone on with."""
    command = arguments(lab, output, 6)
    kind = type(sink_for(output))
    commit = kind.commit

    def moved(sink: Sink) -> None:
        """Before its first commit."""
        if not aside.exists():
            aside.mkdir()
            for path in folder.glob(f"{output.rstrip('/')}*"):
                path.rename(aside / path.name)
        commit(sink)

    aside = folder / "aside"
    monkeypatch.setattr(kind, "commit", moved)
    assert main([*command, "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["ok"], told["unwritten"], told["ended"][:11]) == (0, 6, "ended early")
    assert "\n  try: put it back if it was moved" in err or "its folder does not exist" in err
    assert not Path(output).exists()
    for path in aside.iterdir():
        path.rename(path.name)
    assert main(command) == 0
    pages = of_parquet if output == "out.parquet" else OUTPUTS[output]
    assert len(verified(pages(folder / output), SIZE)) == 6


def test_no_room_for_failures(lab: Lab, folder: Path) -> None:
    """What is told of them is of those on record."""
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(300, path="/status/404")))
    command = ["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-progress", "--no-remember", "--json"]
    ended = run("ulimit -f 20", command)
    told = json.loads(ended.stdout)
    recorded = Path("out.jsonl").read_bytes().count(b"\n")
    assert 0 < recorded < 300
    assert (told["ok"], told["failed"], sum(each["count"] for each in told["failures"])) == (0, recorded, recorded)
    assert told["unwritten"] > 0
    assert f"  {recorded} × http-4xx, such as urls.txt, line 1: " in ended.stderr


@needs_parquet
def test_no_room_for_a_part(lab: Lab, folder: Path) -> None:
    command = arguments(lab, "out.parquet", 50)
    ended = run("ulimit -f 4", command)
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert "the file would become too big" in ended.stderr
    assert not verified(of_parquet(folder / "out.parquet"), SIZE)
    assert resumed(ended.stderr) == 0
    assert len(verified(of_parquet(folder / "out.parquet"), SIZE)) == 50


@pytest.mark.slow
@pytest.mark.parametrize("output", ["pages/", "out.jsonl"])
def test_no_descriptors(lab: Lab, folder: Path, output: str) -> None:
    """They are few, and more are asked for: whether it ends early or only takes longer, nothing is lost."""
    command = arguments(lab, output, 200)
    ended = run("ulimit -n 40", [*command, "--concurrency", "100", "--per-host", "100"])
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0 or "too many files open" in ended.stderr
    verified(OUTPUTS[output](folder / output), SIZE)
    assert main(command) == 0
    assert len(verified(OUTPUTS[output](folder / output), SIZE)) == 200


@pytest.fixture(scope="module")
def ten() -> Iterator[dict[str, Lab]]:
    """Ten hosts in each of two labs: more connections than there is room for lie open when all of them are kept."""
    with Lab(hosts=10) as plain, Lab(hosts=10, behaviours=["tls"] * 10) as secure:
        yield {"http": plain, "https": secure}


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["curl", "aiohttp", "requests"])
@pytest.mark.parametrize(
    ("scheme", "output"), [("http", "pages/"), ("https", "pages/"), ("http", "out.jsonl"), ("https", "out.jsonl")]
)
def test_few_descriptors_make_it_slower_and_nothing_fails(
    ten: dict[str, Lab], folder: Path, transport: str, scheme: str, output: str
) -> None:
    urls = [f"{scheme}://{host}/bytes/100?{number}" for number in range(8) for host in ten[scheme].stats().hosts]
    Path("urls.txt").write_text("".join(f"{url}\n" for url in urls))
    command = ["fetch", "-i", "urls.txt", "-o", output, "--no-progress", "--no-remember", "--json", "--transport", transport]
    ended = run(f"ulimit -n 30; export SSL_CERT_FILE={CERTIFICATES / 'ca.pem'}", command)
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert json.loads(ended.stdout)["ok"] == 80
    rows = Path(output, "manifest.jsonl") if output == "pages/" else Path(output)
    assert [json.loads(line)["attempts"] for line in rows.read_text().splitlines()] == [1] * 80


def test_too_few_descriptors_are_said_to_be_so(lab: Lab, folder: Path) -> None:
    ended = run("ulimit -n 20", arguments(lab, "out.jsonl", 3))
    assert (ended.returncode, lab.stats().requests, Path("out.jsonl").exists()) == (2, 0, False)
    assert "no more than 20 files may be open here, and 24 are needed\n  try: ulimit -n 24, or more" in ended.stderr


def test_the_limit_that_can_be_raised_is_raised(lab: Lab, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(soft, 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        assert main([*arguments(lab, "out.jsonl", 3), "--dry-run"]) == 0
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (lower, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    assert f" descriptors of {grouped(most)}, " in capsys.readouterr().out


def can_mount() -> bool:
    if sys.platform != "linux" or not all(map(shutil.which, ("unshare", "mount"))):
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace (unshare -rm)")
@pytest.mark.parametrize("output", [*OUTPUTS, pytest.param("out.parquet", marks=needs_parquet)])
def test_read_only(lab: Lab, folder: Path, output: str) -> None:
    command = arguments(lab, f"kept/{output}", 3)
    Path("kept").mkdir()
    shell = "mount --bind kept kept && mount -o remount,ro,bind kept && cd kept/.."
    ended = run(shell, command, "unshare", "-rm")
    assert (ended.returncode, lab.stats().requests) == (2, 0)
    assert "the file system is read-only" in ended.stderr


@pytest.mark.parametrize("output", [*OUTPUTS, pytest.param("out.parquet", marks=needs_parquet)])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_something_else_is_there(lab: Lab, folder: Path, output: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = arguments(lab, output, 3)
    if kind == "link":
        Path(output.rstrip("/")).symlink_to(folder / "elsewhere")
    else:
        os.mkfifo(output.rstrip("/"))
    assert main(command) == 2
    assert lab.stats().requests == 0
    err = capsys.readouterr().err
    assert output.rstrip("/") in err
    assert kind == "link" or output != "pages/" or "what is there is no folder\n  try: name another output (- is stdout)" in err
    assert not Path("elsewhere").exists()


def test_a_list_that_is_cut_during_the_run(
    lab: Lab, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by whoever writes it anew: what was counted and is not there any more was not got."""
    command = arguments(lab, "out.jsonl", 6)
    lines = Path("urls.txt").read_text().splitlines(keepends=True)
    count = Input.count

    def counted(items: Input) -> int:
        number = count(items)
        Path("urls.txt").write_text("".join(lines[:4]))
        return number

    with monkeypatch.context() as patched:
        patched.setattr("atonce.source.inputs.KEPT", 0)  # as of a list that is too long to be kept
        patched.setattr(Input, "count", counted)
        assert main(command) == 1
    err = capsys.readouterr().err
    assert "4 items: 4 ok" in err
    assert "error: urls.txt had 6 items when they were counted, and has 4 now: it was changed during the run\n  try: run" in err
    Path("urls.txt").write_text("".join(lines))
    assert main(command) == 0
    assert len(verified(OUTPUTS["out.jsonl"](Path("out.jsonl")), SIZE)) == 6


def test_a_clock_that_jumps(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an hour to and fro, each time that it is read: nothing waits for it, and nothing is late by it."""
    now, jumps = time.time, itertools.cycle((-3600, 3600))
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(8, path="/flaky/1/a")))
    command = ["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-progress", "--no-remember", "--rate", "1000/s"]
    assert main([*command, "--connect-timeout", "20", "--timeout", "40"]) == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert all(0 <= row["total_s"] < 40 for row in rows)


def test_two_runs_on_one_output(lab: Lab, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second is refused while the first runs, and the first does not notice."""
    url = f"{lab.base}/range/good/1000?stay=400"
    command = ["fetch", url, "-o", "pages/", "--no-remember", "--quiet"]
    with subprocess.Popen([*ATONCE, *command]) as first:
        lab.wait_until(lambda stats: stats.requests > 0)
        assert main(command) == 2
        assert "another run is writing to pages" in capsys.readouterr().err
        assert first.poll() is None
        first.kill()
    assert main(command) == 0
    assert json.loads(Path("pages/manifest.jsonl").read_text())["ok"]
