"""What a cluster's item costs beside the cluster's own way: `python -m bench.clusters [dask] [ray]` prints the tables of
docs/clusters.md.

Needs `pip install 'atonce[dask,ray]'` beside the lock. One cluster on this machine with a worker a core, started before and not
counted; the connection of a run is. Medians of three rounds, in turns, so that a busy moment meets all alike.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import atonce

__all__ = ["main"]

CORES = os.cpu_count() or 1
ROUNDS = 3
OURS = 50_000  # items that do nothing; a peer gets as many as take it about a second
PEER = 1_000
LONG = 200 * CORES  # items of 10 ms
SECONDS = 0.01


def nothing(item: Any) -> Any:
    return item


def busy(item: Any) -> Any:
    """Computes for 10 ms of its own CPU time."""
    end = time.thread_time() + SECONDS
    while time.thread_time() < end:
        pass
    return item


def echo(item: bytes) -> bytes:
    return item


Way = Callable[[Callable[[Any], Any], list[Any]], Any]


@contextmanager
def dask() -> Iterator[dict[str, Way]]:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield {
            "atonce": lambda fn, items: list(atonce.map(fn, items, model="dask", cluster=client)),
            "client.map": lambda fn, items: client.gather(client.map(fn, items, pure=False)),
        }


@contextmanager
def ray() -> Iterator[dict[str, Way]]:
    import ray
    from ray.util.multiprocessing import Pool

    ray.init(num_cpus=2 * CORES, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        pool = Pool(CORES)
        pool.map(nothing, range(CORES))
        yield {
            "atonce": lambda fn, items: list(atonce.map(fn, items, model="ray", parallelism=CORES)),
            "ray.remote": lambda fn, items: ray.get([ray.remote(fn).remote(item) for item in items]),
            "ray Pool.map": lambda fn, items: pool.map(fn, items),
        }
        pool.terminate()
    finally:
        ray.shutdown()


def timed(way: Way, fn: Callable[[Any], Any], items: list[Any]) -> float:
    begun = time.perf_counter()
    assert len(way(fn, items)) == len(items)
    return time.perf_counter() - begun


def measured(ways: dict[str, Way]) -> Iterator[tuple[str, float, float]]:
    """(way, µs an item that does nothing, share of all cores' time that is work with 10 ms items)."""
    for way in ways.values():
        way(nothing, [*range(100)])
    small: dict[str, list[float]] = {name: [] for name in ways}
    long: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            count = OURS if name == "atonce" else PEER
            small[name].append(timed(way, nothing, [*range(count)]) / count * 1e6)
            long[name].append(LONG * SECONDS / CORES / timed(way, busy, [*range(LONG)]))
    for name in ways:
        yield name, statistics.median(small[name]), statistics.median(long[name])


def main(kinds: list[str]) -> None:
    for kind in kinds or ["dask", "ray"]:
        with {"dask": dask, "ray": ray}[kind]() as ways:
            print(f"\n| {kind} | µs an item that does nothing | efficiency with 10 ms items |\n|---|---|---|")
            for name, small, long in measured(ways):
                print(f"| {name} | {small:.1f} | {long:.2f} |", flush=True)
            blobs = [bytes(100_000)] * 1000
            seconds = statistics.median(timed(ways["atonce"], echo, blobs) for _ in range(ROUNDS))
            print(f"\n100 kB there and back: {2 * 100 / 1000 * len(blobs) / seconds:.0f} MB/s in all", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
