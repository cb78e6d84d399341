"""What one item costs, by part: `python -m bench.parts` prints the table that docs/design.md shows.

Each part runs alone, over batches of 512 items that do nothing; the least of many turns counts, since whatever else the machine
does only adds. The last rows are whole runs, from the call to its return, so that it can be seen what the parts leave out.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import atonce
from atonce.engine.events import Done, Emit, Ready
from atonce.engine.machine import Machine, Policy
from atonce.engine.seat import Seat
from atonce.lab.work import anoop, noop
from atonce.outcome import Outcome, WorkerId
from atonce.sink.journal import JournalFile
from atonce.source import Source
from atonce.source.identity import identity, prints
from atonce.worker import wire
from atonce.worker.job import Cells, Job
from atonce.worker.outbox import Outbox, Report
from atonce.worker.runners import load

__all__ = ["main"]

BATCH = 512
TURNS = 200
WHO = WorkerId(1, 2, 0)


def main() -> None:
    print("| part | µs an item |\n|---|---|")
    for name, microseconds in measured():
        print(f"| {name} | {microseconds:.2f} |", flush=True)


def measured() -> Iterator[tuple[str, float]]:
    items, indices = list(range(BATCH)), range(1000, 1000 + BATCH)
    endless = Source(iter(int, 1))
    yield "the source: reading", least(lambda: endless.read(BATCH))
    yield "the machine: from the source to a worker", reading()
    yield "processes: pickling the batch", least(lambda: wire.dump_batch(indices, items))
    batch = wire.dump_batch(indices, items)
    yield "processes: unpickling it", least(lambda: wire.load_batch(batch))
    for runner, fn in (("call", noop), ("thread", noop), ("coroutine", anoop)):
        yield f"the runner `{runner}`: calling the function, its times, its cell, its row", running(runner, fn)
    done = report(5)
    yield "processes: pickling the report", least(lambda: wire.dump_report(done))
    told = wire.dump_report(done)
    yield "processes: unpickling it", least(lambda: wire.load_report(told))
    yield "the machine: from a report to outcomes", handling()
    outcomes = [Outcome(index, index, True, None, None, 1) for index in range(BATCH)]
    yield "`journal=`: what an item is known by", least(lambda: prints(items))
    yield "`journal=`: recording", recording(items, outcomes)
    for model, fn in (("sync", noop), ("coroutines", anoop), ("threads", noop), ("processes", noop)):
        yield f"all of it, `model={model!r}`", whole(model, fn)


def report(first: int) -> Report:
    """Of a batch whose first item has that number."""
    times = [2.0 + k * 1e-6 for k in range(BATCH + 1)]  # each begins with the end of the one before it
    return Report(list(range(first, first + BATCH)), [None] * BATCH, times[:-1], times[1:], [0.0] * BATCH, [WHO] * BATCH, [], 0)


def least(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Microseconds an item of the fastest turn; `before` each, which does not count."""
    best = float("inf")
    for _ in range(TURNS):
        before()
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best / BATCH * 1e6


def machine() -> tuple[Machine, Seat]:
    made = Machine(Policy())
    made.add(0, Seat(1))
    made.handle(Ready(0), 1.0)
    seat = made.seats[0]
    seat.ahead, seat.mean = 2000, 1e-6
    return made, seat


def reading() -> float:
    made, seat = machine()
    items = list(range(BATCH))

    def drain() -> None:
        if seat.assigned:
            made.handle(Done(0, report(min(seat.assigned))), 3.0)

    return least(lambda: made.read(items, 1.0), drain)


def handling() -> float:
    made, _ = machine()
    done: list[Done] = []

    def fill() -> None:
        first = made.read_count
        made.read(list(range(BATCH)), 1.0)
        done[:] = [Done(0, report(first))]

    def take() -> None:
        for command in made.handle(done[0], 3.0):
            if isinstance(command, Emit):
                for _ in command.outcomes:  # made now, one after another
                    pass

    return least(take, fill)


def running(name: str, fn: Callable[..., Any]) -> float:
    """The near side of a runner left out: batches go in, reports are counted."""
    count, all_there = 0, threading.Event()
    everything = 100 * BATCH

    def send(told: Report) -> None:
        nonlocal count
        count += len(told.indices)
        if count >= everything:
            all_there.set()

    def broken(error: BaseException) -> None:
        raise error

    runner = load(name)(Job(fn), 1, Outbox(send, broken), Cells(1))
    runner.start()
    batches: Iterable[list[tuple[int, int]]] = [[(at + n, n) for n in range(BATCH)] for at in range(0, everything, BATCH)]
    start = time.perf_counter()
    for pairs in batches:
        runner.feed(pairs)
    all_there.wait()
    took = time.perf_counter() - start
    runner.stop(cancel=False)
    return took / everything * 1e6


def recording(items: list[int], outcomes: list[Outcome[Any]]) -> float:
    seen = prints(items)
    with tempfile.TemporaryDirectory() as folder:
        journal = JournalFile(os.path.join(folder, "j"), identity(noop))
        try:
            return least(lambda: journal.record(outcomes), lambda: journal.expect(0, seen))
        finally:
            journal.close()


def whole(model: str, fn: Callable[..., Any]) -> float:
    count, best = 100_000, float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in atonce.stream(fn, range(count), model=model):
            pass
        best = min(best, time.perf_counter() - start)
    return best / count * 1e6


if __name__ == "__main__":
    main()
