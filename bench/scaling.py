"""How many workers one near side can feed: `python -m bench.scaling [workers …]` prints the table of docs/clusters.md.

A real Dask scheduler and two real Dask workers, real connections and calls; only the processes that would run the items are
simulated, on the far side, where each item is over after so many seconds. So what this process does for them is all there, and
its CPU is what is measured. Needs `pip install 'atonce[dask]'` beside the lock.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import deque
from typing import Any

import atonce
from atonce.outcome import WorkerId
from atonce.placement.host import Host
from atonce.worker import wire
from atonce.worker.buffers import Large
from atonce.worker.channel import Frames, pack
from atonce.worker.outbox import Report

__all__ = ["Simulated", "main"]

WORKERS = (1000, 100, 10)


class Simulated(Host):
    """Items are echoed, one after another, each after the seconds that it is itself, or those in front of it."""

    async def open(self, greeting: bytes) -> None:
        self._pace = wire.loads(greeting)["pace"]
        self._inbox = Frames()
        self._todo: deque[tuple[float, float, int, Any]] = deque()  # starts, ends, index, value
        self._free = self._flushed = 0.0
        self._released = False
        self._bytes += wire.frame(wire.READY)

    async def send(self, data: bytes) -> None:
        self._called()
        self._inbox.feed(data)
        for kind, payload in self._inbox.frames():
            if kind == wire.BATCH:
                for index, item in wire.load_batch(payload, self._inbox.large):
                    start = max(self._free, time.monotonic())
                    self._free = start + item[0]
                    self._todo.append((start, self._free, index, item))
            elif kind == wire.RELEASE:
                self._released = True
        self._news.set()

    async def receive(self, patience: float) -> tuple[bytes, list[tuple[int, int, float]], Any]:
        self._called()
        until = time.monotonic() + patience
        while not self._bytes and (now := time.monotonic()) < until:
            if self._released and not self._todo:
                return b"", [], (0, [])
            # as a worker does: what is finished goes each `pace`, and at once where nothing is left to do
            due = min(max(self._todo[0][1], self._flushed + self._pace), self._todo[-1][1]) if self._todo else until
            if due <= now:
                self._report(now)
                break
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), min(due, until) - now)
            except TimeoutError:
                pass
        data = bytes(self._bytes)
        self._bytes.clear()
        return data, [], None

    def _report(self, now: float) -> None:
        done = [*itertools.takewhile(lambda item: item[1] <= now, self._todo)]
        for _ in done:
            self._todo.popleft()
        started, ended, indices, values = zip(*done, strict=True)
        report = Report(indices, values, started, ended, (0.0,) * len(done), (WorkerId(0, 0, 0),) * len(done))
        large = Large()
        for data, _ in pack(wire.REPORT, wire.dump_report(report, large), large, shared=False):
            self._bytes += data
        self._flushed = now

    async def signal(self, number: int) -> None:
        self._status = (-number,)
        self._news.set()


def simulate() -> None:
    """In a Dask worker: its hosts are simulated from now on."""
    import atonce.placement.dask

    atonce.placement.dask.Host = Simulated  # type: ignore[misc]


def main(workers: list[int]) -> None:
    from distributed import Client, LocalCluster

    most = max(workers)
    with LocalCluster(n_workers=2, threads_per_worker=most // 2 + 1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.run(simulate)
            print("| workers | an item | items/s | of all workers' time | MB/s | near side's cores | µs of it an item |")
            print("|---|---|---|---|---|---|---|")
            for count in workers:
                for seconds, size in ((0.0, 0), (0.1, 0), (1.0, 0), (0.1, 10_000)):
                    print(row(client, count, seconds, size), flush=True)


def row(client: Any, workers: int, seconds: float, size: int) -> str:
    """Some seconds of work for each, from the first outcome to the last; of each worker one came before, and is not counted."""
    each = 6 if seconds >= 1 else 50 if seconds else 0
    count = workers * each or 200_000
    outcomes = atonce.stream(echo, items(count, seconds, size), model="dask", cluster=client, parallelism=workers)
    first = next(outcomes)
    begun, cpu, got = time.perf_counter(), time.process_time(), 1
    took = used = 0.0
    for got, _ in enumerate(outcomes, 2):
        if got == count:
            took, used = time.perf_counter() - begun, time.process_time() - cpu
    assert first.ok
    assert got == count
    timed = count - workers if seconds else count
    kind = "does nothing" if not seconds else f"{seconds:g} s" + (f", {size // 1000} kB" if size else "")
    share = "" if not seconds else f"{seconds * timed / workers / took:.2f}"
    return (
        f"| {workers} | {kind} | {timed / took:.0f} | {share} | {2 * size * timed / took / 1e6:.1f} | {used / took:.2f} "
        f"| {used / timed * 1e6:.1f} |"
    )


def items(count: int, seconds: float, size: int) -> Any:
    return ((seconds, bytes(size)) for _ in range(count))


def echo(item: Any) -> Any:
    return item


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [*WORKERS])
