"""`atonce.Executor` is a `concurrent.futures.Executor`: what the standard documents holds, and a dead worker breaks nothing."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce import Executor
from atonce.errors import ItemTimeout, RemoteTraceback, UsageError, WorkerDied
from atonce.testing.contract import Log, Meeting

LONG = 20.0

pytestmark = pytest.mark.timeout(40, method="signal")

EVERY_MODEL = ["sync", "threads", "processes", "coroutines", "hybrid", "auto"]
MODELS = ["threads", "processes", "hybrid"]
models = pytest.mark.parametrize("model", MODELS)


@pytest.fixture
def executor() -> Iterator[Callable[..., Executor]]:
    made: list[Executor] = []

    def make(model: str = "threads", max_workers: int | None = 2, **options: Any) -> Executor:
        made.append(Executor(model, max_workers, **options))
        return made[-1]

    yield make
    for one in made:
        one.shutdown(cancel_futures=True)


def same(item: Any) -> Any:
    return item


def fails(item: Any) -> Any:
    raise LookupError(item)


async def asame(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


# ── submit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@models
def test_submit_gives_what_the_call_gives(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model)
    assert isinstance(pool, concurrent.futures.Executor)
    future = pool.submit(pow, 2, 5, mod=7)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(LONG) == 4
    assert future.done()


@models
def test_submit_takes_functions_of_every_kind(model: str, executor: Callable[..., Executor]) -> None:
    pool, by = executor(model), 3
    calls = [
        pool.submit(lambda x: x + by, 1),
        pool.submit(partial(pow, 2), 2),
        pool.submit("{}".format, 4),
        pool.submit(len, "four"),
    ]
    assert [call.result(LONG) for call in calls] == [4, 4, "4", 4]


def test_coroutines_are_awaited(executor: Callable[..., Executor]) -> None:
    pool = executor("coroutines", 3)
    assert [future.result(LONG) for future in [pool.submit(asame, k) for k in range(20)]] == list(range(20))


@models
def test_an_exception_is_the_futures(model: str, executor: Callable[..., Executor]) -> None:
    future = executor(model).submit(fails, "k")
    error = future.exception(LONG)
    assert isinstance(error, LookupError)
    assert error.args == ("k",)
    if model != "threads":
        assert isinstance(error.__cause__, RemoteTraceback)
        assert "in fails" in str(error.__cause__)
    with pytest.raises(LookupError):
        future.result()


def test_auto_is_threads() -> None:
    with Executor() as pool:
        assert pool.submit(os.getpid).result(LONG) == os.getpid()
        assert "threads" in repr(pool)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (("nonsense",), {}, "nonsense"),
        (("sync", 2), {}, 'model="sync" is one worker, and max_workers is 2'),
        *(((model, number), {}, "max_workers must be greater than 0") for model in EVERY_MODEL for number in (0, -1)),
        (("threads", 2.5), {}, "max_workers"),
        (("sync", 2), {}, "sync"),
        (("sync",), {"timeout": 1}, "sync"),
        (("sync",), {"retry": 2}, "sync"),
        (("processes", 2), {"concurrency": 2}, "processes"),
        (("threads",), {"ordered": True}, "ordered"),
        (("threads",), {"trace": "trace.json"}, "trace"),
        (("threads",), {"initializer": 5}, "initializer"),
        (("processes",), {"initializer": len, "initargs": (threading.Lock(),)}, "pickled"),
        (("threads",), {"initializer": len, "setup": len}, "initializer"),
        (("threads",), {"no_such": 1}, "no_such"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(arguments: tuple[Any, ...], options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as raised:
        Executor(*arguments, **options)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("fn", [5, itertools.count, (k for k in ())], ids=["number", "class", "generator"])
def test_what_cannot_be_called_is_refused_at_once(fn: Any, executor: Callable[..., Executor]) -> None:
    pool = executor()
    if fn is itertools.count:  # a class can
        assert next(pool.submit(fn, 3).result(LONG)) == 3
    else:
        with pytest.raises(UsageError):
            pool.submit(fn)


@models
def test_as_many_calls_run_at_once_as_there_are_workers(model: str, executor: Callable[..., Executor], tmp_path: Path) -> None:
    pool = executor(model, 2)
    meet = Meeting(tmp_path / "meeting", 2)
    assert [future.result(LONG) for future in [pool.submit(meet, k) for k in range(2)]] == [0, 1]


def test_after_many_quick_calls_two_that_need_each_other_still_meet(executor: Callable[..., Executor], tmp_path: Path) -> None:
    """What is given ahead to a worker must not wait behind a call that waits for it."""
    pool = executor("processes", 2)
    for future in [pool.submit(same, k) for k in range(500)]:
        future.result(LONG)
    meet = Meeting(tmp_path / "meeting", 2)
    one = pool.submit(meet, 1)
    two = pool.submit(meet, 2)
    assert (one.result(LONG), two.result(LONG)) == (1, 2)


def test_max_workers_is_the_most_that_run_at_once(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 3)
    lock, running, high = threading.Lock(), 0, 0
    together = threading.Barrier(3)

    def call() -> None:
        nonlocal running, high
        with lock:
            running += 1
            high = max(high, running)
        together.wait(LONG)
        with lock:
            running -= 1

    concurrent.futures.wait([pool.submit(call) for _ in range(30)], LONG)
    assert high == 3


def test_many_threads_submit_at_once(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 4)
    each, threads = 200, 6
    results: list[int] = []

    def submit(number: int) -> None:
        futures = [pool.submit(same, number * each + k) for k in range(each)]
        results.extend(future.result(LONG) for future in futures)

    callers = [threading.Thread(target=submit, args=(number,)) for number in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(results) == list(range(each * threads))


@models
def test_a_pool_that_was_idle_takes_more(model: str, executor: Callable[..., Executor]) -> None:
    """One call at a time: each finds the driver asleep. A wake-up that is lost would be waited for in vain."""
    pool = executor(model)
    for k in range(300 if model == "threads" else 50):
        assert pool.submit(same, k).result(LONG) == k


# ── map ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@models
def test_map_is_the_builtin(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model)
    assert list(pool.map(pow, range(6), [2] * 4)) == [0, 1, 4, 9]
    assert list(pool.map(same, [])) == []
    assert list(pool.map(same, range(20), chunksize=5)) == list(range(20))


def test_map_submits_at_once_and_gives_in_order(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 2)
    gate = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            gate.wait(LONG)
        elif item == 9:
            gate.set()
        return item

    assert list(pool.map(call, range(10))) == list(range(10))


def test_map_raises_where_the_call_failed_and_cancels_the_rest(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 1)
    ran: list[int] = []

    def call(item: int) -> int:
        ran.append(item)
        if item == 2:
            raise LookupError(item)
        return item

    results = pool.map(call, range(1000), buffersize=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(LookupError):
        next(results)
    pool.shutdown()
    assert len(ran) <= 8


def test_map_with_a_buffer_is_lazy(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 2)
    taken = itertools.count()
    results = pool.map(same, taken, buffersize=5)
    for k in range(50):
        assert next(results) == k
    results.close()  # type: ignore[attr-defined]
    assert next(taken) <= 50 + 5


@pytest.mark.parametrize("bad", [{"chunksize": 0}, {"buffersize": 0}, {"buffersize": -1}], ids=str)
def test_map_refuses_what_the_standard_refuses(bad: dict[str, int], executor: Callable[..., Executor]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        executor().map(same, [1], **bad)


def test_map_gives_up_at_its_timeout(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 1)
    gate = threading.Event()
    try:
        results = pool.map(lambda item: gate.wait(LONG), [1], timeout=0)
        with pytest.raises(TimeoutError):
            next(results)
    finally:
        gate.set()


# ── cancel, callbacks, wait, as_completed ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("before", [0, 300], ids=["at first", "after many quick calls"])
def test_a_call_that_has_not_begun_can_be_cancelled(before: int, executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 1)
    concurrent.futures.wait([pool.submit(same, k) for k in range(before)], LONG)
    inside, gate = threading.Event(), threading.Event()

    def block() -> None:
        inside.set()
        gate.wait(LONG)

    ran: list[bool] = []
    try:
        first = pool.submit(block)
        assert inside.wait(LONG)
        second = pool.submit(ran.append, True)
        assert not first.cancel()
        assert first.running()
        assert not second.running()
        assert second.cancel()
        assert second.cancelled()
    finally:
        gate.set()
    assert pool.submit(same, "after").result(LONG) == "after"
    assert ran == []
    with pytest.raises(concurrent.futures.CancelledError):
        second.result()


@models
def test_callbacks_are_called_with_the_future(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model)
    seen: list[Any] = []
    came = threading.Event()
    future = pool.submit(same, 7)
    future.add_done_callback(lambda done: (seen.append(done.result()), came.set()))
    assert came.wait(LONG)
    assert seen == [7]


def test_a_callback_that_submits_does_not_deadlock(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 1)
    came: list[concurrent.futures.Future[int]] = []
    ready = threading.Event()
    first = pool.submit(same, 1)
    first.add_done_callback(lambda done: (came.append(pool.submit(same, done.result() + 1)), ready.set()))
    assert ready.wait(LONG)
    assert came[0].result(LONG) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_raises_is_its_own_affair(executor: Callable[..., Executor], caplog: pytest.LogCaptureFixture) -> None:
    pool = executor("threads", 1)
    gate = threading.Event()
    future = pool.submit(gate.wait, LONG)
    future.add_done_callback(lambda done: 1 / 0)
    gate.set()
    assert future.result(LONG)
    assert pool.submit(same, 2).result(LONG) == 2
    assert "ZeroDivisionError" in caplog.text


@models
def test_wait_and_as_completed(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model)
    futures = [pool.submit(same, k) for k in range(20)] + [pool.submit(fails, 1)]
    assert sorted(f.result() for f in concurrent.futures.as_completed(futures[:20], LONG)) == list(range(20))
    done, pending = concurrent.futures.wait(futures, LONG)
    assert (len(done), len(pending)) == (21, 0)
    done, _ = concurrent.futures.wait(futures, LONG, concurrent.futures.FIRST_EXCEPTION)
    assert any(future.exception() for future in done)


def test_an_event_loop_can_use_it(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 2)

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(pool, same, k) for k in range(20)))

    assert asyncio.run(main()) == list(range(20))


# ── initializer, setup, options ──────────────────────────────────────────────────────────────────────────────────────


@models
def test_the_initializer_runs_once_in_each_worker(model: str, executor: Callable[..., Executor], tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = executor(model, 2, initializer=_announce, initargs=(log, "hello"))
    meet = Meeting(tmp_path / "meeting", 2)
    concurrent.futures.wait([pool.submit(meet, k) for k in range(2)], LONG)
    concurrent.futures.wait([pool.submit(same, k) for k in range(20)], LONG)
    pool.shutdown()
    lines = log.lines()
    assert all(line[0] == "hello" for line in lines)
    assert len({line[1:] for line in lines}) == len(lines), "twice in the same thread"
    assert len(lines) >= (1 if model == "hybrid" else 2)


def _announce(log: Log, word: str) -> None:
    log.write(word, os.getpid(), threading.get_ident())


@models
def test_an_initializer_that_fails_breaks_the_pool_and_says_so(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model, 1, initializer=fails, initargs=("no database",))
    with pytest.raises(concurrent.futures.BrokenExecutor, match="no database"):
        pool.submit(same, 1).result(LONG)
    with pytest.raises(concurrent.futures.BrokenExecutor, match="no database"):
        pool.submit(same, 2).result(LONG)


@contextlib.contextmanager
def _resource() -> Iterator[str]:
    yield "the resource"


@models
def test_a_setup_gives_each_call_its_resource(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model, 2, setup=_resource)
    assert pool.submit(_pair, 5).result(LONG) == ("the resource", 5)


def _pair(resource: str, item: int) -> tuple[str, int]:
    return resource, item


@pytest.mark.slow
@models
def test_a_stuck_call_costs_its_timeout_and_no_other(model: str, executor: Callable[..., Executor]) -> None:
    """The timeout is long for the sake of the other call, which a busy machine may keep waiting."""
    pool = executor(model, 1, timeout=1)
    gate = threading.Event()
    try:
        stuck = pool.submit(gate.wait if model == "threads" else _hang)
        after = pool.submit(same, "after")
        with pytest.raises(ItemTimeout):
            stuck.result(LONG)
        assert after.result(LONG) == "after"
    finally:
        gate.set()


def _hang() -> None:
    threading.Event().wait()


def test_a_retry_is_made(executor: Callable[..., Executor]) -> None:
    pool = executor("threads", 1, retry=atonce.Retry(attempts=3, base=0.001))
    tries = itertools.count(1)

    def call() -> int:
        if (number := next(tries)) < 3:
            raise LookupError
        return number

    assert pool.submit(call).result(LONG) == 3


# ── death ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["processes", "hybrid"])
def test_a_dead_worker_fails_one_future_and_the_pool_goes_on(model: str, executor: Callable[..., Executor]) -> None:
    pool = executor(model, 2)
    before = [pool.submit(same, k) for k in range(5)]
    dead = pool.submit(os._exit, 3)
    after = [pool.submit(same, k) for k in range(5)]
    with pytest.raises(WorkerDied, match="exit code 3"):
        dead.result(LONG)
    assert [future.result(LONG) for future in before + after] == [*range(5), *range(5)]
    assert pool.submit(same, "much later").result(LONG) == "much later"


def test_what_cannot_be_pickled_fails_its_own_future(executor: Callable[..., Executor]) -> None:
    pool = executor("processes", 1)
    bad = pool.submit(same, threading.Lock())
    good = pool.submit(same, 1)
    assert good.result(LONG) == 1
    assert "cannot be pickled" in str(bad.exception(LONG))


# ── shutdown ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@models
def test_shutdown_finishes_what_was_given(model: str) -> None:
    with Executor(model, 2) as pool:
        futures = [pool.submit(same, k) for k in range(30)]
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == list(range(30))
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(same, 1)
    pool.shutdown()  # twice is once


def test_shutdown_of_a_pool_that_was_never_used() -> None:
    pool = Executor("processes", 2)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(same, 1)


def test_shutdown_without_waiting_finishes_all_the_same() -> None:
    pool = Executor("threads", 1)
    gate = threading.Event()
    first, second = pool.submit(gate.wait, LONG), pool.submit(same, 2)
    pool.shutdown(wait=False)
    gate.set()
    assert first.result(LONG)
    assert second.result(LONG) == 2


@models
def test_shutdown_with_cancel_futures_finishes_what_runs(model: str, tmp_path: Path) -> None:
    pool = Executor(model, 1, **({"concurrency": 1} if model == "hybrid" else {}))
    log = Log(tmp_path / "log")
    first = pool.submit(_until_there_are_two, log)
    rest = [pool.submit(same, k) for k in range(20)]
    log.wait_for(1)
    pool.shutdown(wait=False, cancel_futures=True)
    log.write("go")
    assert first.result(LONG) == "done"
    assert not concurrent.futures.wait(rest, LONG).not_done
    assert all(future.cancelled() for future in rest)
    pool.shutdown()


def _until_there_are_two(log: Log) -> str:
    log.write("here")
    log.wait_for(2)
    return "done"


def test_a_thread_of_the_pool_may_shut_it_down() -> None:
    pool = Executor("threads", 1)
    ended = threading.Event()
    future = pool.submit(same, 1)
    future.add_done_callback(lambda _: (pool.shutdown(), ended.set()))
    assert ended.wait(LONG)
    pool.shutdown()


def test_a_pool_that_nobody_shut_down_finishes_at_exit(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import os
            import atonce
            def say(future):  # in one piece: callbacks run in several threads
                os.write(1, b"%d\\n" % future.result())
            pools = [atonce.Executor(model, 2) for model in ("threads", "processes")]
            for pool in pools:
                for k in range(5):
                    pool.submit(pow, k, 2).add_done_callback(say)
        """),
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=LONG, check=False)
    assert done.stderr == ""
    assert sorted(map(int, done.stdout.split())) == sorted(2 * [0, 1, 4, 9, 16])
    assert done.returncode == 0


def test_the_repr_says_how_it_is() -> None:
    pool = Executor("threads", 1)
    assert "open, 0 running, 0 waiting" in repr(pool)
    pool.shutdown()
    assert "shut down" in repr(pool)
