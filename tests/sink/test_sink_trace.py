"""The trace: every attempt is in it, it can be read at any time, and whatever goes wrong with it the run goes on."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from trace_spec import check

import atonce
from atonce.engine.history import Move
from atonce.engine.onlookers import Onlookers
from atonce.errors import OutputError, UsageError
from atonce.outcome import Stats
from atonce.sink.trace import BEGIN, KEYS, Trace

HOSTILE = ['"', "\\", "\n\x1b[2J", "</script><script>alert(1)</script>", "\ud800", "é😀", "x" * 10_000, "\x00"]


def events(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return check(text)


def attempts(path: Path) -> list[dict[str, Any]]:
    return [event for event in events(path) if event["ph"] == "X"]


def odd_fails(item: int) -> int:
    if item % 2:
        raise ValueError(f"no {item}")
    return item


def ends_the_process_once(item: str) -> str:
    if item != "well" and not os.path.exists(item):
        Path(item).touch()
        os._exit(3)
    return item


@pytest.mark.parametrize("model", ["sync", "threads", "processes", "hybrid", "auto"])
@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_every_attempt_is_in_it(model: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    run = atonce.run(odd_fails, range(20), model=model, retry=atonce.Retry(2, base=0.001), trace=path)
    told = attempts(path)
    assert sorted(event["args"]["index"] for event in told) == sorted([*range(20), *range(1, 20, 2)])
    assert {event["cat"] for event in told if event["args"]["index"] % 2} == {"failed"}
    assert {event["args"]["error"] for event in told if event["cat"] == "failed"} == {
        f"ValueError: no {item}" for item in range(1, 20, 2)
    }
    assert {event["pid"] for event in told} == {outcome.worker.pid for outcome in run.outcomes if outcome.worker}
    assert all(event["dur"] >= 0 for event in told)
    closed = events(path)[-1]
    assert closed["name"] == "closed"
    assert closed["args"]["items"] == 20
    assert closed["args"]["attempts"] == len(told)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_for_coroutines_of_async_callers_too(tmp_path: Path) -> None:
    import asyncio

    async def double(item: int) -> int:
        await asyncio.sleep(0)
        return 2 * item

    asyncio.run(atonce.arun(double, range(10), trace=str(tmp_path / "a.json")))
    assert len(attempts(tmp_path / "a.json")) == 10


def test_the_lives_of_workers_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    items = ["well", str(tmp_path / "died"), "well"]
    run = atonce.run(ends_the_process_once, items, model="processes", parallelism=1, trace=path)
    assert all(outcome.ok for outcome in run.outcomes)
    lives = [
        (event["name"], event["args"]["worker"]) for event in events(path) if event["ph"] == "i" and "worker" in event["args"]
    ]
    assert lives[:4] == [("hired", 0), ("ready", 0), ("lost", 0), ("hired", 1)]
    (lost,) = [event for event in events(path) if event["name"] == "lost"]
    assert lost["args"] == {"worker": 0, "status": 3, "running": [1]}
    ended = [(event["args"]["index"], event["cat"], event["args"].get("error")) for event in attempts(path)]
    # what its death cut off is an attempt, too
    assert sorted(ended) == [
        (0, "ok", None), (1, "failed", "WorkerDied: its worker died (exit code 3)"), (1, "ok", None), (2, "ok", None),
    ]  # fmt: skip


def hangs_once(item: str) -> str:
    if item != "well" and not os.path.exists(item):
        Path(item).touch()
        time.sleep(1000)  # until it is ended
    return item


def test_an_attempt_that_was_too_late_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    items = ["well", str(tmp_path / "hung"), "well"]
    run = atonce.run(hangs_once, items, model="processes", parallelism=1, timeout=0.3, retry=2, trace=path)
    assert all(outcome.ok for outcome in run.outcomes)
    (late,) = [event for event in attempts(path) if event["cat"] == "failed"]
    assert late["args"]["error"].startswith("ItemTimeout: item 1 took longer than timeout=0.3 s")
    assert late["dur"] >= 0.3e6
    assert late["name"] == items[1][:120]


def test_so_is_one_whose_thread_was_left_behind(tmp_path: Path) -> None:
    path, gate = tmp_path / "run.json", threading.Event()

    def waits(item: int) -> int:
        if item == 1:
            gate.wait()
        return item

    run = atonce.run(waits, range(4), model="threads", timeout=0.2, trace=path)
    gate.set()
    assert [failure.index for failure in run.failures] == [1]
    (late,) = [event for event in attempts(path) if event["cat"] == "failed"]
    assert late["args"]["index"] == 1
    assert late["pid"] == os.getpid()
    (left,) = [event for event in events(path) if event["name"] == "left behind"]
    assert left["args"]["index"] == 1


class Busy(Exception):
    """A server that asks for a pause."""

    retry_after = 0.01
    overload = True


def test_what_is_put_off_parked_and_limited_is_in_it(tmp_path: Path) -> None:
    path, tried = tmp_path / "run.json", set[int]()

    def refuses_once(item: int) -> int:
        if item not in tried:
            tried.add(item)
            raise Busy("not now")
        return item

    run = atonce.run(
        refuses_once, range(4), model="threads", concurrency=4, retry=2, key=lambda item: f"k{item % 2}\x1b[2J", trace=path
    )
    assert run.stats.ok == 4
    told = events(path)
    put_off = [event["args"] for event in told if event["name"] == "put off"]
    assert sorted(each["index"] for each in put_off) == [0, 1, 2, 3]
    assert all(each["failed"] == 1 and each["seconds"] >= 0.01 for each in put_off)
    parked = [event["args"] for event in told if event["name"] == "parked"]
    assert {each["key"] for each in parked} == {"k0\x1b[2J", "k1\x1b[2J"}
    assert all(each["limit"] == 0 and "asked to wait" in each["why"] for each in parked)
    assert any(event["name"] == "memory" and event["args"]["caller"] > 0 for event in told)


def test_moves_of_the_limit_are_in_it_with_the_reason(tmp_path: Path) -> None:
    trace = Trace(str(tmp_path / "run.json"), "moves")
    trace.limited(Move(time.monotonic(), 48, "48: 72 in flight brought no more"))
    for number in range(30):
        trace.limited(Move(time.monotonic(), 4, "4: refused", f"host{number}"))
    trace.closed(Stats(0, 0, 0, 0, 0.0, 0.0, 0, 0), time.monotonic())
    told = events(tmp_path / "run.json")
    moves = [event["args"] for event in told if event["name"] == "limit" and event["ph"] == "i"]
    assert moves[0] == {"limit": 48, "why": "48: 72 in flight brought no more"}
    assert len(moves) == 31
    curves = [event["args"] for event in told if event["name"] == "limit" and event["ph"] == "C"]
    assert curves[0] == {"all": 48}
    assert len({name for curve in curves for name in curve}) == KEYS  # a viewer has no room for a thousand hosts


class Refused(Exception):
    """One that says itself what it is counted as."""

    error_class = "http-5xx"


def test_a_failure_is_called_what_it_calls_itself(tmp_path: Path) -> None:
    def refuses(item: int) -> None:
        raise Refused("http-5xx: the server answered 503")

    atonce.run(refuses, range(1), model="sync", trace=tmp_path / "run.json")
    (failed,) = attempts(tmp_path / "run.json")
    assert failed["args"]["error"] == "http-5xx: the server answered 503"


def test_rows_have_names(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    atonce.run(abs, range(100), model="processes", parallelism=2, trace=path)
    named = {(event["pid"], event["tid"]) for event in events(path) if event["name"] == "thread_name"}
    assert named - {(os.getpid(), 1)} == {(event["pid"], event["tid"]) for event in attempts(path)}  # that of the run


def test_what_is_held_back_does_not_grow_with_the_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    write = Trace._write

    def watched(self: Trace, now: float, *, last: bool = False) -> None:
        held.append(sum(map(len, self._pieces)))
        write(self, now, last=last)

    monkeypatch.setattr(Trace, "_write", watched)
    path = tmp_path / "run.json"
    run = atonce.run(abs, range(60_000), model="threads", trace=path)
    assert run.stats.ok == len(attempts(path)) == 60_000
    # a report, of some thousand items, may come on top of a piece; the whole is many of those
    assert max(held) < path.stat().st_size / 8


def test_hostile_items_break_nothing(tmp_path: Path) -> None:
    class Worse:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    path = tmp_path / "run.json"
    run = atonce.run(len, [*HOSTILE, Worse()], model="threads", trace=path)
    assert [failure.index for failure in run.failures] == [len(HOSTILE)]
    names = {event["name"] for event in attempts(path)}
    assert {*(item[:120] for item in HOSTILE)} < names
    assert len(names) == len(HOSTILE) + 1
    assert path.read_bytes().isascii()
    assert b"\x1b" not in path.read_bytes()


def test_a_trace_is_overwritten_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("run.json", "run.json.gz"):
        for count in (5, 3):
            atonce.run(abs, range(count), model="threads", trace=tmp_path / name)
        assert len(attempts(tmp_path / name)) == 3
        other = tmp_path / f"other-{name}"
        other.write_text("[1, 2]")
        with pytest.raises(OutputError, match="not a trace of atonce"):
            atonce.run(abs, range(3), trace=other)
        assert other.read_text() == "[1, 2]"


@pytest.mark.parametrize("path", ["nowhere/run.json", "", 3])
def test_what_cannot_be_one_is_refused_before_anything_runs(path: Any, tmp_path: Path) -> None:
    ran: list[int] = []
    with pytest.raises((OutputError, UsageError)):
        atonce.run(ran.append, range(3), model="sync", trace=tmp_path / path if path == "nowhere/run.json" else path)
    assert ran == []


def test_a_killed_run_leaves_a_readable_one(tmp_path: Path) -> None:
    """Up to the last whole line; a viewer needs no bracket at the end."""
    script = textwrap.dedent("""
        import os, signal, sys, atonce
        def fn(item):
            if item == 5000:
                os.kill(os.getpid(), signal.SIGKILL)
            return item
        for name in sys.argv[1:]:
            atonce.run(fn, range(5000), model="sync", trace=name)
            if os.fork() == 0:
                atonce.run(fn, range(10_000), model="sync", trace=name)
            os.wait()
    """)
    names = [str(tmp_path / "run.json"), str(tmp_path / "run.json.gz")]
    subprocess.run([sys.executable, "-c", script, *names], check=True, timeout=50)
    for name in names:
        data = Path(name).read_bytes()
        text = zlib.decompressobj(31).decompress(data).decode() if name.endswith(".gz") else data.decode()
        told = json.loads(text + "]")
        assert told[0]["name"] == "atonce"


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
@pytest.mark.parametrize("room", [8192, 30_001])
def test_a_full_disk_costs_the_end_of_the_trace_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str, room: int
) -> None:
    """What is there is a whole file, or one that ends between two lines as a killed run's does."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python 3.11 keeps what had room of it
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        run = atonce.run(abs, range(20_000), model="threads", trace=tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert run.stats.ok == 20_000
    (record,) = caplog.records
    assert "Trace looks on no more" in record.getMessage()
    assert "cannot be written" in record.getMessage()
    data = (tmp_path / name).read_bytes()
    if name.endswith(".gz"):
        told = json.loads(zlib.decompressobj(31).decompress(data).decode() + "]")
    else:
        told = json.loads(data)
    assert told[0]["name"] == "atonce"


def test_an_observer_that_raises_is_left_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    class Bad(Trace):
        def __init__(self, *_: Any) -> None:
            pass

        def hired(self, *_: Any) -> None:
            told.append("hired")
            raise RuntimeError("on purpose")

        def reported(self, *_: Any) -> None:
            told.append("reported")

    monkeypatch.setattr("atonce.sink.trace.Trace", Bad)
    assert atonce.run(abs, range(10), model="threads", trace="x").stats.ok == 10
    assert told == ["hired"]
    assert "on purpose" in caplog.text


def test_without_one_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Onlookers, "tell", None)
    assert atonce.run(abs, range(10), model="threads").stats.ok == 10


def test_it_begins_as_it_is_recognised(tmp_path: Path) -> None:
    atonce.run(abs, [1], model="sync", trace=tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text().startswith(BEGIN)
