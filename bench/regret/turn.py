"""One timed run in a fresh interpreter, and all of a workload's runs in their order."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .grid import AUTO, FAR, Choice, Result, Widths, finalists, grid, result_of
from .workloads import Workload, find

__all__ = ["Took", "measure", "run"]

# Seconds that the best of all may take, and for which everything else is waited beyond its share of that.
PATIENCE, MARGIN = 60.0, 1.0


class Took(NamedTuple):
    """`seconds` are infinite where it failed (`error`) or took longer than was waited for; `chose` is the point that was run in
    the end, and `why` the plan's reasons."""

    seconds: float
    chose: Choice
    why: tuple[str, ...] = ()
    error: str = ""


def measure(workload: Workload, n: int, rounds: int, rng: random.Random, cpus: int) -> Result:
    """Every point of the grid once, then the best of them, the one that auto chose and auto itself in turns.

    A point that fails cannot be, as processes cannot where nothing can be pickled. Raises RuntimeError where auto itself fails.
    """
    with workload.items(n) as items, _no_cache() as cache:
        first = run(workload, AUTO, items, PATIENCE, cache)
        if first.error:
            raise RuntimeError(first.error)
        once: dict[Choice, float] = {}
        best = first.seconds
        for points in grid(n, cpus, is_async=workload.is_async).values():
            widths = Widths(points)
            while (point := widths.next()) is not None:
                once[point] = run(workload, point, items, FAR * best + MARGIN, cache).seconds
                best = min(best, once[point])
                widths.took(once[point], best)
        turns: dict[Choice, list[float]] = {point: [] for point in (AUTO, *finalists(once, first.chose))}
        for _ in range(rounds):
            for point in rng.sample(list(turns), len(turns)):
                turns[point].append(run(workload, point, items, 2 * FAR * best + MARGIN, cache).seconds)
    return result_of(workload.name, n, first.chose, once, turns, first.why)


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
        over = threading.Event()

        def end() -> None:
            over.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(patience, end)
        try:
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(order)
            if process.stdout.readline():  # it has imported what it needs, and begins
                timer.start()
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
    return Took(told["seconds"], Choice(*told["chose"]), tuple(told["why"]))


def _child() -> None:
    import atonce

    name, choice, items = json.loads(sys.stdin.read())
    fn, options = find(name).make(), Choice(*choice).options
    print("begin", flush=True)
    begun = time.perf_counter()
    outcome = atonce.run(fn, items, **options)
    seconds = time.perf_counter() - begun
    if outcome.failures:
        raise outcome.failures[0].error or RuntimeError("failed")
    plan, slots = outcome.plan, outcome.plan.concurrency
    if plan.most is not None and outcome.stats.limit is not None:  # where an adaptive limit has ended
        slots = max(1, round(outcome.stats.limit / plan.parallelism))
    told = {"seconds": seconds, "chose": [plan.model, plan.parallelism, slots], "why": plan.reasons}
    print("\n" + json.dumps(told))
