"""One timed run in a fresh interpreter, and all of a workload's runs in their order."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from atonce.plan.instruments import children_at_work
from atonce.plan.machine import cpu_used

from .grid import AUTO, FAR, Choice, Result, Widths, finalists, grid, result_of
from .workloads import Workload, find

__all__ = ["Took", "measure", "run"]

# Seconds that the best of all may take, and for which everything else is waited beyond its share of that.
PATIENCE, MARGIN = 60.0, 0.3
# A turn of the final is disturbed when other programs have used so many cores meanwhile; then it is repeated, at most so often.
# So many seconds at most are waited for a machine on which nothing else runs.
DISTURBED, REPEATS, QUIET = 0.15, 2, 0.5


class Took(NamedTuple):
    """`seconds` are infinite where it failed (`error`) or took longer than was waited for; `chose` is the point that was run in
    the end, and `why` the plan's reasons; `others` is how many cores other programs used."""

    seconds: float
    chose: Choice
    why: tuple[str, ...] = ()
    error: str = ""
    others: float = 0.0


def measure(
    workload: Workload, n: int, rounds: int, rng: random.Random, cpus: int, *, quiet: bool = True, coarse: bool = False
) -> Result:
    """Every point of the grid once, then the best of them, the one that auto chose and auto itself in turns.

    `quiet`: a turn of the final that other programs have disturbed is repeated.
    A point that fails cannot be, as processes cannot where nothing can be pickled. Raises RuntimeError where auto itself fails.
    """
    with workload.items(n) as items, _no_cache() as cache:
        first = run(workload, AUTO, items, PATIENCE, cache)
        if first.error:
            raise RuntimeError(first.error)
        once: dict[Choice, float] = {}
        best = first.seconds
        models = grid(n, cpus, is_async=workload.is_async, coarse=coarse)
        for model in sorted(models, key=lambda model: model != first.chose.model):  # a good one first: others can be left early
            widths = Widths(models[model], first.chose.parallelism * first.chose.concurrency)
            while (point := widths.next()) is not None:
                once[point] = run(workload, point, items, FAR * best + MARGIN, cache).seconds
                best = min(best, once[point])
                widths.took(once[point])
        turns: dict[Choice, list[float]] = {point: [] for point in (AUTO, *finalists(once, first.chose))}
        others: list[float] = []
        for _ in range(rounds):
            for point in rng.sample(list(turns), len(turns)):
                turn = functools.partial(run, workload, point, items, 2 * FAR * best + MARGIN, cache)
                took = undisturbed(turn) if quiet else turn()
                turns[point].append(took.seconds)
                others.append(took.others)
    found = result_of(workload.name, n, first.chose, once, turns, first.why, statistics.fmean(others))
    return found._replace(coarse=coarse)


def undisturbed(turn: Callable[[], Took]) -> Took:
    """A turn while nothing else uses the machine, or the least disturbed of a few."""
    tries = []
    for _ in range(1 + REPEATS):
        _wait_for_quiet()
        tries.append(turn())
        if tries[-1].others <= DISTURBED or tries[-1].error:
            return tries[-1]
    return min(tries, key=lambda took: took.others)


def _wait_for_quiet() -> None:
    until = time.monotonic() + QUIET
    while time.monotonic() < until:
        before = cpu_used() or 0.0
        time.sleep(0.1)
        if (cpu_used() or 0.0) - before <= 0.1 * DISTURBED:
            return


@contextlib.contextmanager
def _no_cache() -> Iterator[str]:
    """Nothing is calibrated and nothing remembered: auto knows what it knows the first time somebody uses it."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def run(workload: Workload, choice: Choice, items: Sequence[Any], patience: float, cache: str) -> Took:
    """In a session of its own, which is ended when `patience` seconds of the work itself are over: to start an interpreter may
    take longer than that."""
    code = "from bench.regret.turn import _child; _child()"
    order = json.dumps([workload.name, list(choice), list(items)])
    environment = {**os.environ, "XDG_CACHE_HOME": cache}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        over, beside = threading.Event(), children_at_work()

        def end() -> None:
            over.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(patience, end)
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(order)
            if process.stdout.readline():  # it has imported what it needs, and begins
                timer.start()
                begun, used_before = time.monotonic(), cpu_used() or 0.0
            answer = process.stdout.read()
            process.wait()
        finally:
            timer.cancel()
        if over.is_set():
            return Took(math.inf, choice)
        if process.returncode:
            errors.seek(0)
            said = errors.read().strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            return Took(math.inf, choice, error=said[0])
    told = json.loads(answer.splitlines()[-1])
    took = time.monotonic() - begun
    ours = told["cpu"] + children_at_work() - beside  # a server of the workload is a child of this process
    others = ((cpu_used() or 0.0) - used_before - ours) / took
    return Took(told["seconds"], Choice(*told["chose"]), tuple(told["why"]), others=others)


def _child() -> None:
    import atonce

    name, choice, items = json.loads(sys.stdin.read())
    fn, options = find(name).make(), Choice(*choice).options
    print("begin", flush=True)
    cpu, begun = _cpu(), time.perf_counter()
    outcome = atonce.run(fn, items, **options)
    seconds = time.perf_counter() - begun
    if outcome.failures:
        raise outcome.failures[0].error or RuntimeError("failed")
    plan, slots = outcome.plan, outcome.plan.concurrency
    if plan.most is not None and outcome.stats.limit is not None:  # where an adaptive limit has ended
        slots = max(1, round(outcome.stats.limit / plan.parallelism))
    if process := sys.modules.get("atonce.placement.process"):
        process.shut_down()  # the CPU of its workers is known when it has ended
    told = {"seconds": seconds, "chose": [plan.model, plan.parallelism, slots], "why": plan.reasons, "cpu": _cpu() - cpu}
    print("\n" + json.dumps(told))


def _cpu() -> float:
    """Of this process and of children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
