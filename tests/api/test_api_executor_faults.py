"""A fault fails its own future, at each stage of its trip, and all other calls go on (after CPython's test_deadlock)."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool
from pathlib import Path
from typing import Any

import pytest
from executor_cases import (
    BESIDE,
    EVERY_MODEL,
    FAR,
    LONG,
    STATE,
    CrashAtPickle,
    CrashAtUnpickle,
    ErrorAtPickle,
    ErrorAtUnpickle,
    ExitAtPickle,
    ExitAtUnpickle,
    UnpicklableError,
    chained,
    crash,
    crash_with,
    dies_once,
    fails,
    fails_when_told,
    fit,
    hang,
    hold,
    initialize,
    instance,
    leave,
    make,
    raise_two,
    raises,
    same,
    state,
)

from atonce.errors import ItemTimeout, NotCarried, RemoteError, RemoteTraceback, WorkerDied
from atonce.testing.contract import Log

pytestmark = pytest.mark.timeout(40, method="signal")

far = pytest.mark.parametrize("model", FAR)

# stage and fault, the call, and what its future raises: the standard's pool is broken, or raises the same
TABLE: dict[str, tuple[Callable[..., Any], tuple[Any, ...], type[BaseException], str]] = {
    "error while the argument is pickled": (id, (ErrorAtPickle(),), NotCarried, "on the way"),
    "exit while the argument is pickled": (id, (ExitAtPickle(),), NotCarried, "SystemExit"),
    "a lock for an argument": (id, (threading.Lock(),), NotCarried, "lock"),
    "a lock in the function": (threading.Lock().acquire, (), NotCarried, "lock"),
    "error while the argument is unpickled": (id, (ErrorAtUnpickle(),), NotCarried, "on the way"),
    "exit while the argument is unpickled": (id, (ExitAtUnpickle(),), WorkerDied, "exit code 1"),
    "crash while the argument is unpickled": (id, (CrashAtUnpickle(),), WorkerDied, "SIGSEGV"),
    "crash in the call": (crash, (), WorkerDied, "SIGSEGV"),
    "os._exit in the call": (os._exit, (3,), WorkerDied, "exit code 3"),
    "exit in the call": (leave, (), SystemExit, "1"),
    "error in the call": (raises, (RuntimeError,), RuntimeError, "on the way"),
    "KeyboardInterrupt in the call": (raises, (KeyboardInterrupt,), KeyboardInterrupt, "on the way"),
    "error while the result is pickled": (instance, (ErrorAtPickle,), NotCarried, "on the way"),
    "exit while the result is pickled": (instance, (ExitAtPickle,), NotCarried, "SystemExit"),
    "crash while the result is pickled": (instance, (CrashAtPickle,), WorkerDied, "SIGSEGV"),
    "error while the result is unpickled": (instance, (ErrorAtUnpickle,), NotCarried, "on the way"),
    "exit while the result is unpickled": (instance, (ExitAtUnpickle,), NotCarried, "SystemExit"),
    "an exception that cannot be pickled": (raises, (UnpicklableError,), RemoteError, "on the way"),
    "an exception that cannot be unpickled": (raise_two, (), RemoteError, "onetwo"),
}


@pytest.mark.parametrize("what", TABLE)
@far
def test_a_fault_is_its_own_futures(model: str, what: str) -> None:
    fn, args, error, text = TABLE[what]
    with make(model, 2, **({"concurrency": 2} if model == "hybrid" else {})) as pool:
        before = [pool.submit(same, k) for k in range(3)]
        bad = pool.submit(fn, *args)
        after = [pool.submit(same, k) for k in range(3)]
        raised = bad.exception(LONG)
        assert isinstance(raised, error)
        assert text in str(raised)
        assert isinstance(raised, BrokenProcessPool) == (error is WorkerDied)
        assert [future.result(LONG) for future in before + after] == [0, 1, 2, 0, 1, 2]
        assert pool.submit(same, "later").result(LONG) == "later"


def test_a_worker_that_dies_after_shutdown_began_holds_nothing_up(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = make("processes", 1)
    first, last = pool.submit(hold, log, 2), pool.submit(crash)
    log.wait_for(1)
    pool.shutdown(wait=False)
    log.write("go")
    pool.shutdown(wait=True)
    assert first.done()
    assert isinstance(last.exception(0), BrokenProcessPool)


def test_large_arguments_of_calls_that_crash_hold_nothing_up() -> None:
    """More than a socket takes at once is under way to a worker that dies."""
    data = b"x" * (4 << 20)
    with make("processes", 2) as pool:
        futures = [pool.submit(crash_with, data) for _ in range(3)]
        assert [type(future.exception(LONG)).__mro__.count(WorkerDied) for future in futures] == [1, 1, 1]
        assert pool.submit(len, data).result(LONG) == len(data)


@far
def test_a_worker_that_is_killed_from_outside_costs_nothing_when_the_second_try_ends_well(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make(model, 1) as pool:
        future = pool.submit(dies_once, log)
        assert future.result(LONG) == "the second time"


def test_each_of_many_deaths_costs_its_own_future() -> None:
    with make("processes", 2) as pool:
        futures = [pool.submit(*((os._exit, 3) if k % 3 == 0 else (same, k))) for k in range(12)]
        for k, future in enumerate(futures):
            if k % 3:
                assert future.result(LONG) == k
            else:
                with pytest.raises(BrokenProcessPool):
                    future.result(LONG)


# ── exceptions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_what_a_call_raises_is_what_the_future_raises(model: str) -> None:
    with make(model, 1) as pool:
        future = pool.submit(fit(model, raises), SystemExit)
        with pytest.raises(SystemExit, match="on the way"):
            future.result(LONG)
        assert pool.submit(fit(model, same), 1).result(LONG) == 1


@far
def test_the_remote_traceback_is_the_cause(model: str) -> None:
    with make(model, 1) as pool:
        error = pool.submit(chained).exception(LONG)
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, RemoteTraceback)
    text = str(error.__cause__)
    assert "# the comment is in the traceback" in text
    assert "LookupError: inner" in text
    assert "in fails" in text


@far
def test_an_exception_that_cannot_travel_keeps_its_traceback(model: str) -> None:
    with make(model, 1) as pool:
        error = pool.submit(raise_two).exception(LONG)
    assert isinstance(error, RemoteError)
    assert 'raise TwoArguments("one", "two")' in str(error.__cause__)


def test_what_could_not_be_pickled_says_why() -> None:
    with make("processes", 1) as pool:
        error = pool.submit(id, ErrorAtPickle()).exception(LONG)
    assert isinstance(error, NotCarried)
    assert isinstance(error.__cause__, pickle.PicklingError)


# ── initializers ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_an_initializer_runs_before_the_first_call(model: str) -> None:
    STATE.clear()
    with make(model, 2, initializer=initialize, initargs=("initialized",)) as pool:
        futures = [pool.submit(fit(model, state)) for _ in range(4)]
        assert [future.result(LONG) for future in futures] == [["initialized"]] * 4


@pytest.mark.parametrize("model", EVERY_MODEL)
def test_an_initializer_that_fails_breaks_the_executor(model: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = BrokenProcessPool if model in FAR else BrokenThreadPool
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        with make(model, 2, initializer=fails, initargs=("no database",)) as pool:
            with pytest.raises(BrokenExecutor, match="no database"):
                [future.result(LONG) for future in [pool.submit(fit(model, same), k) for k in range(5)]]
            with pytest.raises(expected, match="no database"):
                pool.submit(fit(model, same), 2)
    assert "LookupError: no database" in caplog.text
    with pytest.raises(expected):  # still, as in the standard
        pool.submit(fit(model, same), 3)


@pytest.mark.parametrize("model", ["threads", "processes"])
def test_every_pending_future_of_a_broken_executor_ends(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = make(model, 1, initializer=fails_when_told, initargs=(log,))
    futures = [pool.submit(same, k) for k in range(30)]
    log.write("fail")
    done, not_done = concurrent.futures.wait(futures, LONG)
    assert not not_done
    assert all(isinstance(future.exception(), BrokenExecutor) for future in done)
    pool.shutdown()


# ── timeouts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@far
def test_calls_beside_one_that_hangs_are_unharmed(model: str, tmp_path: Path) -> None:
    """The timeout is long for the sake of the others, which a busy machine may keep waiting."""
    log = Log(tmp_path / "log")
    with make(model, 2, timeout=1) as pool:
        stuck = [pool.submit(hang, log) for _ in range(2)]
        others = [pool.submit(same, k) for k in range(10)]
        assert [future.result(LONG) for future in others] == list(range(10))
        assert all(isinstance(future.exception(LONG), ItemTimeout) for future in stuck)
        assert all(isinstance(future.exception(LONG), TimeoutError) for future in stuck)


@pytest.mark.parametrize("model", BESIDE)
def test_the_executor_goes_on_after_a_failure_of_each_kind(model: str) -> None:
    with make(model, 1) as pool:
        for _ in range(3):
            assert isinstance(pool.submit(fit(model, fails), 1).exception(LONG), LookupError)
            assert pool.submit(fit(model, same), 2).result(LONG) == 2
