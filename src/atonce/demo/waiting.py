"""C1, C5, C6, C7: work that waits, as coroutines and as threads."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from ..errors import RunError
from ..lab import work
from ..outcome import Outcome
from .bench import Bench, medians, timed, wall
from .fetching import COST, LATENCY, fetch
from .fresh import program
from .measured import Borrowed, Held, Holding, Overlap, Place, Places
from .servers import Servers
from .workload import get, session

__all__ = ["borrowed", "holding", "overlap", "places"]

FEW = 10


def overlap(bench: Bench) -> Overlap:
    waits = (0.1, 0.2, 0.3)
    values: tuple[float, ...] = ()

    def apart() -> float:
        bench.step("three waits, one after another")
        return wall(work.nap, waits, model="sync")

    def together() -> float:
        nonlocal values
        bench.step("three waits, as coroutines")
        seconds, run = timed(work.anap, waits, model="coroutines", concurrency=len(waits))
        values = tuple(run.values)
        return seconds

    one, other = medians(bench.rounds(2), apart, together)
    return Overlap(waits, one, other, values)


def places(bench: Bench) -> Places:
    items = 40

    def place(model: str, **options: Any) -> Place:
        bench.step(f"{items} short waits, model {model}")
        fn = work.anap if model == "coroutines" else work.nap
        _, run = timed(fn, [0.01] * items, model=model, **options)
        return Place(model, items, *_ids(run.outcomes))

    return Places(
        place("coroutines", concurrency=FEW),
        place("threads", concurrency=FEW),
        place("processes", parallelism=bench.hands),
    )


def _ids(outcomes: Iterable[Outcome[Any]]) -> tuple[int, int]:
    workers = [outcome.worker for outcome in outcomes if outcome.worker is not None]
    return len({worker.pid for worker in workers}), len({(worker.pid, worker.thread) for worker in workers})


def borrowed(bench: Bench) -> Borrowed:
    requests = bench.amount(20, 10)
    with Servers(1, latency=0.02) as servers:
        urls = servers.urls(requests)
        in_order = True

        def apart() -> float:
            bench.step(f"{requests} requests, one after another")
            return wall(get, urls, setup=session, model="sync")

        def threads() -> float:
            nonlocal in_order
            bench.step(f"{requests} requests on {FEW} threads")
            seconds, run = timed(get, urls, setup=session, model="threads", concurrency=FEW)
            in_order = in_order and [outcome.item for outcome in run.outcomes] == urls
            return seconds

        one, other = medians(bench.rounds(3), apart, threads)
    return Borrowed(requests, FEW, one, other, in_order)


def holding(bench: Bench) -> Holding:
    units, nap = _units(bench.amount(1000, 100)), 0.3 if bench.quick else 1.0
    bench.step(f"{units} waits in flight, as coroutines, then as threads")
    coroutine, thread = _held("coroutines", units, nap), _held("threads", units, nap)
    requests = bench.amount(100, 40)
    with Servers(2, latency=LATENCY, connection_cost=COST) as servers:
        urls = servers.urls(requests)

        def few(model: str) -> float:
            bench.step(f"{requests} requests, {FEW} in flight, model {model}")
            return fetch(urls, model, FEW)

        one, other = medians(bench.rounds(2), lambda: few("coroutines"), lambda: few("threads"))
    return Holding(units, nap, coroutine, thread, requests, FEW, one, other)


def _units(wanted: int) -> int:
    """As many as wanted, or three quarters of the threads that may be started here."""
    started = int(_said(program("startable", wanted)))
    if started < 40:
        raise RunError(f"{started} threads are all that may be started here", hint="a higher limit (ulimit -u)")
    return wanted if started >= wanted else 3 * started // 4


def _held(model: str, units: int, nap: float) -> Held:
    return Held(**json.loads(_said(program("hold", model, units, nap))))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        raise RunError(f"a program of the demo's ended with exit code {done.returncode}: {done.stderr[-300:]}")
    return done.stdout
