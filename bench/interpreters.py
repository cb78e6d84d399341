"""Interpreters beside processes (Python 3.14 and newer): `python -m bench.interpreters` prints the table of docs/clusters.md.

Each figure is from Python processes of its own, medians of five. `first result`: from the start of the run, in a process that
has run nothing before; `again`: the second run there. `a worker`: what the process and its children have of memory that is
theirs alone (USS), with eight workers less with one, divided by seven.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["WAYS", "main"]

ROUNDS = 5
ITEMS = 50_000


def nothing(item: Any) -> Any:
    return item


def ours(model: str, workers: int, count: int) -> Iterator[Any]:
    import atonce

    return atonce.map(nothing, range(count), model=model, parallelism=workers)


def pool(name: str, workers: int, count: int) -> Iterator[Any]:
    import concurrent.futures

    with getattr(concurrent.futures, name)(workers) as executor:
        yield from executor.map(nothing, range(count), chunksize=max(1, min(1000, count // workers)))


WAYS: dict[str, Callable[[int, int], Iterator[Any]]] = {
    "atonce, interpreters": lambda workers, count: ours("interpreters", workers, count),
    "InterpreterPoolExecutor, chunks": lambda workers, count: pool("InterpreterPoolExecutor", workers, count),
    "atonce, processes": lambda workers, count: ours("processes", workers, count),
    "ProcessPoolExecutor, chunks": lambda workers, count: pool("ProcessPoolExecutor", workers, count),
}


def measure(way: str, workers: int) -> dict[str, float]:
    """In a fresh process."""
    run = WAYS[way]
    begun = time.perf_counter()
    next(results := run(workers, workers))
    first = time.perf_counter() - begun
    for _ in results:
        pass
    begun = time.perf_counter()
    next(results := run(workers, workers))
    again = time.perf_counter() - begun
    for _ in results:
        pass
    begun = time.perf_counter()
    results = run(workers, ITEMS)
    for _ in range(ITEMS // 2):
        next(results)
    memory = _memory()
    assert len([*results]) == ITEMS - ITEMS // 2
    return {"first": first, "again": again, "item": (time.perf_counter() - begun) / ITEMS * 1e6, "memory": memory}


def _memory() -> float:
    """MB that this process and its children have alone."""
    import psutil

    me = psutil.Process()
    found = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            found += process.memory_full_info().uss / 1e6
        except psutil.Error:
            pass
    return found


def fresh(way: str, workers: int) -> dict[str, float]:
    told = subprocess.run([sys.executable, "-m", "bench.interpreters", way, str(workers)], capture_output=True, check=True)
    return dict(json.loads(told.stdout))


def main() -> None:
    print("| | first result, ms | again, ms | µs an item that does nothing | a worker, MB |\n|---|---|---|---|---|")
    for way in WAYS:
        two = [fresh(way, 2) for _ in range(ROUNDS)]
        eight, one = (statistics.median(fresh(way, workers)["memory"] for _ in range(3)) for workers in (8, 1))
        first, again, item = (statistics.median(each[what] for each in two) for what in ("first", "again", "item"))
        print(f"| {way} | {first * 1000:.0f} | {again * 1000:.0f} | {item:.1f} | {(eight - one) / 7:.1f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
