"""What a cluster's item costs beside the cluster's own way: `python -m bench.clusters [dask] [ray]` prints the tables of
docs/clusters.md.

`atonce` is a whole run, whose efficiency is looked at when its workers have started; an `atonce.Executor` has them before, as
Ray's pool has.

Needs `pip install 'atonce[dask,ray]'` beside the lock. One cluster on this machine with a worker a core, started before and not
counted; the connection of a run is, and `one item` is hardly anything else. Medians of three rounds, in turns, so that a busy
moment meets all alike.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import psutil

import atonce

__all__ = ["busy", "main", "nothing"]

CORES = os.cpu_count() or 1
ROUNDS = 3
OURS = 50_000  # items that do nothing; of what takes a call at a time as many as take about a second
PEER = 500
WORK = 5.0  # seconds of work a core, a fifth of it for a peer
ITEMS = (0.01, 0.001)  # seconds that the items of it compute for


def nothing(item: Any) -> Any:
    return item


def busy(item: float) -> float:
    """Computes for so many seconds of its own CPU time."""
    end = time.thread_time() + item
    while time.thread_time() < end:
        pass
    return item


def echo(item: bytes) -> bytes:
    return item


RUNS = ("atonce", "atonce, processes")  # what is meant for many items; the others hand over one call at a time

Way = Callable[[Callable[[Any], Any], Any], Iterable[Any]]
Ready = Callable[[], AbstractContextManager[Way]]  # what is made before, which is not counted


def at_once(way: Way) -> Ready:
    return lambda: nullcontext(way)


@contextmanager
def executor(model: str, **options: Any) -> Iterator[Way]:
    """One whose workers have started."""
    with atonce.Executor(model, CORES, **options) as it:
        list(it.map(busy, [0.05] * 4 * CORES))
        yield lambda fn, items: list(it.map(fn, items))


@contextmanager
def dask() -> Iterator[dict[str, Ready]]:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield {
            "atonce": at_once(partial(atonce.stream, model="dask", cluster=client)),
            "atonce.Executor": partial(executor, "dask", cluster=client),
            "client.map": at_once(lambda fn, items: client.gather(client.map(fn, items, pure=False))),
        }


@contextmanager
def ray() -> Iterator[dict[str, Ready]]:
    import ray
    from ray.util.multiprocessing import Pool

    def tasks(fn: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        remote = ray.remote(fn)
        return list(ray.get([remote.remote(item) for item in items]))

    ray.init(num_cpus=2 * CORES, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        pool = Pool(CORES)
        pool.map(nothing, range(CORES))
        yield {
            "atonce": at_once(partial(atonce.stream, model="ray", parallelism=CORES)),
            "atonce.Executor": partial(executor, "ray"),
            "ray.remote": at_once(tasks),
            "ray Pool.map": at_once(lambda fn, items: pool.map(fn, items)),
        }
        pool.terminate()
    finally:
        ray.shutdown()


def timed(ready: Ready, fn: Callable[[Any], Any], items: list[Any]) -> float:
    with ready() as way:
        begun = time.perf_counter()
        assert sum(1 for _ in way(fn, items)) == len(items)
        return time.perf_counter() - begun


def efficiency(ready: Ready, seconds: float, work: float) -> float:
    """The share of all cores' time that is work; of outcomes, which say when each item began, from when all workers had one."""
    items = [seconds] * round(work * CORES / seconds)
    with ready() as way:
        begun = time.monotonic()
        got = list(way(busy, items))
        ended, count = time.monotonic(), len(items)
        if isinstance(got[0], atonce.Outcome):
            firsts: dict[Any, float] = {}
            for each in got:
                firsts[each.worker] = min(each.started, firsts.get(each.worker, each.started))
            begun = max(firsts.values())
            count = sum(each.started >= begun for each in got)
        return count * seconds / CORES / (ended - begun)


def measured(ways: dict[str, Ready]) -> Iterator[tuple[str, list[list[float]]]]:
    """(way, for each round: seconds of a run of one item, µs an item that does nothing, efficiency with each of `ITEMS`)."""
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for way in ways.values():
        timed(way, nothing, [*range(100)])
    for number in range(ROUNDS):
        for name, way in ways.items():
            count, work = (OURS, WORK) if name in RUNS else (PEER, WORK / 5)
            one, many = timed(way, nothing, [0]), timed(way, nothing, [*range(count)])
            row = [one, many / count * 1e6, *(efficiency(way, seconds, work) for seconds in ITEMS)]
            print(f"round {number + 1}, {name}: {', '.join(f'{value:.3g}' for value in row)}", file=sys.stderr, flush=True)
            found[name].append(row)
    yield from found.items()


def memory(ready: Ready) -> float:
    """MB that this process has more at most while a million items go through it, read and taken one at a time."""
    process = psutil.Process()
    before, most = process.memory_info().rss, 0

    def items() -> Iterator[int]:
        nonlocal most
        for item in range(1_000_000):
            if item % 10_000 == 0:
                most = max(most, process.memory_info().rss - before)
            yield item

    with ready() as way:
        assert sum(1 for _ in way(nothing, items())) == 1_000_000
    return most / 1e6


def main(kinds: list[str]) -> None:
    for kind in kinds or ["dask", "ray"]:
        with {"dask": dask, "ray": ray}[kind]() as ways:
            heads = " | ".join(f"efficiency, {seconds * 1000:g} ms items" for seconds in ITEMS)
            print(f"\n| {kind} | one item, s | µs an item that does nothing | {heads} |\n|---|---|---|{'---|' * len(ITEMS)}")
            for name, rounds in measured({**ways, "atonce, processes": at_once(partial(atonce.stream, model="processes"))}):
                one, each, *shares = map(statistics.median, zip(*rounds, strict=True))
                print(f"| {name} | {one:.2f} | {each:.1f} | {' | '.join(f'{share:.2f}' for share in shares)} |", flush=True)
            blobs = [os.urandom(100_000) for _ in range(500)]
            seconds = statistics.median(timed(ways["atonce"], echo, blobs) for _ in range(ROUNDS))
            grown = memory(ways["atonce"])
            print(f"\nA million items: {grown:.0f} MB more memory at most", flush=True)
            print(f"\n100 kB there and back: {2 * 100 / 1000 * len(blobs) / seconds:.0f} MB/s in all", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
