"""Workers that are replaced: after so many items exactly, after so much memory; nothing is lost, doubled or left open."""

from __future__ import annotations

import itertools
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.testing.contract import Log
from atonce.worker.memory import resident

pytestmark = pytest.mark.timeout(60, method="signal")


def pid(_: Any) -> int:
    return os.getpid()


@pytest.mark.parametrize("options", [{"model": "processes"}, {"model": "hybrid", "concurrency": 3}], ids=str)
@pytest.mark.parametrize(("most", "count"), [(1, 6), (7, 28), (7, 30), (1000, 50)])
def test_no_worker_runs_more_than_its_items(options: dict[str, Any], most: int, count: int) -> None:
    """Also where they come out even with the last item, which nobody knows beforehand."""
    run = atonce.run(pid, iter(range(count)), parallelism=2, max_tasks_per_worker=most, **options)
    assert [outcome.index for outcome in run.outcomes] == list(range(count))
    assert all(outcome.ok and outcome.attempts == 1 for outcome in run.outcomes)
    assert max(Counter(run.values).values()) <= most
    assert run.stats.workers_lost == 0


def test_auto_takes_processes_for_it() -> None:
    assert max(Counter(atonce.map(pid, range(6), max_tasks_per_worker=2)).values()) <= 2


def test_each_of_them_enters_and_exits_its_resource(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    run = atonce.run(_use, range(20), setup=_Resource(log), model="processes", parallelism=2, max_tasks_per_worker=3)
    pids = {str(value) for value in run.values}
    assert len(pids) >= 7
    for word in ("enter", "exit"):
        assert pids <= {line[1] for line in log.lines() if line[0] == word}
    assert Counter(line[1] for line in log.lines() if line[0] == "enter") == Counter(
        line[1] for line in log.lines() if line[0] == "exit"
    )


class _Resource:
    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self) -> _Resource:
        return self

    def __enter__(self) -> _Resource:
        self.log.write("enter", os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        self.log.write("exit", os.getpid())


def _use(_resource: _Resource, item: int) -> int:
    return os.getpid()


def test_deaths_and_replacements_go_together() -> None:
    run = atonce.run(_dies_at_eleven, range(30), model="processes", parallelism=2, max_tasks_per_worker=4)
    assert [outcome.index for outcome in run.failures] == [11]
    assert run.values == [item for item in range(30) if item != 11]


def _dies_at_eleven(item: int) -> int:
    if item == 11:
        os._exit(3)
    return item


def test_an_executor_replaces_its_workers() -> None:
    with atonce.Executor("processes", 2, max_tasks_per_worker=1) as pool:
        first = pool.submit(os.getpid).result()
        later = [pool.submit(os.getpid) for _ in range(5)]
        assert len({first, *(future.result() for future in later)}) == 6


_hoard: list[bytes] = []


def _grow(_: Any) -> int:
    _hoard.append(b"x" * 10_000_000)
    return os.getpid()


def _until(more_than: int, pids: set[int]) -> Iterator[int]:
    """Items until so many workers have been seen: only a run in which none is replaced never ends."""
    return itertools.takewhile(lambda _: len(pids) <= more_than, itertools.count())


@pytest.mark.parametrize("model", ["processes", pytest.param("hybrid", marks=pytest.mark.soak)])
def test_workers_that_grow_are_replaced(model: str) -> None:
    pids: set[int] = set()
    # a worker is some 40 MB before it has done anything
    for outcome in atonce.stream(_grow, _until(2, pids), model=model, parallelism=2, max_worker_memory="150MB"):
        assert outcome.ok
        pids.add(outcome.unwrap())
        assert outcome.attempts == 1
    assert len(pids) > 2


def test_workers_that_do_not_grow_stay() -> None:
    pids = Counter(atonce.map(pid, range(2000), model="processes", parallelism=2, max_worker_memory="20GB"))
    assert len(pids) <= 2


def test_resident_memory_is_what_psutil_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with mmap.mmap(-1, 50_000_000) as held:  # not from memory that was freed before
        before = resident()
        held.write(b"x" * 50_000_000)
        assert resident() - before > 40_000_000

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("psutil.Process", lambda: type("P", (), {"memory_info": lambda self: type("M", (), {"rss": 7})()})())
    assert resident() == 7


def test_where_no_descriptor_is_left_resident_memory_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's run ends for that: it is asked now and then while one goes on, and when one is closed."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("psutil.Process", refuse)
    assert resident() == 0
