"""The executor among others: event loops, many threads, calls within calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from functools import partial

import pytest
from executor_cases import BESIDE, EVERY_MODEL, HERE, LONG, asame, fails, fit, hold, make, nested, raises, same

from atonce.testing.contract import Log, Meeting

pytestmark = pytest.mark.timeout(60, method="signal")

every = pytest.mark.parametrize("model", EVERY_MODEL)
beside = pytest.mark.parametrize("model", BESIDE)


# ── event loops ──────────────────────────────────────────────────────────────────────────────────────────────────────


@beside
def test_an_event_loop_can_run_calls_in_it(model: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await asyncio.gather(*(loop.run_in_executor(pool, fit(model, same), k) for k in range(10))) == list(range(10))
        assert await asyncio.wrap_future(pool.submit(fit(model, same), 1)) == 1
        with pytest.raises(LookupError):
            await loop.run_in_executor(pool, fit(model, fails), 1)

    with make(model, 2) as pool:
        asyncio.run(main())


@pytest.mark.parametrize("model", ["threads", "auto", "threads-driven"])
def test_it_can_be_the_default_executor_of_asyncio(model: str) -> None:
    """Which takes nothing but a ThreadPoolExecutor, and shuts it down in the end."""

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(pool)
        assert await asyncio.to_thread(same, 1) == 1
        assert threading.current_thread() is not await asyncio.to_thread(threading.current_thread)

    pool = make(model, 2)
    assert isinstance(pool, concurrent.futures.ThreadPoolExecutor)
    asyncio.run(main())
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(same, 1)


def test_processes_are_no_threads() -> None:
    assert not isinstance(make("processes", 1), concurrent.futures.ThreadPoolExecutor)


def test_an_awaited_future_that_is_cancelled_cancels_its_call(tmp_path: object) -> None:
    log = Log(tmp_path / "log")  # type: ignore[operator]
    ran: list[bool] = []

    async def main() -> None:
        held = pool.submit(hold, log, 2)
        submitted = pool.submit(ran.append, True)
        waiting = asyncio.wrap_future(submitted)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while not submitted.cancelled():  # the loop passes it on in a turn of its own
            await asyncio.sleep(0)
        log.write("go")
        await asyncio.wrap_future(held)

    with make("threads", 1) as pool:
        asyncio.run(main())
    assert ran == []


def test_the_coroutines_of_an_executor_are_in_flight_together() -> None:
    together = asyncio.Barrier(5)

    async def meet() -> int:
        return await together.wait()

    with make("coroutines", 5) as pool:
        assert sorted(future.result(LONG) for future in [pool.submit(meet) for _ in range(5)]) == [0, 1, 2, 3, 4]


# ── calls within calls ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", HERE)
def test_a_call_may_submit_to_its_own_executor(model: str) -> None:
    with make(model, 2) as pool:
        assert pool.submit(lambda: pool.submit(same, 1).result(LONG)).result(LONG) == 1


@pytest.mark.parametrize("inner", ["sync", "threads", "processes", "coroutines"])
@pytest.mark.parametrize("outer", ["sync", "threads", "processes", "hybrid"])
def test_a_call_may_have_an_executor_of_its_own(outer: str, inner: str) -> None:
    with make(outer, 1) as pool:
        assert pool.submit(nested, inner, 1).result(LONG) == 1


def test_an_executor_does_not_travel() -> None:
    with make("processes", 1) as pool:
        assert "cannot be pickled" in str(pool.submit(same, pool).exception(LONG))


def test_ctrl_c_in_a_call_that_runs_inline_is_the_callers() -> None:
    """It is her own thread that was interrupted; the executor goes on."""
    with make("sync") as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.submit(raises, KeyboardInterrupt)
        assert pool.submit(same, 1).result(LONG) == 1


# ── many threads ─────────────────────────────────────────────────────────────────────────────────────────────────────


@every
def test_many_threads_may_submit_map_and_wait_at_once(model: str) -> None:
    wrong: list[object] = []

    def use(pool: concurrent.futures.Executor, number: int) -> None:
        try:
            futures = [pool.submit(fit(model, same), (number, k)) for k in range(20)]
            assert [future.result(LONG) for future in futures] == [(number, k) for k in range(20)]
            assert list(pool.map(fit(model, same), range(20), buffersize=3)) == list(range(20))
            assert len(list(concurrent.futures.as_completed(futures, LONG))) == 20
        except BaseException as error:
            wrong.append(error)

    with make(model, 2) as pool:
        callers = [threading.Thread(target=use, args=(pool, number)) for number in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert wrong == []


def test_idle_threads_are_used_before_new_ones_are_started() -> None:
    """CPython's test_idle_thread_reuse."""
    with make("threads", 32) as pool:
        names = {pool.submit(lambda: threading.current_thread().name).result(LONG)}
        assert names == {"atonce_0"}


def test_threads_have_the_name_that_was_given() -> None:
    with make("threads", 1, name="mine") as pool:
        assert pool.submit(lambda: threading.current_thread().name).result(LONG) == "mine_0"


@pytest.mark.parametrize("model", ["threads", "processes", "threads-driven"])
def test_a_call_does_not_wait_behind_another_while_a_worker_is_idle(model: str, tmp_path: object) -> None:
    """Calls are known to be quick by then: none is given ahead to a worker that then has a long one before it."""
    log = Log(tmp_path / "log")  # type: ignore[operator]
    with make(model, 2) as pool:
        for future in [pool.submit(same, k) for k in range(300)]:
            future.result(LONG)
        held = pool.submit(hold, log, 2)
        log.wait_for(1)
        # one worker is taken: each of these needs the other
        assert [future.result(LONG) for future in [pool.submit(same, k) for k in range(20)]] == list(range(20))
        log.write("go")
        held.result(LONG)


@pytest.mark.parametrize("model", ["threads", "processes", "threads-driven"])
def test_as_many_calls_run_as_there_are_workers(model: str, tmp_path: object) -> None:
    meet = Meeting(tmp_path / "meeting", 3)  # type: ignore[operator]
    with make(model, 3) as pool:
        assert sorted(future.result(LONG) for future in [pool.submit(meet, k) for k in range(3)]) == [0, 1, 2]


@every
def test_how_many_run_at_once_is_fixed(model: str) -> None:
    with make(model) as pool:
        assert "adapting" not in repr(pool)


def test_async_and_plain_functions_in_one_executor() -> None:
    for model in ("auto", "hybrid"):
        with make(model, 1) as pool:
            futures = [pool.submit(same, 1), pool.submit(asame, 2), pool.submit(partial(asame, 3))]
            assert [future.result(LONG) for future in futures] == [1, 2, 3]
            assert (pool.submit(os.getpid).result(LONG) == os.getpid()) == (model == "auto")
