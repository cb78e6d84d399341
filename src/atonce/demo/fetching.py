"""C2, C3, C4, C12: requests to servers on loopback that are as slow, and as dear to connect to, as they are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from ..fetch.url import host_of
from ..outcome import Outcome, Run
from . import workload
from .bench import Bench, medians, peak, timed, wall
from .measured import Combined, Crowd, Fetched, Reconnecting, Server, Shape, Way
from .servers import Servers
from .workload import aget, client, get, get_anew, session

__all__ = ["COST", "LATENCY", "combined", "crowd", "fetch", "fetched", "reconnecting"]

# A tenth of what a request to a big site takes (0.2 s), so that the times come out at a tenth of the article's.
LATENCY = 0.019
# What a host takes to let one new connection in while others wait, in C4: also a tenth of what its figures suggest.
COST = 0.028
FEW = 10


def fetch(urls: Sequence[str], model: str, concurrency: int = 1) -> float:
    """Seconds to get all of `urls`, with the library and the session that go with the model."""
    if model == "coroutines":
        return wall(aget, urls, setup=client, model=model, concurrency=concurrency)
    return wall(get, urls, setup=session, model=model, concurrency=concurrency)


def reconnecting(bench: Bench) -> Reconnecting:
    requests, cost = bench.amount(30, 10), 0.01
    anew, kept, opened_anew, opened_kept = _both_sessions(bench, requests, cost)
    anew_free, kept_free, _, _ = _both_sessions(bench, requests, 0.0)
    return Reconnecting(requests, cost, anew, kept, anew_free, kept_free, opened_anew, opened_kept)


def _both_sessions(bench: Bench, requests: int, cost: float) -> tuple[float, float, int, int]:
    opened = [0, 0]
    with Servers(1, connection_cost=cost) as servers:
        urls = servers.urls(requests)

        def counted(which: int, run: Callable[[], float]) -> float:
            bench.step(f"{requests} requests, {('connecting for each', 'one session')[which]}")
            servers.forget()
            seconds = run()
            opened[which] = servers.connections()
            return seconds

        anew, kept = medians(
            bench.rounds(3),
            lambda: counted(0, lambda: wall(get_anew, urls, model="sync")),
            lambda: counted(1, lambda: wall(get, urls, setup=session, model="sync")),
        )
    return anew, kept, opened[0], opened[1]


def fetched(bench: Bench) -> Fetched:
    requests, hosts, latency = 30, 3, 0.01 if bench.quick else 0.04
    with Servers(hosts, latency=latency) as servers:
        urls = servers.urls(requests)
        bench.step(f"{requests} requests, one after another")
        apart = fetch(urls, "sync")
        bench.step(f"{requests} requests, as coroutines")
        (together,) = medians(bench.rounds(5), lambda: fetch(urls, "coroutines", requests))
    return Fetched(requests, hosts, latency, apart, together, requests)


def crowd(bench: Bench) -> Crowd:
    requests = bench.amount(100, 40)
    friendly, costly = (_server(bench, requests, cost) for cost in (0.0, COST))
    return Crowd(requests, FEW, friendly, costly)


def _server(bench: Bench, requests: int, cost: float) -> Server:
    name = "expensive connections" if cost else "friendly server"
    with Servers(2, latency=LATENCY, connection_cost=cost) as servers:
        urls = servers.urls(requests)

        def way(model: str, concurrency: int, rounds: int) -> Way:
            bench.step(f"{name}: {model}, {concurrency} in flight")
            times, connections = [], []
            for _ in range(bench.rounds(rounds)):
                servers.forget()
                times.append(fetch(urls, model, concurrency))
                connections.append(servers.connections())
            return Way(median(times), int(median(connections)))

        def found() -> Way:
            """Nobody says how many: `per_key="auto"` begins with a few at each host, and tries more while that brings more."""
            bench.step(f"{name}: coroutines, as many as are found best")
            times, connections, why = [], [], ""
            for _ in range(bench.rounds(3)):
                servers.forget()
                seconds, run = timed(aget, urls, setup=client, model="coroutines", key=host_of, per_key="auto")
                times.append(seconds)
                connections.append(servers.connections())
                why = run.stats.why
            return Way(median(times), int(median(connections)), why)

        # the long ones are made of waits alone: one round tells
        return Server(
            cost,
            sync=way("sync", 1, 1),
            all_coroutines=way("coroutines", requests, 1 if cost else 3),
            all_threads=way("threads", requests, 1 if cost else 3),
            few_threads=way("threads", FEW, 2),
            few_coroutines=way("coroutines", FEW, 2),
            found=found(),
        )


def combined(bench: Bench) -> Combined:
    requests = bench.amount(100, 40)
    plain: dict[str, Any] = {"fn": workload.get_and_compute, "setup": session}
    woven: dict[str, Any] = {"fn": workload.aget_and_compute, "setup": client}
    ways: dict[str, dict[str, Any]] = {
        "sync": plain,
        "coroutines": {**woven, "concurrency": FEW},
        "processes": {**plain, "parallelism": bench.hands},
        "hybrid": {**woven, "parallelism": bench.hands, "concurrency": FEW},
    }
    with Servers(2, latency=0.015) as servers:
        urls = servers.urls(requests)
        shapes = []
        for model, options in ways.items():
            bench.step(f"{requests} requests with some computing, model {model}")
            rounds = bench.rounds(3 if model == "hybrid" else 1)
            shapes.append(_shape(model, [timed(items=urls, model=model, **options) for _ in range(rounds)]))
    return Combined(requests, workload.CPU, tuple(shapes))


def _shape(model: str, runs: list[tuple[float, Run[Any]]]) -> Shape:
    """The round of median length, whole: its numbers belong together."""
    seconds, run = sorted(runs, key=lambda taken: taken[0])[len(runs) // 2]
    by_pid: defaultdict[int, list[Outcome[Any]]] = defaultdict(list)
    for outcome in run.outcomes:
        if outcome.worker is not None:
            by_pid[outcome.worker.pid].append(outcome)
    items = max(outcome.ended for outcome in run.outcomes) - min(outcome.started for outcome in run.outcomes)
    return Shape(model, seconds, max(0.0, seconds - items), tuple(sorted(map(peak, by_pid.values()), reverse=True)))
