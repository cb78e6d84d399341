"""Work that fills two cores, in items of 0.1 ms to seconds: what is lost to handing it out."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from atonce.lab.work import spin

from .case import Case, Contender, Once, Target, count

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["CASES"]

PROCESSES = 2

Durations = Callable[[int], list[float]]  # n → CPU seconds of each item


def _of(seconds: float) -> Durations:
    return lambda n: [seconds] * n


def _heavy_tailed(n: int) -> list[float]:
    """Half of the items take under 2 ms, one in a hundred over 50 ms, the longest 300 ms; shuffled, the same each time."""
    rng = random.Random(7)
    return [min(0.3, 0.001 * rng.paretovariate(1.1)) for _ in range(n)]


def _ours(durations: Durations) -> Contender:
    def ours(n: int) -> Iterator[Once]:
        import atonce

        items = durations(n)
        yield lambda: count(atonce.stream(spin, items, model="processes", parallelism=PROCESSES))

    return ours


def _in_line(durations: Durations) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        items = durations(n)
        yield lambda: count(map(spin, items))

    return contender


def _raw(durations: Durations) -> Contender:
    """The most that two cores can do: a process pinned to each runs its half in a plain loop and says when."""

    def contender(n: int) -> Iterator[Once]:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        ends, processes = [], []
        for number in range(PROCESSES):
            near, far = context.Pipe()
            cpu = cpus[number % len(cpus)] if cpus else None
            process = context.Process(target=_half, args=(far, durations(n)[number::PROCESSES], cpu), daemon=True)
            process.start()
            ends.append(near)
            processes.append(process)

        def once() -> int:
            for end in ends:
                end.send(True)
            return sum(end.recv() for end in ends)

        yield once
        for end, process in zip(ends, processes, strict=True):
            end.send(False)
            process.join()

    return contender


def _half(end: Connection, items: list[float], cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    while end.recv():
        for seconds in items:
            spin(seconds)
        end.send(len(items))


def _pool(durations: Durations, chunk: int) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        import multiprocessing

        items = durations(n)
        with multiprocessing.Pool(PROCESSES) as pool:
            yield lambda: count(pool.imap_unordered(spin, items, chunk))

    return contender


def _joblib(durations: Durations) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        from joblib import Parallel, delayed

        items = durations(n)
        with Parallel(n_jobs=PROCESSES, return_as="generator_unordered") as parallel:
            yield lambda: count(parallel(delayed(spin)(seconds) for seconds in items))

    return contender


def _mpire(durations: Durations) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        from mpire import WorkerPool

        items = durations(n)
        with WorkerPool(PROCESSES) as pool:
            yield lambda: count(pool.imap_unordered(spin, items))

    return contender


def _even(name: str, seconds: float, n: int, quick_n: int, chunk: int) -> Case:
    durations = _of(seconds)
    return Case(
        name,
        f"{seconds * 1000:g} ms of pure Python an item on two processes, theirs warm, ours started anew each time",
        n=n,
        quick_n=quick_n,
        unit="s",
        target=Target("speed", 0.95),
        ours=_ours(durations),
        peers={
            "two pinned processes, a half each": _raw(durations),
            f"Pool.imap_unordered, chunks of {chunk}": _pool(durations, chunk),
            "joblib, loky": _joblib(durations),
            "mpire": _mpire(durations),
        },
    )


CASES = (
    _even("cpu-1ms", 0.001, n=4000, quick_n=1000, chunk=20),
    _even("cpu-10ms", 0.01, n=400, quick_n=100, chunk=2),
    Case(
        "cpu-tiny",
        "0.1 ms of pure Python an item (Ray's tip against tiny tasks), two processes; the peer's batches are made by hand",
        n=20_000,
        quick_n=5000,
        unit="s",
        target=Target("cost", 1.05),
        ours=_ours(_of(0.0001)),
        peers={
            "Pool.imap_unordered, chunks of 1 000": _pool(_of(0.0001), 1000),
            "Pool.imap_unordered, an item each": _pool(_of(0.0001), 1),
            "joblib, loky": _joblib(_of(0.0001)),
            "in line": _in_line(_of(0.0001)),
        },
    ),
    Case(
        "cpu-tail",
        "heavy-tailed items, from 1 to 300 ms, on two processes; the peer's chunk is the best of 1, 4 and 16",
        n=600,
        quick_n=150,
        unit="s",
        target=Target("cost", 1.05),
        ours=_ours(_heavy_tailed),
        peers={
            "Pool.imap_unordered, chunks of 1": _pool(_heavy_tailed, 1),
            "Pool.imap_unordered, chunks of 4": _pool(_heavy_tailed, 4),
            "Pool.imap_unordered, chunks of 16": _pool(_heavy_tailed, 16),
            "joblib, loky": _joblib(_heavy_tailed),
            "two pinned processes, a half each": _raw(_heavy_tailed),
        },
    ),
)
