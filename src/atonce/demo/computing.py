"""C8, C9, C10, C13, C14: work that computes, on threads and in processes."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from ..lab import work
from . import workload
from .bench import Bench, busy, bytes_for, medians, steps_for, timed, wall
from .measured import Carried, Carrying, Computing, Kind, Kinds, Lock, Spread
from .servers import Servers

__all__ = ["carrying", "computing", "kinds", "lock", "spread"]

_MB = 1_000_000


def computing(bench: Bench) -> Computing:
    hands = bench.hands
    bench.step("how fast this machine counts")
    python = [steps_for(0.02)] * (bench.amount(5, 3) * hands)
    native = [bytes_for(0.02)] * len(python)

    def digesting(**options: Any) -> float:
        bench.step(f"SHA-256, {options['model']}")
        return wall(work.digest, native, **options)

    shares: list[float] = []

    cores: list[float] = []

    def counting(into: list[float], **options: Any) -> float:
        bench.step(f"counting in Python, {options['model']}")
        seconds, kept = busy(work.count, python, **options)
        into.append(kept)
        return seconds

    times = medians(
        bench.rounds(3),
        lambda: counting(shares, model="sync"),
        lambda: counting(cores, model="threads", concurrency=hands),
        lambda: digesting(model="sync"),
        lambda: digesting(model="threads", concurrency=hands),
    )
    return Computing(bench.machine, hands, median(shares), median(cores), *times)


def spread(bench: Bench) -> Spread:
    hands = bench.hands
    items = [steps_for(0.04)] * (bench.amount(6, 4) * hands)
    starting: list[float] = []
    got: list[float] = []

    def alone() -> float:
        bench.step("counting in Python, one after another")
        return wall(work.count, items, model="sync")

    def processes() -> float:
        bench.step(f"counting in Python, {hands} processes")
        begin = time.monotonic()
        seconds, run = timed(work.count, items, model="processes", parallelism=hands)
        starting.append(min(outcome.started for outcome in run.outcomes) - begin)
        got.append(run.stats.cpu / seconds)
        return seconds

    one, other = medians(bench.rounds(3), alone, processes)
    return Spread(bench.machine.cores, hands, one, other, median(starting), median(got))


def carrying(bench: Bench) -> Carrying:
    threads = _carried(bench, model="threads", concurrency=bench.hands)
    processes = _carried(bench, model="processes", parallelism=bench.hands)
    return Carrying(threads, processes)


def _carried(bench: Bench, **options: Any) -> Carried:
    """Cost an item as the difference of a long run and a short one: what starting the workers costs falls out."""
    objects = [{"id": n, "name": f"item {n}", "price": n / 7} for n in range(2000)]

    def each(what: str, item: Any, many: int) -> float:
        bench.step(f"{what} through {options['model']}")
        few = max(2, many // 20)
        short, long = medians(
            bench.rounds(2),
            lambda: wall(work.noop, [item] * few, **options),
            lambda: wall(work.noop, [item] * many, **options),
        )
        return 1e6 * max(0.0, long - short) / (many - few)

    def per_mb(cost: float, item: Any) -> float:
        return cost / (2 * len(pickle.dumps(item, pickle.HIGHEST_PROTOCOL)) / _MB)  # there, and back

    item = each("small items", 7, bench.amount(40_000, 20_000))
    megabyte = bytes(_MB)
    as_bytes = each("megabytes", megabyte, bench.amount(60, 20))
    as_objects = each("many small objects", objects, bench.amount(60, 20))
    return Carried(item, per_mb(as_bytes, megabyte), per_mb(as_objects, objects))


def kinds(bench: Bench) -> Kinds:
    count = bench.amount(16, 12)

    def kind(name: str, what: str, computes: bool, fn: Callable[..., Any], items: list[Any], **options: Any) -> Kind:
        bench.step(f"what {name} does with its time")
        _, run = timed(fn, items[: max(3, count // 3)], model="sync", **options)
        # of the least disturbed item: on a busy machine the others also wait for a core
        seconds, cpu = min((outcome.ended - outcome.started, outcome.cpu) for outcome in run.outcomes)
        _, chosen = timed(fn, items, model="auto", **options)
        return Kind(name, what, computes, seconds, min(1.0, cpu / seconds), chosen.plan.model)

    with Servers(1, latency=0.03) as servers:
        return Kinds(
            (
                kind("count", "arithmetic in Python", True, work.count, [steps_for(0.03)] * count),
                kind("digest", "SHA-256, which releases the GIL", True, work.digest, [bytes_for(0.03)] * count),
                kind("read_answer", "waits for an answer on a pipe", False, workload.read_answer, [0.03] * count),
                kind("get", "waits for a server", False, workload.get, servers.urls(count), setup=workload.session),
            )
        )


def lock(bench: Bench) -> Lock:
    hands = bench.hands
    count = bench.amount(4, 2) * hands

    def cores(what: str, fn: Callable[..., Any], item: int, **options: Any) -> float:
        bench.step(f"{what}: how many cores are busy")
        return median(busy(fn, [item] * count, **options)[1] for _ in range(bench.rounds(3)))

    steps, size = steps_for(0.03), bytes_for(0.03)
    return Lock(
        bench.machine,
        hands,
        share=cores("one thread of Python", work.count, steps, model="sync"),
        python_cores=cores(f"{hands} threads of Python", work.count, steps, model="threads", concurrency=hands),
        native_cores=cores(f"{hands} threads of SHA-256", work.digest, size, model="threads", concurrency=hands),
    )
