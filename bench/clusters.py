"""What a cluster's item costs beside the cluster's own way: `python -m bench.clusters [dask] [ray]` prints the tables of
docs/clusters.md.

Needs `pip install 'atonce[dask,ray]'` beside the lock. One cluster on this machine with a worker a core, started before and not
counted; the connection of a run is, and `one item` is hardly anything else. Medians of three rounds, in turns, so that a busy
moment meets all alike.
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

__all__ = ["busy", "main", "nothing"]

CORES = os.cpu_count() or 1
ROUNDS = 3
OURS = 50_000  # items that do nothing; a peer gets as many as take it about a second
PEER = 500
WORK = 1.5  # seconds of work a core, a quarter of it for a peer
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


def near(fn: Callable[[Any], Any], items: list[Any]) -> Any:
    """What this machine gives without a cluster."""
    return list(atonce.map(fn, items, model="processes", parallelism=CORES))


def efficiency(way: Way, seconds: float, work: float) -> float:
    """The share of all cores' time that is work."""
    items = [seconds] * round(work * CORES / seconds)
    return work / timed(way, busy, items)


def measured(ways: dict[str, Way]) -> Iterator[tuple[str, list[list[float]]]]:
    """(way, for each round: seconds of a run of one item, µs an item that does nothing, efficiency with each of `ITEMS`)."""
    found: dict[str, list[list[float]]] = {name: [] for name in ways}
    for way in ways.values():
        way(nothing, [*range(100)])
    for number in range(ROUNDS):
        for name, way in ways.items():
            count, work = (OURS, WORK) if "atonce" in name else (PEER, WORK / 4)
            one, many = timed(way, nothing, [0]), timed(way, nothing, [*range(count)])
            row = [one, many / count * 1e6, *(efficiency(way, seconds, work) for seconds in ITEMS)]
            print(f"round {number + 1}, {name}: {', '.join(f'{value:.3g}' for value in row)}", file=sys.stderr, flush=True)
            found[name].append(row)
    yield from found.items()


def main(kinds: list[str]) -> None:
    for kind in kinds or ["dask", "ray"]:
        with {"dask": dask, "ray": ray}[kind]() as ways:
            heads = " | ".join(f"efficiency, {seconds * 1000:g} ms items" for seconds in ITEMS)
            print(f"\n| {kind} | one item, s | µs an item that does nothing | {heads} |\n|---|---|---|{'---|' * len(ITEMS)}")
            for name, rounds in measured({**ways, "atonce, processes": near}):
                one, each, *shares = map(statistics.median, zip(*rounds, strict=True))
                print(f"| {name} | {one:.2f} | {each:.1f} | {' | '.join(f'{share:.2f}' for share in shares)} |", flush=True)
            blobs = [bytes(100_000)] * 500
            seconds = statistics.median(timed(ways["atonce"], echo, blobs) for _ in range(ROUNDS))
            print(f"\n100 kB there and back: {2 * 100 / 1000 * len(blobs) / seconds:.0f} MB/s in all", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
