"""How an executor ends: shut down, left to the garbage collector, at exit, after a fork, with its processes killed."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from executor_cases import BESIDE, EVERY_MODEL, FAR, LONG, fit, hang, hold, logged, make, same

from atonce.errors import PlanError
from atonce.testing.contract import Log

pytestmark = pytest.mark.timeout(60, method="signal")

every = pytest.mark.parametrize("model", EVERY_MODEL)
beside = pytest.mark.parametrize("model", BESIDE)


# ── shutdown ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@every
@pytest.mark.parametrize("used", [False, True])
def test_nothing_can_be_submitted_afterwards(model: str, used: bool) -> None:
    pool = make(model, 2)
    if used:
        assert pool.submit(fit(model, same), 1).result(LONG) == 1
    pool.shutdown()
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(fit(model, same), 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.map(fit(model, same), [1])


@every
def test_leaving_the_block_waits_for_all(model: str) -> None:
    with make(model, 2) as pool:
        futures = [pool.submit(fit(model, same), k) for k in range(20)]
        results = pool.map(fit(model, abs), range(-5, 5))
    assert [future.result(0) for future in futures] == list(range(20))
    assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]


@beside
def test_without_waiting_what_was_given_is_done_all_the_same(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = make(model, 1)
    held, waiting = pool.submit(fit(model, hold), log, 2, "held"), pool.submit(fit(model, logged), log, "waited")
    log.wait_for(1)
    pool.shutdown(wait=False)
    log.write("go")
    assert (held.result(LONG), waiting.result(LONG)) == ("held", "waited")
    pool.shutdown()


@pytest.mark.parametrize("model", ["threads", "processes", "auto", "threads-driven"])
def test_what_waits_is_cancelled_and_whoever_waits_for_it_hears(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = make(model, 1)
    held, waiting = pool.submit(hold, log, 2, "held"), [pool.submit(logged, log, "waited") for _ in range(20)]
    log.wait_for(1)
    pool.shutdown(wait=False, cancel_futures=True)
    # at once, while the call that runs still does
    assert concurrent.futures.wait(waiting, LONG).done == set(waiting)
    assert all(future.cancelled() for future in waiting)
    assert not held.done()
    log.write("go")
    pool.shutdown()
    assert held.result(0) == "held"
    assert ("waited",) not in log.lines()


@every
def test_a_call_that_was_cancelled_right_before_does_not_hold_it_up(model: str) -> None:
    """CPython's test_hang_gh94440."""
    pool = make(model, 1)
    pool.submit(fit(model, int)).result(LONG)
    pool.submit(fit(model, int)).cancel()
    pool.shutdown(wait=True)


@pytest.mark.parametrize("model", ["threads", "threads-driven", "sync"])
def test_a_call_may_shut_its_own_executor_down(model: str) -> None:
    pool = make(model, 2)
    assert pool.submit(pool.shutdown).result(LONG) is None
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(same, 1)


def test_a_coroutine_may_shut_its_own_executor_down() -> None:
    async def call() -> None:
        pool.shutdown()

    pool = make("coroutines", 2)
    assert pool.submit(call).result(LONG) is None
    pool.shutdown()


def test_many_threads_submit_while_it_is_shut_down() -> None:
    """Each call is refused or runs: none is lost in between."""
    for model in ("threads", "threads-driven"):
        pool, start = make(model, 2), threading.Barrier(5)
        futures: list[concurrent.futures.Future[int]] = []

        def submit(pool: concurrent.futures.Executor, start: threading.Barrier, futures: list) -> None:  # type: ignore[type-arg]
            start.wait(LONG)
            try:
                while True:
                    futures.append(pool.submit(same, 1))
            except RuntimeError:
                pass

        callers = [threading.Thread(target=submit, args=(pool, start, futures)) for _ in range(4)]
        for caller in callers:
            caller.start()
        start.wait(LONG)
        pool.shutdown()
        for caller in callers:
            caller.join()
        assert not concurrent.futures.wait(futures, LONG).not_done


# ── processes ended by hand ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
@pytest.mark.parametrize("model", FAR)
def test_workers_can_be_ended(model: str, how: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = make(model, 2, **({"concurrency": 1} if model == "hybrid" else {}))
    running = [pool.submit(hang, log) for _ in range(2)]
    waiting = pool.submit(same, 1)
    log.wait_for(2)
    getattr(pool, how)()
    assert waiting.cancelled()
    for future in running:
        with pytest.raises(BrokenProcessPool, match=how):
            future.result(LONG)
    with pytest.raises(RuntimeError):
        pool.submit(same, 1)
    pool.shutdown()


def test_a_worker_that_does_not_obey_is_killed(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    pool = make("processes", 1)
    future = pool.submit(_deaf, log)
    log.wait_for(1)
    pool.terminate_workers()
    assert isinstance(future.exception(LONG), BrokenProcessPool)
    pool.shutdown()
    assert log.lines() == [("in",), ("asked",)]


def _deaf(log: Log) -> None:
    signal.signal(signal.SIGTERM, lambda *_: log.write("asked"))
    log.write("in")
    while True:
        signal.pause()


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_an_executor_that_was_not_used_or_has_no_processes(how: str) -> None:
    pool = make("processes", 1)
    getattr(pool, how)()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(same, 1)
    with make("threads", 1) as pool:
        with pytest.raises(PlanError, match="none that can be ended"):
            getattr(pool, how)()
        assert pool.submit(same, 1).result(LONG) == 1


# ── garbage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@every
def test_an_executor_that_nobody_has_finishes_and_ends(model: str) -> None:
    """CPython's test_del_shutdown; that its threads and processes end is seen to after each test."""
    pool = make(model, 2)
    ref = weakref.ref(pool)
    results = pool.map(fit(model, abs), range(-5, 5))
    del pool
    gc.collect()
    assert ref() is None
    assert list(results) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]


# ── exit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def script(path: Path, text: str) -> list[str]:
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return [sys.executable, str(path)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)


@beside
@pytest.mark.parametrize("end", ["", "pool.shutdown(wait=False)", "del pool", "pool.shutdown(wait=False, cancel_futures=True)"])
def test_the_program_ends_when_its_calls_have_run(model: str, end: str, tmp_path: Path) -> None:
    """As the standard documents, whatever was said at the end; and the first call runs even when the rest are cancelled."""
    done = run(
        script(
            tmp_path / "program.py",
            f"""
            import os, sys
            sys.path[:0] = {[os.path.dirname(__file__)]!r}
            from executor_cases import fit, make, same
            pool = make({model!r}, 1)
            def say(future):
                os.write(1, (("cancelled" if future.cancelled() else str(future.result())) + "\\n").encode())
            first = pool.submit(fit({model!r}, same), 0)
            first.add_done_callback(say)
            first.result()
            for k in range(1, 5):
                future = pool.submit(fit({model!r}, same), k)
                future.add_done_callback(say)
            del future, first
            {end}
            """,
        )
    )
    assert done.stderr == ""
    assert done.returncode == 0
    said = done.stdout.split()
    assert len(said) == 5
    assert "0" in said
    if "cancel" not in end:
        assert sorted(said) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("model", ["threads", "threads-driven", "processes", "hybrid", "coroutines"])
def test_a_daemon_does_not_hold_the_exit_up(model: str, tmp_path: Path) -> None:
    call = "ahang" if model == "coroutines" else "hang"
    done = run(
        script(
            tmp_path / "program.py",
            f"""
            import asyncio, sys, threading
            sys.path[:0] = {[os.path.dirname(__file__)]!r}
            from executor_cases import Log, hang, make
            log = Log({str(tmp_path / "log")!r})
            async def ahang(log):
                log.write("in")
                await asyncio.sleep(1e6)
            pool = make({model!r}, 1, daemon=True)
            pool.submit({call}, log)
            log.wait_for(1)
            """,
        )
    )
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("model", ["threads", "processes"])
def test_an_exit_that_is_held_up_says_so_and_ctrl_c_ends_it(model: str, tmp_path: Path) -> None:
    command = script(
        tmp_path / "program.py",
        f"""
        import sys
        sys.path[:0] = {[os.path.dirname(__file__)]!r}
        from executor_cases import Log, hang, make
        from atonce.executor import lane
        lane.QUIET = 0.1
        log = Log({str(tmp_path / "log")!r})
        pool = make({model!r}, 1)
        pool.submit(hang, log)
        pool.submit(hang, log)
        log.wait_for(1)
        """,
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert "exit waits for 1 calls that run and 1 that wait" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            process.stderr.read()
            process.wait(LONG)
        finally:
            process.kill()


# ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@every
def test_in_a_forked_child_it_starts_anew(model: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    with make(model, 1) as pool:
        assert pool.submit(fit(model, same), 1).result(LONG) == 1
        held = pool.submit(fit(model, hold), log, 2, "held") if model != "sync" else None
        waiting = pool.submit(fit(model, same), "waited")
        if held is not None:
            log.wait_for(1)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if held is not None:
                    assert "before the fork" in str(held.exception(LONG))
                    assert concurrent.futures.wait([held, waiting], LONG).not_done == set()
                assert pool.submit(fit(model, same), 2).result(LONG) == 2
                pool.shutdown()
                from atonce.placement import process

                process.shut_down()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        log.write("go")
        assert held is None or held.result(LONG) == "held"
        assert waiting.result(LONG) == "waited", "the parent noticed nothing"
        assert pool.submit(fit(model, same), 3).result(LONG) == 3
