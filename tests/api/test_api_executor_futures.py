"""Futures of `atonce.Executor` behave as the standard's: wait, as_completed, callbacks, cancel; and they keep nothing alive."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
from executor_cases import (
    BESIDE,
    EVERY_MODEL,
    FAR,
    HERE,
    LONG,
    Thing,
    acall,
    breaks,
    capture,
    fails,
    fit,
    gone,
    hang,
    hold,
    logged,
    make,
    same,
)

from atonce.errors import UsageError
from atonce.testing.contract import Log

pytestmark = pytest.mark.timeout(40, method="signal")

every = pytest.mark.parametrize("model", EVERY_MODEL)
beside = pytest.mark.parametrize("model", BESIDE)


@every
def test_any_keyword_is_the_calls(model: str) -> None:
    with make(model, 1) as pool:
        future = pool.submit(fit(model, capture) if model != "coroutines" else _capture, 1, self=2, fn=3, timeout=4, model=5)
        assert future.result(LONG) == ((1,), {"self": 2, "fn": 3, "timeout": 4, "model": 5})
        with pytest.raises(TypeError):
            pool.submit(fn=capture, arg=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            pool.submit()  # type: ignore[call-arg]


async def _capture(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@every
def test_an_async_function_runs_to_its_end(model: str) -> None:
    with make(model, 2) as pool:
        assert [future.result(LONG) for future in [pool.submit(acall, same, k) for k in range(5)]] == list(range(5))
        assert isinstance(pool.submit(acall, fails, 1).exception(LONG), LookupError)


def test_a_plain_function_is_refused_by_an_event_loop() -> None:
    with make("coroutines") as pool:
        with pytest.raises(UsageError, match="plain def"):
            pool.submit(same, 1)
        assert pool.submit(lambda item: acall(same, item), 1).result(LONG) == 1


# ── wait, as_completed ───────────────────────────────────────────────────────────────────────────────────────────────


@beside
def test_wait_for_the_first(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make(model, 2) as pool:
        held = pool.submit(fit(model, hold), log, 2) if model != "coroutines" else pool.submit(_held, log)
        log.wait_for(1)
        quick = pool.submit(fit(model, same), 1)
        done, pending = concurrent.futures.wait([held, quick], LONG, concurrent.futures.FIRST_COMPLETED)
        assert (done, pending) == ({quick}, {held})
        bad = pool.submit(fit(model, fails), 1)
        done, pending = concurrent.futures.wait([held, bad], LONG, concurrent.futures.FIRST_EXCEPTION)
        assert (done, pending) == ({bad}, {held})
        done, pending = concurrent.futures.wait([held, bad], 0)
        assert (done, pending) == ({bad}, {held})
        log.write("go")
        done, pending = concurrent.futures.wait([held, held], LONG)
        assert (done, pending) == ({held}, set())


async def _held(log: Log) -> None:
    import asyncio

    log.write("in")
    while ("go",) not in log.lines():
        await asyncio.sleep(0.001)


@every
def test_as_completed_gives_each_once(model: str) -> None:
    with make(model, 2) as pool:
        futures = [pool.submit(fit(model, same), k) for k in range(10)]
        bad = pool.submit(fit(model, fails), 1)
        assert set(concurrent.futures.as_completed([*futures, bad, bad], LONG)) == {*futures, bad}


def test_as_completed_says_how_many_are_unfinished() -> None:
    gate = threading.Event()
    with make("threads", 1) as pool:
        futures = [pool.submit(gate.wait, LONG) for _ in range(2)]
        with pytest.raises(TimeoutError, match=r"2 \(of 2\) futures unfinished"):
            list(concurrent.futures.as_completed(futures, timeout=0))
        gate.set()


def test_many_futures_that_finish_at_once_are_all_noticed() -> None:
    """CPython's test_pending_calls_race."""
    gate, interval = threading.Event(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with make("threads", 8) as pool:
            futures = {pool.submit(gate.wait, LONG) for _ in range(100)}
            gate.set()
            done, pending = concurrent.futures.wait(futures, LONG)
            assert (done, pending) == (futures, set())
    finally:
        sys.setswitchinterval(interval)


# ── callbacks ────────────────────────────────────────────────────────────────────────────────────────────────────────


@every
def test_a_callback_is_called_once_in_order_and_may_submit(model: str) -> None:
    seen: list[Any] = []
    came = threading.Event()
    with make(model, 1) as pool:
        future = pool.submit(fit(model, same), 1)
        future.add_done_callback(lambda done: seen.append(("first", done.result())))
        future.add_done_callback(lambda done: seen.append(pool.submit(fit(model, same), 2)))
        future.add_done_callback(lambda done: came.set())
        assert came.wait(LONG)
        assert seen[0] == ("first", 1)
        assert seen[1].result(LONG) == 2
        future.add_done_callback(seen.append)  # it is done: at once, in this thread
        assert seen[2] is future
    assert len(seen) == 3


@pytest.mark.parametrize("model", BESIDE)
@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit])
def test_a_callback_that_raises_is_logged(
    model: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def callback(_: Future[Any]) -> None:
        raise kind("in the callback")

    log = Log(tmp_path / "log")
    with make(model, 1) as pool:
        # held until it has its callback, so that it is a thread of the executor that calls it
        held = pool.submit(fit(model, hold), log, 2, "held")
        held.add_done_callback(callback)
        log.write("go")
        assert held.result(LONG) == "held"
        assert pool.submit(fit(model, same), 2).result(LONG) == 2
    assert "in the callback" in caplog.text


@pytest.mark.parametrize("model", ["threads", "auto"])
def test_a_callback_may_wait_for_another_thread_of_the_executor(model: str) -> None:
    """In the standard's threads it runs in a worker, and the others go on."""
    came: list[Any] = []
    gate = threading.Event()
    with make(model, 2) as pool:
        future = pool.submit(gate.wait, LONG)
        future.add_done_callback(lambda _: came.append(pool.submit(same, 2).result(LONG)))
        finished = threading.Event()
        future.add_done_callback(lambda _: finished.set())
        gate.set()
        assert finished.wait(LONG)
    assert came == [2]


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["threads", "processes", "threads-driven"])
def test_only_what_has_not_begun_can_be_cancelled(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make(model, 1) as pool:
        for future in [pool.submit(same, k) for k in range(50)]:  # it is known by now how quick calls are
            future.result(LONG)
        held = pool.submit(hold, log, 2)
        log.wait_for(1)
        waiting = [pool.submit(logged, log, "ran") for _ in range(3)]
        assert held.running()
        assert not held.cancel()
        assert not any(future.running() for future in waiting)
        assert all(future.cancel() for future in waiting)
        seen: list[Any] = []
        waiting[0].add_done_callback(seen.append)
        assert seen == [waiting[0]]
        log.write("go")
        assert pool.submit(same, 1).result(LONG) == 1
        assert concurrent.futures.wait(waiting, LONG).done == set(waiting)
        with pytest.raises(CancelledError):
            waiting[0].result()
    assert ("ran",) not in log.lines()


@pytest.mark.parametrize("options", [{"model": "processes"}, {"model": "hybrid", "concurrency": 1}], ids=lambda o: o["model"])
def test_a_call_that_runs_in_a_process_of_its_own_can_be_cancelled(options: dict[str, Any], tmp_path: Path) -> None:
    log, beside = Log(tmp_path / "log"), Log(tmp_path / "beside")
    with make(**options, max_workers=2) as pool:
        neighbour = pool.submit(hold, beside, 2, "unharmed")
        beside.wait_for(1)
        stuck, waiting = pool.submit(hang, log), pool.submit(same, "waited")
        log.wait_for(1)
        called = threading.Event()
        stuck.add_done_callback(lambda _: called.set())
        assert not stuck.cancel(), "the standard's future says no"
        assert pool.cancel(stuck)
        assert called.wait(LONG)
        assert stuck.cancelled()
        assert concurrent.futures.wait([stuck], LONG).done == {stuck}
        with pytest.raises(CancelledError):
            stuck.result(LONG)
        assert waiting.result(LONG) == "waited", "its worker was replaced"
        beside.write("go")
        assert neighbour.result(LONG) == "unharmed"
        assert not pool.cancel(neighbour), "it is finished"
    assert [line for line in beside.lines() if line[0] == "in"] == [("in", "unharmed")], "it ran once"
    assert len(log.lines()) == 1, "it is not tried again"


def test_a_cancelled_call_is_not_retried(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make("processes", 1, retry=5) as pool:
        stuck = pool.submit(hang, log)
        log.wait_for(1)
        assert pool.cancel(stuck)
        with pytest.raises(CancelledError):
            stuck.result(LONG)
        assert pool.submit(same, 1).result(LONG) == 1
    assert len(log.lines()) == 1


@pytest.mark.parametrize("model", ["threads", "hybrid", "threads-driven"])
def test_a_call_that_shares_its_process_cannot(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make(model, 1) as pool:
        held = pool.submit(hold, log, 2, "went on")
        log.wait_for(1)
        assert not pool.cancel(held)
        log.write("go")
        assert held.result(LONG) == "went on"
        assert not pool.cancel(held)


@pytest.mark.parametrize("model", ["coroutines", "auto", "hybrid"])
def test_a_coroutine_that_runs_can_be_cancelled(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make(model, 1 if model == "hybrid" else 4) as pool:
        neighbour, stubborn = pool.submit(_held, log), pool.submit(_refuses, log)
        stuck, dying = pool.submit(_ahang, log, "stuck"), pool.submit(_ahang, log, "fails")
        log.wait_for(4)
        assert not stuck.cancel(), "the standard's future says no"
        assert all(pool.cancel(future) for future in (stuck, stubborn, dying))
        assert concurrent.futures.wait([stuck, dying], LONG).not_done == set()
        assert stuck.cancelled()
        assert dying.cancelled()
        assert stubborn.result(LONG) == "refused"
        assert not neighbour.done()
        log.write("go")
        neighbour.result(LONG)
        assert pool.submit(acall, same, 1).result(LONG) == 1
        assert not pool.cancel(neighbour)


async def _ahang(log: Log, how: str) -> None:
    import asyncio

    log.write("in")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if how == "fails":
            raise LookupError("while it was cancelled") from None
        raise


async def _refuses(log: Log) -> str:
    import asyncio

    log.write("in")
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "refused"


def test_cancel_of_what_waits_is_the_futures(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make("processes", 1) as pool:
        held, waiting = pool.submit(hold, log, 2), pool.submit(same, 1)
        log.wait_for(1)
        assert pool.cancel(waiting)
        assert waiting.cancelled()
        log.write("go")
        held.result(LONG)


# ── what is kept alive ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_gc")
@pytest.mark.parametrize("model", [*HERE, *FAR])
def test_a_call_is_not_kept_when_it_has_run(model: str) -> None:
    """CPython's test_no_stale_references: without a further call that would push the last one out."""
    with make(model, 2) as pool:
        thing = Thing()
        ref = weakref.ref(thing)
        pool.submit(thing.method)
        del thing
        assert gone(ref)


@pytest.mark.usefixtures("without_gc")
@every
def test_a_result_is_not_kept_when_its_future_is_dropped(model: str) -> None:
    with make(model, 2) as pool:
        future = pool.submit(fit(model, Thing().give))
        ref = weakref.ref(future.result(LONG))
        assert ref() is not None
        del future
        assert gone(ref)


@pytest.mark.usefixtures("without_gc")
@every
def test_a_failure_keeps_neither_itself_nor_its_argument(model: str) -> None:
    with make(model, 2) as pool:
        thing = Thing()
        refs = [weakref.ref(thing)]
        future = pool.submit(fit(model, breaks), thing)
        refs.append(weakref.ref(future.exception(LONG)))  # type: ignore[arg-type]
        refs.append(weakref.ref(future))  # type: ignore[arg-type]
        del thing, future
        assert [gone(ref) for ref in refs] == [True] * 3


def test_many_calls_leave_nothing_behind() -> None:
    with make("processes", 2) as pool:
        refs = [weakref.ref(pool.submit(same, k)) for k in itertools.islice(itertools.count(), 200)]
        assert pool.submit(os.getpid).result(LONG) != os.getpid()
        assert all(gone(ref) for ref in refs)
