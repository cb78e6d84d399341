"""What the machinery costs: functions that do nothing, so that all that is measured is what runs them.

Peers are warm where they can be (pools are opened before the clock starts) and hold as many in flight as atonce does by
default. Chunk sizes are the best of 100 to 25 000, tried on two cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from atonce.lab.work import anoop, noop

from .case import Case, Once, Target, count

__all__ = ["CASES"]

COROUTINES = 64
THREADS = 32
PROCESSES = 2
CHUNK = 2500
SMALL = 20  # items of a small map


def _ours(model: str, **more: int) -> Callable[[int], Iterator[Once]]:
    def ours(n: int) -> Iterator[Once]:
        import atonce

        yield lambda: count(atonce.stream(anoop if model == "coroutines" else noop, range(n), model=model, **more))

    return ours


# ── coroutines ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _gather(n: int) -> int:
    return len(await asyncio.gather(*(anoop(i) for i in range(n))))


async def _eager_gather(n: int) -> int:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return await _gather(n)


async def _semaphore(n: int) -> int:
    room = asyncio.Semaphore(COROUTINES)

    async def one(i: int) -> int:
        async with room:
            return await anoop(i)

    return len(await asyncio.gather(*(one(i) for i in range(n))))


async def _group(n: int) -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(anoop(i)) for i in range(n)]
    return len([task.result() for task in tasks])


async def _aiometer(n: int) -> int:
    import aiometer

    total = 0
    async with aiometer.amap(anoop, range(n), max_at_once=COROUTINES) as results:
        async for _ in results:
            total += 1
    return total


def _in_loop(main: Callable[[int], Awaitable[int]], *, uv: bool = False) -> Callable[[int], Iterator[Once]]:
    def contender(n: int) -> Iterator[Once]:
        factory = None
        if uv:
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            yield lambda: runner.run(main(n))  # type: ignore[arg-type]

    return contender


def _streamable(function: Callable[[int], object], workers: int) -> Callable[[int], Iterator[Once]]:
    def contender(n: int) -> Iterator[Once]:
        from streamable import stream

        yield lambda: count(stream(range(n)).map(function, concurrency=workers, as_completed=True))

    return contender


# ── threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _thread_executor(n: int) -> Iterator[Once]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(THREADS) as pool:
        yield lambda: count(pool.map(noop, range(n)))


def _thread_pool(n: int) -> Iterator[Once]:
    from multiprocessing.pool import ThreadPool

    with ThreadPool(THREADS) as pool:
        yield lambda: count(pool.imap_unordered(noop, range(n), 1000))


def _joblib(backend: str, jobs: int, return_as: str = "list") -> Callable[[int], Iterator[Once]]:
    def contender(n: int) -> Iterator[Once]:
        from joblib import Parallel, delayed

        with Parallel(n_jobs=jobs, backend=backend, return_as=return_as) as parallel:
            yield lambda: count(parallel(delayed(noop)(i) for i in range(n)))

    return contender


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _pool(n: int) -> Iterator[Once]:
    import multiprocessing

    with multiprocessing.Pool(PROCESSES) as pool:
        yield lambda: count(pool.imap_unordered(noop, range(n), CHUNK))


def _process_executor(n: int) -> Iterator[Once]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(PROCESSES) as pool:
        yield lambda: count(pool.map(noop, range(n), chunksize=CHUNK))


def _mpire(n: int) -> Iterator[Once]:
    from mpire import WorkerPool

    with WorkerPool(PROCESSES, keep_alive=True) as pool:
        yield lambda: count(pool.imap_unordered(noop, range(n), iterable_len=n, chunk_size=CHUNK))


def _pebble(n: int) -> Iterator[Once]:
    from pebble import ProcessPool

    with ProcessPool(max_workers=PROCESSES) as pool:
        yield lambda: count(pool.map(noop, range(n), chunksize=CHUNK).result())


def _small_maps(model: str) -> Callable[[int], Iterator[Once]]:
    def ours(n: int) -> Iterator[Once]:
        import atonce

        yield lambda: sum(count(atonce.map(noop, range(SMALL), model=model)) for _ in range(n // SMALL))

    return ours


def _small_executors(n: int) -> Iterator[Once]:
    from concurrent.futures import ThreadPoolExecutor

    def once() -> int:
        total = 0
        for _ in range(n // SMALL):
            with ThreadPoolExecutor(THREADS) as pool:
                total += count(pool.map(noop, range(SMALL)))
        return total

    yield once


def _small_on_one_executor(n: int) -> Iterator[Once]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(THREADS) as pool:
        yield lambda: sum(count(pool.map(noop, range(SMALL))) for _ in range(n // SMALL))


CASES = (
    Case(
        "noop-async",
        "atonce.stream of an async function that does nothing",
        n=100_000,
        quick_n=20_000,
        unit="µs",
        target=Target("cost", 0.3),
        ours=_ours("coroutines"),
        peers={
            "asyncio.gather": _in_loop(_gather),
            "asyncio.gather, uvloop": _in_loop(_gather, uv=True),
            "asyncio.gather, eager tasks": _in_loop(_eager_gather),
            "asyncio.gather, semaphore": _in_loop(_semaphore),
            "asyncio.TaskGroup": _in_loop(_group),
            "streamable": _streamable(anoop, COROUTINES),
            "aiometer.amap": _in_loop(_aiometer),
        },
    ),
    Case(
        "noop-threads",
        'atonce.stream of a function that does nothing, model="threads"',
        n=100_000,
        quick_n=20_000,
        unit="µs",
        target=Target("cost", 0.15),
        ours=_ours("threads"),
        peers={
            "ThreadPoolExecutor.map": _thread_executor,
            "ThreadPool.imap_unordered, chunks": _thread_pool,
            "joblib, threading": _joblib("threading", THREADS),
            "streamable": _streamable(noop, THREADS),
        },
    ),
    Case(
        "noop-processes",
        'atonce.stream of a function that does nothing, model="processes", workers started anew each time',
        n=100_000,
        quick_n=20_000,
        unit="µs",
        target=Target("cost", 0.3),
        ours=_ours("processes", parallelism=PROCESSES),
        peers={
            "joblib, loky, as they finish": _joblib("loky", PROCESSES, "generator_unordered"),
            "joblib, loky, list": _joblib("loky", PROCESSES),
            "Pool.imap_unordered, chunks": _pool,
            "ProcessPoolExecutor.map, chunks": _process_executor,
            "mpire, chunks": _mpire,
            "pebble, chunks": _pebble,
        },
    ),
    Case(
        "small-maps",
        f'atonce.map of {SMALL} items that do nothing, over and over, model="threads"',
        n=4000,
        quick_n=1000,
        unit="µs",
        target=Target("cost", 1.0),
        ours=_small_maps("threads"),
        peers={
            "ThreadPoolExecutor, anew for each": _small_executors,
            "ThreadPoolExecutor, the same one": _small_on_one_executor,
            "atonce.map, no model said": _small_maps("auto"),
        },
    ),
)
