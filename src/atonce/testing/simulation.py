"""A whole run in fake time: the engine is the real one, only the clock and the workers are not."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable
from typing import Any

from ..engine.conductor import Conductor
from ..engine.drive import drive
from ..engine.pressure import Gauge
from ..options import Options
from ..outcome import Outcome, Run
from ..plan.function import Facts
from ..plan.machine import Machine
from ..plan.plan import Plan
from ..source import Source, length_of
from ..worker.job import Job
from .clock import FakeClock, FakeHub
from .placement import FakePlacement

__all__ = ["simulate"]


def simulate(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    /,
    *,
    seconds: float | Callable[[Any], float] = 0.0,
    placement: FakePlacement | None = None,
    clock: FakeClock | None = None,
    seen: Callable[[Outcome[Any]], None] | None = None,
    most: int | None = None,
    **options: Any,
) -> Run[Any]:
    """`atonce.run(fn, items, **options)` where each item takes `seconds` (a number, or a function of the item) that nobody
    waits for.

    `fn` is called when an item starts, in this thread; it may raise `Dies` or `Hangs`. `parallelism` and `concurrency` are
    the workers and the slots of each (default 1); `model`, `setup`, `progress` and `journal` have no meaning here.
    `placement`: a `FakePlacement` to look into afterwards, instead of `seconds`. `clock`: one to move on. `seen`: called with
    each outcome as it becomes final, on the run's clock. `most`: let the run find out how many slots a worker should have, up
    to that (docs/limit.md). Raises `Stuck` where the run would never end.
    """
    told = Options.of(options, environment={})
    clock = FakeClock() if clock is None else clock
    hub = FakeHub(clock)
    workers = 1 if told.parallelism == "auto" else told.parallelism
    slots = 1 if told.concurrency == "auto" else told.concurrency
    placement = FakePlacement(seconds) if placement is None else placement
    outcomes: list[Outcome[Any]] = []
    with placement.installed():
        conductor = Conductor(
            Job(fn, None, told.timeout, contextvars.copy_context()),
            Facts(getattr(fn, "__qualname__", "fn"), "sync"),
            told,
            Plan("fake", "fake", "thread", workers, slots, ("it is simulated",), most=most),
            Source(items),
            hub,
            ordered=bool(told.ordered),
            total=length_of(items),
            cpus=workers,
            clock=clock,
            gauge=_calm,
        )
        for batch in drive(conductor):
            outcomes += batch
            for outcome in batch:
                if seen is not None:
                    seen(outcome)
    return Run(sorted(outcomes, key=lambda outcome: outcome.index), conductor.plan, conductor.stats())


def _calm(now: float) -> Gauge:
    """A machine that has enough of everything: the real one is in other time."""
    return Gauge(now, around=lambda: Machine(1), opened=lambda: 0, used=lambda: 0.0)
