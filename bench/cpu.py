"""Work that fills two cores: what is lost to handing it out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from atonce.lab.work import spin

from .case import Case, Once, Target, count

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["CASES"]

PROCESSES = 2
ITEM = 0.001


def _ours(n: int) -> Iterator[Once]:
    import atonce

    yield lambda: count(atonce.stream(spin, [ITEM] * n, model="processes", parallelism=PROCESSES))


def _raw(n: int) -> Iterator[Once]:
    """The most that two cores can do: a process pinned to each runs its half in a plain loop and says when."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    halves = [n // PROCESSES + (number < n % PROCESSES) for number in range(PROCESSES)]
    ends, processes = [], []
    for number in range(PROCESSES):
        near, far = context.Pipe()
        process = context.Process(target=_half, args=(far, cpus[number % len(cpus)] if cpus else None), daemon=True)
        process.start()
        ends.append(near)
        processes.append(process)

    def once() -> int:
        for end, half in zip(ends, halves, strict=True):
            end.send(half)
        return sum(end.recv() for end in ends)

    yield once
    for end, process in zip(ends, processes, strict=True):
        end.send(None)
        process.join()


def _half(end: Connection, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    while (half := end.recv()) is not None:
        for _ in range(half):
            spin(ITEM)
        end.send(half)


def _pool(n: int) -> Iterator[Once]:
    import multiprocessing

    with multiprocessing.Pool(PROCESSES) as pool:
        yield lambda: count(pool.imap_unordered(spin, [ITEM] * n, 20))


def _joblib(n: int) -> Iterator[Once]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=PROCESSES, return_as="generator_unordered") as parallel:
        yield lambda: count(parallel(delayed(spin)(ITEM) for _ in range(n)))


CASES = (
    Case(
        "cpu",
        "1 ms of pure Python an item on two processes, theirs warm, ours started anew each time",
        n=4000,
        quick_n=1000,
        unit="s",
        target=Target("speed", 0.93),
        ours=_ours,
        peers={
            "two pinned processes, a half each": _raw,
            "Pool.imap_unordered, chunks of 20": _pool,
            "joblib, loky": _joblib,
        },
    ),
)
