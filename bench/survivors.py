"""How each tool is asked to make the twenty calls and to say what came of each: `python -m bench.survivors WHO FAULT`.

Each is used in the way of its documentation that gets the most out: a future an item where there are futures, the tool's own
timeout where it has one, else a limit to the waiting. What it delivers is said line by line on stdout as it comes, so that it
counts even when the tool never ends.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .twenty import BAD, ITEMS, acall, call

__all__ = ["SURVIVORS", "Survivor", "main"]

# Seconds a call may take where a tool can be told so, and seconds after which the others are no longer waited for.
TIMEOUT = 2.0
PATIENCE = 10.0
WORKERS = 2


class Say:
    """What came, on a descriptor of its own: tools and workers print what they like."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def _line(self, *words: object) -> None:
        os.write(self._fd, (" ".join(map(str, words)).replace("\n", " ") + "\n").encode())

    def begin(self) -> None:
        """The tool is up: the clock starts."""
        self._line("begin")

    def got(self, item: int, value: Any) -> None:
        if value == item or item == BAD:
            self._line("got", item)

    def failed(self, item: int, error: BaseException) -> None:
        self._line("failed", item, _text(error))

    def raised(self, error: BaseException) -> None:
        """The whole call, of no item in particular."""
        self._line("raised", _text(error))


def _text(error: BaseException) -> str:
    """Its first line, without what is of that machine and that moment only."""
    line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {re.sub(_NOISE, '', line).strip()[:300]}".rstrip(": ")


# colours, and where it ran
_NOISE = re.compile(r"\x1b\[[0-9;]*m|\((pid|actor_id)=[^)]*\)|(?<![:/\w])/\S+/| at 0x[0-9a-f]+|-[0-9a-f]{8}-[0-9a-f-]+")


@dataclasses.dataclass(frozen=True)
class Survivor:
    """`run(fault, say)` makes the calls; `how` says how, `package` what has to be installed."""

    name: str
    how: str
    run: Callable[[str, Say], None]
    package: str | None = None
    ours: bool = False


def process_pool_executor(fault: str, say: Say) -> None:
    _with_futures(concurrent.futures.ProcessPoolExecutor(WORKERS), fault, say)


def thread_pool_executor(fault: str, say: Say) -> None:
    _with_futures(concurrent.futures.ThreadPoolExecutor(WORKERS), fault, say)


def _with_futures(pool: Any, fault: str, say: Say) -> None:
    say.begin()
    futures = {pool.submit(call, item, fault): item for item in ITEMS}
    try:
        _collect(futures, concurrent.futures.as_completed(futures, timeout=PATIENCE), say)
    finally:
        if hasattr(pool, "kill_workers") and not all(future.done() for future in futures):
            pool.kill_workers()  # Python 3.14
        pool.shutdown(wait=False, cancel_futures=True)


def _collect(futures: dict[Any, int], done: Iterable[Any], say: Say) -> None:
    left = set(futures.values())
    try:
        for future in done:
            left.discard(futures[future])
            _result(futures[future], future.result, say)
    except TimeoutError as error:
        for item in sorted(left):
            say.failed(item, error)


def _result(item: int, result: Callable[[], Any], say: Say) -> None:
    try:
        say.got(item, result())
    except Exception as error:
        say.failed(item, error)


def pool(fault: str, say: Say) -> None:
    with multiprocessing.Pool(WORKERS) as workers:
        say.begin()
        until = time.monotonic() + PATIENCE
        results = [workers.apply_async(call, (item, fault)) for item in ITEMS]
        for item, result in zip(ITEMS, results, strict=True):
            _result(item, lambda result=result: result.get(max(0.0, until - time.monotonic())), say)


def joblib_loky(fault: str, say: Say) -> None:
    import joblib

    # its timeout counts the start of its workers, too: they are there before
    joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(call)(item, "") for item in range(WORKERS))
    say.begin()
    parallel = joblib.Parallel(n_jobs=WORKERS, timeout=TIMEOUT, batch_size=1, return_as="generator_unordered")
    for value in parallel(joblib.delayed(call)(item, fault) for item in ITEMS):
        if isinstance(value, int):
            say.got(value, value)
        else:
            say.got(BAD, value)


def mpire(fault: str, say: Say) -> None:
    from mpire import WorkerPool

    with WorkerPool(n_jobs=WORKERS) as workers:
        say.begin()
        until = time.monotonic() + PATIENCE
        results = [workers.apply_async(call, (item, fault), task_timeout=TIMEOUT) for item in ITEMS]
        for item, result in zip(ITEMS, results, strict=True):
            _result(item, lambda result=result: result.get(max(0.01, until - time.monotonic())), say)


def pebble(fault: str, say: Say) -> None:
    from pebble import ProcessPool

    with ProcessPool(max_workers=WORKERS) as workers:
        say.begin()
        futures = {workers.schedule(call, args=[item, fault], timeout=TIMEOUT): item for item in ITEMS}
        _collect(futures, concurrent.futures.as_completed(futures, timeout=PATIENCE), say)


def gather(fault: str, say: Say) -> None:
    async def all_of_them() -> None:
        say.begin()
        calls = (asyncio.wait_for(acall(item, fault), TIMEOUT) for item in ITEMS)
        results = await asyncio.gather(*calls, return_exceptions=True)
        for item, result in zip(ITEMS, results, strict=True):
            if isinstance(result, BaseException):
                say.failed(item, result)
            else:
                say.got(item, result)

    asyncio.run(all_of_them())


def task_group(fault: str, say: Say) -> None:
    async def all_of_them() -> None:
        say.begin()
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(asyncio.wait_for(acall(item, fault), TIMEOUT)) for item in ITEMS]
        except* Exception as errors:
            del errors  # each task has its own
        for item, task in zip(ITEMS, tasks, strict=True):
            try:
                say.got(item, task.result())
            except asyncio.CancelledError as error:
                say.failed(item, error)
            except Exception as error:
                say.failed(item, error)

    asyncio.run(all_of_them())


def dask(fault: str, say: Say) -> None:
    from dask.distributed import Client, LocalCluster, as_completed

    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        say.begin()
        futures = {client.submit(call, item, fault, pure=False): item for item in ITEMS}
        _collect(futures, as_completed(list(futures), timeout=PATIENCE), say)


def ray(fault: str, say: Say) -> None:
    import ray as it

    it.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    say.begin()
    remote = it.remote(call)
    items = {remote.remote(item, fault): item for item in ITEMS}
    left, until = list(items), time.monotonic() + PATIENCE
    while left:
        done, left = it.wait(left, timeout=max(0.0, until - time.monotonic()))
        if not done:
            for late in left:
                it.cancel(late, force=True)
            done, left = left, []
        for reference in done:
            _result(items[reference], partial(it.get, reference), say)
    it.shutdown()


def atonce(fault: str, say: Say, *, awaits: bool = False, **options: Any) -> None:
    from atonce import stream

    say.begin()
    fn = partial(acall if awaits else call, fault=fault)
    for outcome in stream(fn, ITEMS, **options):
        if outcome.ok:
            say.got(outcome.index, outcome.value)
        else:
            say.failed(outcome.index, outcome.error)


def _ours(name: str, **options: Any) -> Survivor:
    how = ", ".join(f"{key}={value!r}" for key, value in options.items() if key != "awaits")
    return Survivor(f"atonce, {name}", f"`stream({how})`", partial(atonce, **options), ours=True)


_patience = f"the results waited for at most {PATIENCE:g} s in all"

SURVIVORS = [
    Survivor("ProcessPoolExecutor", f"a future an item, {_patience}", process_pool_executor),
    Survivor("multiprocessing.Pool", f"`apply_async` an item, {_patience}", pool),
    Survivor("joblib", f"loky, `timeout={TIMEOUT:g}`, `return_as='generator_unordered'`", joblib_loky, "joblib"),
    Survivor("mpire", f"`apply_async` an item, `task_timeout={TIMEOUT:g}`, {_patience}", mpire, "mpire"),
    Survivor("pebble", f"`ProcessPool.schedule` an item, `timeout={TIMEOUT:g}`, {_patience}", pebble, "pebble"),
    Survivor("ThreadPoolExecutor", f"a future an item, {_patience}", thread_pool_executor),
    Survivor("asyncio.gather", f"`return_exceptions=True`, `wait_for(…, {TIMEOUT:g})` an item", gather),
    Survivor(
        "asyncio.TaskGroup", f"`wait_for(…, {TIMEOUT:g})` an item; what the tasks hold is looked at afterwards", task_group
    ),
    Survivor("Dask", f"`LocalCluster`, a future an item, {_patience}", dask, "distributed"),
    Survivor("Ray", f"a task an item; after {PATIENCE:g} s `ray.cancel(…, force=True)`", ray, "ray"),
    _ours("processes", model="processes", parallelism=WORKERS, timeout=TIMEOUT),
    _ours("hybrid, threads", model="hybrid", parallelism=WORKERS, concurrency=4, timeout=TIMEOUT),
    _ours("hybrid, coroutines", model="hybrid", parallelism=WORKERS, concurrency=4, timeout=TIMEOUT, awaits=True),
    _ours("threads", model="threads", timeout=TIMEOUT),
    _ours("coroutines", model="coroutines", timeout=TIMEOUT, awaits=True),
    _ours("auto", model="auto", timeout=TIMEOUT),
    _ours("sync", model="sync"),
]


def main(argv: list[str]) -> None:
    name, fault = argv
    say = Say()
    survivor = next(each for each in SURVIVORS if each.name == name)
    try:
        survivor.run(fault, say)
    except Exception as error:
        say.raised(error)
        with contextlib.suppress(Exception):
            sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
