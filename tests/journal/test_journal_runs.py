"""`journal=` of map, stream, run and their async twins: what is run, what is not, and what is given out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce import Journal, Options
from atonce.errors import Interrupted, JournalMismatch, NotCarried, OutputError, UsageError, WorkerDied
from atonce.sink import files
from atonce.sink.journal import JournalFile
from atonce.source.identity import identity
from atonce.testing.contract import SHAPES, Shape

# processes take their time to start
MODELS = [pytest.param(shape, id=str(shape), marks=() if shape.here else pytest.mark.slow) for shape in SHAPES]
HERE = [shape for shape in SHAPES if shape.here]
THREADS = {"model": "threads", "concurrency": 4}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.journal")


class Work:
    """A function of items that counts its calls in a file: `fails` are items that raise, `dies` those that end the process."""

    def __init__(self, folder: Path, fails: tuple[int, ...] = (), dies: tuple[int, ...] = ()) -> None:
        self.starts = str(folder / "starts")
        self._fails = str(folder / "fails")
        self.fail(*fails)
        self.dies = dies

    def fail(self, *items: int) -> None:
        """From now on these items fail. It is in a file, since a function that changes is another function."""
        Path(self._fails).write_text(" ".join(map(str, items)))

    def __call__(self, item: int) -> int:
        fd = os.open(self.starts, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, b"%d\n" % item)
        os.close(fd)
        if item in self.dies:
            os._exit(3)
        if str(item) in Path(self._fails).read_text().split():
            raise ValueError(item)
        return item * 10

    def started(self) -> list[int]:
        """The items that were started since this was asked last, sorted."""
        with contextlib.suppress(FileNotFoundError):
            found = sorted(map(int, Path(self.starts).read_text().split()))
            os.unlink(self.starts)
            return found
        return []


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def held(path: str, fn: Any) -> set[int]:
    """The items that are recorded."""
    journal = JournalFile(path, identity(fn))
    journal.close()
    return {index for index in range(journal.last + 1) if journal.run(index) > 0}


# ── in every model ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", MODELS)
def test_what_is_recorded_is_not_run_again(shape: Shape, path: str, work: Work) -> None:
    fn = shape.of(work)
    first = atonce.run(fn, range(20), journal=path, **shape.options)
    assert work.started() == list(range(20))
    assert (first.stats.items, first.stats.resumed, first.stats.attempts) == (20, 0, 20)

    second = atonce.run(fn, range(30), journal=path, **shape.options)
    assert work.started() == list(range(20, 30))
    assert second.values == [item * 10 for item in range(30)]
    assert [(outcome.index, outcome.item) for outcome in second.outcomes] == [(item, item) for item in range(30)]
    assert (second.stats.items, second.stats.ok, second.stats.resumed, second.stats.attempts) == (30, 30, 20, 10)
    assert [outcome.worker is None for outcome in second.outcomes] == [True] * 20 + [False] * 10
    assert [outcome.attempts for outcome in second.outcomes] == [1] * 30


def test_what_is_recorded_does_not_count_as_work_that_is_left(path: str) -> None:
    """Whoever resumes near the end of many items still gets what is chosen for those that are left."""
    atonce.run(nap, range(40), journal=path, model="sync")
    resumed = atonce.run(nap, range(60), journal=path)
    assert resumed.stats.resumed == 40
    assert resumed.plan.seconds is not None, resumed.plan  # a prediction is made for items that are left
    assert "there are no more items" not in str(resumed.plan)


def nap(item: int) -> int:
    time.sleep(0.002)
    return item


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("shape", MODELS)
def test_holes_are_filled_and_order_is_kept(shape: Shape, ordered: bool, path: str, work: Work) -> None:
    fn = shape.of(work)
    work.fail(*range(3, 60, 4))
    atonce.run(fn, range(60), journal=path, **shape.options)
    work.fail()
    work.started()
    outcomes = list(atonce.stream(fn, range(80), journal=Journal(path, retry_failed=True), ordered=ordered, **shape.options))
    assert work.started() == [*range(3, 60, 4), *range(60, 80)]
    indices = [outcome.index for outcome in outcomes]
    assert (indices if ordered else sorted(indices)) == list(range(80))
    assert all(outcome.value == outcome.index * 10 for outcome in outcomes)


@pytest.mark.parametrize("shape", MODELS)
def test_one_item_that_holds_back_all_that_is_recorded_after_it(shape: Shape, path: str, work: Work) -> None:
    """When it is done the ordered window is empty at once, and the run must go on reading by itself."""
    fn = shape.of(work)
    work.fail(7)
    atonce.run(fn, range(1_000), journal=path, model="coroutines" if shape.awaits else "sync")
    work.fail()
    work.started()
    outcomes = atonce.stream(fn, iter(range(1_000)), journal=Journal(path, retry_failed=True), ordered=True, **shape.options)
    assert [outcome.value for outcome in outcomes] == [item * 10 for item in range(1_000)]
    assert work.started() == [7]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.kills], ids=str)
def test_a_death_is_recorded_as_any_failure(shape: Shape, path: str, tmp_path: Path) -> None:
    work = Work(tmp_path, dies=(2,))
    fn = shape.of(work)
    for again in (False, True):
        outcomes = atonce.run(fn, range(5), journal=path, **shape.options).outcomes
        assert [outcome.ok for outcome in outcomes] == [True, True, False, True, True]
        assert type(outcomes[2].error) is WorkerDied
        assert outcomes[2].attempts == 2
        assert (work.started() == []) == again


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_failures_stand_as_in_the_outputs_of_the_command_line(path: str, work: Work) -> None:
    work.fail(2, 3)
    first = atonce.run(work, range(5), journal=path, **THREADS)
    work.fail()
    work.started()
    second = atonce.run(work, range(5), journal=path, **THREADS)
    assert work.started() == []
    assert [repr(outcome.error) for outcome in second.failures] == [repr(outcome.error) for outcome in first.failures]
    assert (second.stats.ok, second.stats.failed, second.stats.resumed) == (3, 2, 5)

    third = atonce.run(work, range(5), journal=Journal(path, retry_failed=True), **THREADS)
    assert work.started() == [2, 3]
    assert third.values == [0, 10, 20, 30, 40]
    assert atonce.run(work, range(5), journal=path, **THREADS).stats.resumed == 5
    assert work.started() == []


def test_map_goes_on_with_the_item_that_raised(path: str, work: Work) -> None:
    work.fail(2)
    with pytest.raises(ValueError, match="2"):
        list(atonce.map(work, range(6), journal=path, model="sync"))
    work.fail()
    assert work.started()[:3] == [0, 1, 2]
    assert list(atonce.map(work, range(6), journal=path, model="sync")) == [0, 10, 20, 30, 40, 50]
    assert work.started()[0] == 2


def test_map_that_skips_leaves_failures_for_the_next_time(path: str, work: Work) -> None:
    work.fail(2)
    assert list(atonce.map(work, range(4), journal=path, errors="skip", **THREADS)) == [0, 10, 30]
    work.fail()
    work.started()
    assert list(atonce.map(work, range(4), journal=path, errors="skip", **THREADS)) == [0, 10, 20, 30]
    assert work.started() == [2]


def test_an_exception_that_is_a_value_stands(path: str, work: Work) -> None:
    work.fail(1)
    for _ in range(2):
        values = list(atonce.map(work, range(3), journal=path, errors="return", **THREADS))
        assert repr(values) == "[0, ValueError(1), 20]"
    assert work.started() == [0, 1, 2]


def test_attempts_are_those_of_the_run_that_made_them(path: str, work: Work) -> None:
    work.fail(1)
    retry = atonce.Retry(3, base=1e-9)
    first = atonce.run(work, range(3), journal=path, retry=retry, **THREADS)
    assert [outcome.attempts for outcome in first.outcomes] == [1, 3, 1]
    assert work.started() == [0, 1, 1, 1, 2]
    again = atonce.run(work, range(3), journal=Journal(path, retry_failed=True), retry=retry, **THREADS)
    assert [outcome.attempts for outcome in again.outcomes] == [1, 3, 1]
    assert again.stats.attempts == 3
    assert work.started() == [1, 1, 1]


@pytest.mark.parametrize("shape", HERE, ids=str)
def test_a_value_that_cannot_be_kept_fails_its_item(shape: Shape, path: str) -> None:
    def lock(item: int) -> Any:
        return threading.Lock() if item == 1 else item

    for resumed in (0, 3):
        run = atonce.run(shape.of(lock), range(3), journal=path, **shape.options)
        assert run.values == [0, 2]
        assert type(run.failures[0].error) is NotCarried
        assert (run.stats.ok, run.stats.failed, run.stats.resumed) == (2, 1, resumed)


# ── what changed ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_changed_function_is_refused_before_anything_runs(path: str, work: Work) -> None:
    atonce.run(lambda item: item + 1, range(3), journal=path)
    read = iter(range(3))
    with pytest.raises(JournalMismatch, match="its code"):
        atonce.run(lambda item: work(item) + 1, read, journal=path)
    with pytest.raises(UsageError):
        next(atonce.map(work, read, journal=path))
    assert (next(read), work.started()) == (0, [])
    assert atonce.run(lambda item: item + 1, range(3), journal=path).stats.resumed == 3  # the same, written again
    assert atonce.run(lambda item: item + 1, range(3), journal=path, model="processes").stats.resumed == 3
    with pytest.raises(JournalMismatch, match="setup"):
        atonce.run(lambda item: item + 1, range(3), journal=path, setup=contextlib.nullcontext)


@pytest.mark.parametrize(
    ("items", "index", "shown"),
    [
        (["a", "b", "X", "d", "e"], 2, "'X'; recorded: 'c'"),
        (["b", "a", "c", "d", "e"], 0, "'b'; recorded: 'a'"),
        (["a", "b", "c", "e", "d"], 3, "'e'; recorded: 'd'"),
        (["a", "b", "c", "d", b"e"], 4, "b'e'; recorded: 'e'"),
    ],
)
@pytest.mark.parametrize("lazy", [True, False])
def test_another_item_ends_the_run(path: str, items: list[Any], index: int, shown: str, lazy: bool) -> None:
    ran: list[Any] = []
    atonce.run(_Note(ran), list("abcde"), journal=path, model="sync")
    ran.clear()
    with pytest.raises(JournalMismatch) as raised:
        atonce.run(_Note(ran), iter(items) if lazy else items, journal=path, model="sync")
    assert f"item {index} is not" in str(raised.value)
    assert shown in str(raised.value)
    assert [outcome.item for outcome in raised.value.run.outcomes] == items[:index]  # type: ignore[attr-defined]
    assert ran == []


class _Note:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def __reduce__(self) -> Any:  # what it has seen does not make it another function
        return _Note, ([],)

    def __call__(self, item: Any) -> Any:
        self.seen.append(item)
        return item


def test_fewer_items_are_refused_and_more_are_run(path: str, work: Work) -> None:
    atonce.run(work, range(5), journal=path, model="sync")
    work.started()
    with pytest.raises(JournalMismatch, match="4 items"):
        next(atonce.stream(work, range(4), journal=path, model="sync"))
    outcomes = []
    with pytest.raises(JournalMismatch, match="4 items"):
        outcomes += atonce.stream(work, iter(range(4)), journal=path, model="sync")
    assert work.started() == []
    assert len(list(atonce.stream(work, iter(range(7)), journal=path, model="sync"))) == 7
    assert work.started() == [5, 6]


def test_what_the_input_raises_is_not_taken_for_its_end(path: str, work: Work) -> None:
    def broken() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no more")

    atonce.run(work, range(5), journal=path, model="sync")
    with pytest.raises(LookupError, match="no more"):
        atonce.run(work, broken(), journal=path, model="sync")


def test_two_runs_at_once(path: str, work: Work) -> None:
    with contextlib.closing(atonce.stream(work, itertools.count(), journal=path, **THREADS)) as first:
        assert next(first).ok
        with pytest.raises(OutputError, match="another run"):
            atonce.run(work, range(3), journal=path)
    assert atonce.run(work, range(10_000), journal=path, **THREADS).stats.resumed >= 1


# ── runs that end early ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", MODELS)
def test_an_endless_input_can_be_left_and_taken_up(shape: Shape, path: str, work: Work) -> None:
    fn = shape.of(work)
    kept: set[int] = set()
    for count in (1, 30, 60):
        with contextlib.closing(atonce.stream(fn, itertools.count(), journal=path, **shape.options)) as outcomes:
            taken = list(itertools.islice(outcomes, count))
        assert len({outcome.index for outcome in taken}) == count
        assert held(path, fn) >= kept | {outcome.index for outcome in taken}
        kept = held(path, fn)
    if shape.here:
        assert len(work.started()) <= len(kept) + shape_slack(shape)


def shape_slack(shape: Shape) -> int:
    """Items that may have been under way when a run was left, three times."""
    return 3 * (shape.at_once or 40)


@pytest.mark.parametrize("shape", HERE, ids=str)
def test_ctrl_c_keeps_what_was_finished(shape: Shape, path: str, work: Work) -> None:
    def fn(item: int) -> int:
        if item == 12 and not os.path.exists(work.starts + ".again"):
            Path(work.starts + ".again").touch()
            os.kill(os.getpid(), signal.SIGINT)
        return work(item)

    with pytest.raises(Interrupted) as raised:
        atonce.run(shape.of(fn), range(200), journal=path, rate=1e9, **shape.options)
    kept = held(path, shape.of(fn))
    assert kept >= {outcome.index for outcome in raised.value.run.outcomes} > set()
    work.started()
    assert atonce.run(shape.of(fn), range(200), journal=path, **shape.options).values == [item * 10 for item in range(200)]
    assert work.started() == sorted(set(range(200)) - kept)


def test_a_full_disk_ends_the_run_and_loses_nothing(path: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all, room = files.write_all, [6000]

    def full(fd: int, data: bytes) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            os.write(fd, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write_all(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_all", full)
        with pytest.raises(OutputError, match="no space") as raised:
            atonce.run(work, itertools.count(), journal=path, rate=1e9, **THREADS)
    before = len(held(path, work))
    assert 0 < before < len(raised.value.run.outcomes)  # type: ignore[attr-defined]
    work.started()
    assert atonce.run(work, range(500), journal=path, **THREADS).values == [item * 10 for item in range(500)]
    assert len(work.started()) == 500 - before


def test_a_folder_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path, work: Work) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        atonce.run(work, range(3), journal=tmp_path / "none" / "x.journal")
    assert work.started() == []


# ── async callers and inputs ─────────────────────────────────────────────────────────────────────────────────────────


async def arange(count: int) -> AsyncIterator[int]:
    for item in range(count):
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("shape", MODELS)
def test_async_callers(shape: Shape, path: str, work: Work) -> None:
    fn = shape.of(work)

    async def main() -> None:
        first = await atonce.arun(fn, arange(20), journal=path, **shape.options)
        assert first.values == [item * 10 for item in range(20)]
        assert work.started() == list(range(20))
        second = await atonce.arun(fn, arange(25), journal=path, **shape.options)
        assert (second.stats.resumed, second.values) == (20, [item * 10 for item in range(25)])
        assert work.started() == list(range(20, 25))
        assert [value async for value in atonce.amap(fn, range(26), journal=path, **shape.options)][-1] == 250
        outcomes = [outcome async for outcome in atonce.astream(fn, arange(27), journal=path, **shape.options)]
        assert sorted(outcome.index for outcome in outcomes) == list(range(27))
        assert work.started() == [25, 26]
        with pytest.raises(JournalMismatch, match="25 items"):
            await atonce.arun(fn, arange(25), journal=path, **shape.options)

    asyncio.run(main())


def test_an_async_input_from_a_sync_caller(path: str, work: Work) -> None:
    for count in (10, 15):
        assert list(atonce.map(work, arange(count), journal=path, **THREADS)) == [item * 10 for item in range(count)]
    assert work.started() == list(range(15))


def test_a_task_that_is_cancelled_keeps_what_was_finished(path: str, work: Work) -> None:
    async def main() -> int:
        async def fn(item: int) -> int:
            if item == 30:
                asyncio.get_running_loop().call_soon(task.cancel)
                await asyncio.Event().wait()
            return work(item)

        task = asyncio.ensure_future(atonce.arun(fn, itertools.count(), journal=path, concurrency=2))
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(held(path, fn))

    assert asyncio.run(main()) == len(work.started()) >= 30


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_limits_hold_for_what_is_left(path: str, work: Work) -> None:
    options: dict[str, Any] = {"key": _parity, "per_key": 1, "rate": 1e9, "timeout": 30, "retry": 2, **THREADS}
    assert atonce.run(work, range(40), journal=path, **options).stats.resumed == 0
    run = atonce.run(work, range(80), journal=path, **options)
    assert (run.stats.resumed, run.values) == (40, [item * 10 for item in range(80)])
    assert work.started() == list(range(80))


def _parity(item: int) -> int:
    return item % 2


def test_an_item_whose_key_cannot_be_told_is_recorded_too(path: str, work: Work) -> None:
    def key(item: int) -> int:
        return 1 // (item - 3)

    for resumed in (0, 5):
        run = atonce.run(work, range(5), journal=path, key=key, **THREADS)
        assert [outcome.index for outcome in run.failures] == [3]
        assert run.stats.resumed == resumed


def test_where_there_is_no_journal(path: str) -> None:
    with pytest.raises(UsageError, match=r"executor has no journal"):
        atonce.Executor(journal=path)
    with pytest.raises(UsageError, match=r"fetch takes no journal"):
        atonce.fetch(["http://127.0.0.1/"], journal=path)
    assert not os.path.exists(path)


def test_nothing_is_made_before_the_first_outcome_is_asked_for(path: str, work: Work) -> None:
    values = atonce.map(work, range(3), journal=path)
    assert not os.path.exists(path)
    assert list(values) == [0, 10, 20]
    assert Options(journal=Journal(path)).journal == Journal(path)


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_recorded(path: str) -> None:
    count = 20_000
    for outcome in atonce.stream(_text, range(count), journal=path, model="sync"):
        assert outcome.ok
    tracemalloc.start()
    try:
        for index, outcome in enumerate(atonce.stream(_text, iter(range(count)), journal=path, model="sync", ordered=True)):
            assert outcome.index == index
            assert outcome.value == _text(index)
        assert index == count - 1
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def _text(item: int) -> str:
    return f"{item:>2000}"
