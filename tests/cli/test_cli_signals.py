"""Signals, closed pipes and kills, on the real command in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# An item that is "stuck" says so through the FIFO and never ends; without a FIFO there is nothing to be stuck on.
JOBS = """
import asyncio, os, time

FIFO = os.environ.get("GATE")

def tell(word):
    with open(FIFO, "w") as gate: gate.write(word)

def work(text):
    if text == "stuck" and FIFO:
        tell("s")
        time.sleep(1000)
    return text

async def awork(text):
    if text == "stuck" and FIFO:
        tell("s")
        await asyncio.sleep(1000)
    return text

async def stubborn(text):
    if text == "stuck" and FIFO:
        tell("s")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            tell("c")
            time.sleep(1000)
    return text
"""
ATONCE = [sys.executable, "-m", "atonce"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "items.txt").write_text("a\nb\nstuck\n" + "".join(f"{number}\n" for number in range(20)))
    os.mkfifo(tmp_path / "gate")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start() -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "GATE": "gate"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        # a group of its own, as a shell makes for a job: Ctrl-C reaches every process in it
        process = subprocess.Popen([*ATONCE, *arguments], text=True, env=environment, start_new_session=True, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def wait_for(word: str) -> None:
    with open("gate") as gate:
        assert gate.read() == word


def indices(path: str) -> list[int]:
    return [json.loads(line)["index"] for line in Path(path).read_bytes().splitlines()]


def resumed(command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "GATE"}
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "atonce"]
    return subprocess.run([*ATONCE, *words[3:]], text=True, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("model", ["threads", "processes", "coroutines"])
def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(
    start: Any, model: str, number: signal.Signals, code: int
) -> None:
    function = "awork" if model == "coroutines" else "work"
    run = start("map", f"jobs:{function}", "-i", "items.txt", "-o", "out.jsonl", "--model", model, "--json")
    wait_for("s")
    os.killpg(run.pid, number)
    out, err = run.communicate()
    assert run.returncode == code
    assert "Traceback" not in err
    done = indices("out.jsonl")
    last = err.splitlines()[-1]
    assert last.startswith("interrupted; to go on: ")
    told = json.loads(out)
    assert (told["ended"], told["command"]) == ("interrupted", last.removeprefix("interrupted; to go on: "))

    again = resumed(last.removeprefix("interrupted; to go on: "))
    assert again.returncode == 0, again.stderr
    assert not done or f"{len(done)} of 23 already done" in again.stderr
    assert sorted(indices("out.jsonl")) == list(range(23))
    assert indices("out.jsonl")[: len(done)] == done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_that_is_ignored_stays_ignored(start: Any, number: signal.Signals) -> None:
    run = start(
        "map", "jobs:work", "-i", "items.txt", "-o", "out.jsonl", "--model", "sync",
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )  # fmt: skip
    wait_for("s")
    run.send_signal(number)
    run.send_signal(signal.SIGTERM)
    run.communicate()
    assert run.returncode == 143


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_a_terminal_that_is_closed_keeps_what_is_done(start: Any, output: str) -> None:
    """Its SIGHUP comes, and what is said on it is said to nobody; the shell in it may send another one."""
    if output.endswith("parquet"):
        pytest.importorskip("pyarrow")
    try:
        near, far = os.openpty()
    except OSError:
        pytest.skip("there are no terminals")
    run = start(
        "map", "jobs:work", "-i", "items.txt", "-o", output, "--model", "sync",
        stdin=far, stdout=far, stderr=far,
        preexec_fn=lambda: fcntl.ioctl(far, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(far)
    wait_for("s")
    os.close(near)
    assert run.wait() == 129
    again = resumed(f"python -m atonce map jobs:work -i items.txt -o {output}")
    assert again.returncode == 0, again.stderr
    assert "2 of 23 already done" in again.stderr


def told_twice(start: Any, number: signal.Signals) -> Any:
    """A run whose items do not let themselves be cancelled, once both signals have been sent."""
    run = start("map", "jobs:stubborn", "-i", "items.txt", "-o", "out.jsonl", "--model", "coroutines")
    wait_for("s")
    run.send_signal(number)
    wait_for("c")
    run.send_signal(number)
    return run


def test_a_second_hangup_does_not_hurry(start: Any) -> None:
    run = told_twice(start, signal.SIGHUP)
    run.send_signal(signal.SIGTERM)
    run.communicate()
    assert run.returncode in (-signal.SIGTERM, 143)


def test_a_second_interrupt_kills(start: Any) -> None:
    run = told_twice(start, signal.SIGINT)
    run.communicate()
    assert run.returncode in (-signal.SIGINT, 130)


def test_a_killed_run_goes_on(start: Any) -> None:
    command = ("map", "jobs:work", "-i", "items.txt", "-o", "out.jsonl", "--model", "sync")
    run = start(*command)
    wait_for("s")
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    done = indices("out.jsonl")
    again = resumed(shlex.join(["python", "-m", "atonce", *command]))
    assert again.returncode == 0, again.stderr
    assert sorted(indices("out.jsonl")) == list(range(23))
    assert indices("out.jsonl")[: len(done)] == done


def test_a_reader_that_has_gone_ends_it_quietly(start: Any) -> None:
    Path("items.txt").write_text("a\nb\n")
    reader, writer = os.pipe()
    os.close(reader)
    run = start("map", "jobs:work", "-i", "items.txt", "--model", "sync", stdout=writer)
    os.close(writer)
    _, err = run.communicate()
    assert (run.returncode, err) == (141, "")


def test_stdin_is_read_as_it_comes(start: Any) -> None:
    run = start("map", "jobs:work", "-i", "-", "--model", "sync", stdin=subprocess.PIPE, bufsize=1)
    for text in ("one", "two"):
        run.stdin.write(f"{text}\n")
        run.stdin.flush()
        assert json.loads(run.stdout.readline())["value"] == text
    run.stdin.close()
    assert run.wait() == 0


def test_a_bad_line_late_on_stdin_keeps_what_was_done(start: Any) -> None:
    run = start("map", "jobs:work", "-i", "-", "--input-format", "jsonl", "--model", "sync", stdin=subprocess.PIPE)
    run.stdin.write('"one"\n')
    run.stdin.flush()
    assert json.loads(run.stdout.readline())["value"] == "one"
    run.stdin.write("oops\n")
    out, err = run.communicate()
    assert (run.returncode, out) == (1, "")
    assert "error: stdin, line 2: not JSON" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("text", "message"), [("", "there are no items in stdin"), ("oops\n", "stdin, line 1")])
def test_stdin_that_brings_nothing_is_wrong_usage(start: Any, text: str, message: str) -> None:
    run = start("map", "jobs:work", "-i", "-", "--input-format", "jsonl", stdin=subprocess.PIPE)
    _, err = run.communicate(text)
    assert run.returncode == 2
    assert message in err


def test_an_interrupt_before_anything_runs_is_told(start: Any) -> None:
    Path("pressed.py").write_text("raise KeyboardInterrupt")  # while the function is imported
    run = start("map", "pressed:work", "-i", "items.txt", "-o", "out.jsonl")
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err.strip()) == (130, "interrupted")


def test_an_interrupt_ends_it_while_it_waits_for_stdin(start: Any) -> None:
    run = start("map", "jobs:work", "-i", "-", "-o", "out.jsonl", stdin=subprocess.PIPE)
    run.stdin.write("stuck\n")
    run.stdin.flush()
    wait_for("s")  # it is up, and waits for the next line
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "interrupted; to go on:" in err
    assert "Fatal" not in err
