"""Which point on the two axes: pure functions from facts, options and one measured item to a plan.

model        placement  runner                            P      C
sync         here       call                              1      1
coroutines   here       coroutine, or a transport's own   1      n
threads      here       thread                            1      n
processes    process    call                              n      1
hybrid       process    coroutine, thread or own          n      m
"""

from __future__ import annotations

import dataclasses

from ..errors import PlanError
from ..options import Options
from .function import Facts
from .machine import usable_descriptors
from .plan import Plan

__all__ = [
    "COROUTINES",
    "MOST_COROUTINES",
    "MOST_DEPTH",
    "MOST_THREADS",
    "THREADS",
    "Sample",
    "after_first_item",
    "first_plan",
    "plan_for",
]

# Slots when nobody says how many. These are guesses that serve most: 32 threads are what the standard library allows at
# most by default, 64 coroutines keep a server of a few ms busy from one core. They are where a run begins (docs/limit.md).
THREADS = 32
COROUTINES = 64
# How many they may become. A thread keeps a stack and a turn at the GIL; a coroutine mostly a descriptor, of which the half
# are left to others.
MOST_THREADS = 256
MOST_COROUTINES = 1000
# An item that spends less of its time than this computing is waiting for something. Not a half: on a busy machine an item
# that computes waits for a core as well.
WAITING = 0.3
# Seconds of work in all under which nothing but the plain loop pays (starting a worker costs 10 to 100 ms).
WORTH_WORKERS = 0.2
# Seconds an item, on average, under which another thread costs more than it saves.
WORTH_THREADS = 50e-6

# Workers of workers, and no deeper: processes at each depth multiply, and a function that calls itself by way of atonce would
# never end.
MOST_DEPTH = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """The first item, measured: `wall` and `cpu` seconds; `stuck` says why it cannot go to another process, if so."""

    wall: float
    cpu: float
    stuck: str | None = None


def first_plan(facts: Facts, options: Options, cpus: int, *, depth: int = 0) -> Plan:
    """The plan, or for `auto` with a sync function one that runs the first item to measure it.

    `depth` says in how many workers of other runs, one inside the other, this is planned.
    """
    if options.model != "auto":
        return plan_for(options.model, facts, options, cpus, depth=depth)
    if options.recycles:
        several = facts.kind in ("async", "own") or options.concurrency not in ("auto", 1)
        reason = "only a worker process can be replaced, as max_tasks_per_worker= or max_worker_memory= asks"
        return plan_for("hybrid" if several else "processes", facts, options, cpus, (reason,), depth=depth)
    if facts.kind == "async":
        return plan_for("coroutines", facts, options, cpus, (f"{facts.name} is an async def: one loop, many waits",))
    if facts.kind == "own":
        return plan_for("coroutines", facts, options, cpus, (f"{facts.name} brings an event loop of its own",))
    if options.parallelism != "auto":
        inner = options.concurrency
        model = "processes" if inner in ("auto", 1) else "hybrid"
        return plan_for(model, facts, options, cpus, (f"parallelism={options.parallelism} asks for processes",), depth=depth)
    return Plan("auto", "here", "thread", 1, 1, (f"{facts.name} is a plain function: its first item tells",), probing=True)


def after_first_item(facts: Facts, options: Options, cpus: int, sample: Sample, left: int | None, *, depth: int = 0) -> Plan:
    """What the first item says. `left` is the number of items that remain, None when unknown.

    Waiting (CPU under 30 % of the wall time): threads. Computing: processes, when there is more than one core and enough
    work to pay for starting them. Too little of either: the plain loop.
    """
    wall, cpu = sample.wall, sample.cpu
    share = cpu / wall if wall > 0 else 1.0
    measured = f"the first item took {_seconds(wall)}, {100 * min(1.0, share):.0f} % of it computing"
    work = None if left is None else wall * left
    if left == 0:
        return _alone(facts, options, cpus, (measured, "it was the only one"))
    if options.concurrency != "auto":
        reason = f"concurrency={options.concurrency} asks for several in flight"
        return plan_for("threads", facts, options, cpus, (measured, reason))
    tiny = (measured, f"under {_seconds(WORTH_THREADS)} an item a hand-over costs more than it saves")
    if wall < WORTH_THREADS and options.timeout is None:
        return plan_for("sync", facts, options, cpus, tiny)
    if share < WAITING:
        reason = "it mostly waits, so threads can wait at once"
        return plan_for("threads", facts, options, cpus, (measured, reason))
    if cpus == 1:
        reason = "it computes, and there is one core: nothing can run beside it"
        return _alone(facts, options, cpus, (measured, reason))
    if depth:
        reason = "it computes, and it runs in a worker of another run: the other cores are the other workers'"
        return _alone(facts, options, cpus, (measured, reason))
    if sample.stuck is not None:
        reason = f"it computes, but {sample.stuck}, so it cannot run in another process"
        return _alone(facts, options, cpus, (measured, reason))
    if work is not None and work < WORTH_WORKERS:
        reason = f"{left} more make {_seconds(work)}: not worth starting processes (over {_seconds(WORTH_WORKERS)} would be)"
        return _alone(facts, options, cpus, (measured, reason))
    reason = f"it computes, so {cpus} processes on {cpus} cores share it; the GIL would serialise threads"
    plan = plan_for("processes", facts, options, cpus, (measured, reason))
    return dataclasses.replace(plan, warnings=(*plan.warnings, _WARMING))


def _alone(facts: Facts, options: Options, cpus: int, reasons: tuple[str, ...]) -> Plan:
    """One at a time; in a thread when a timeout must be kept, since a plain call cannot be left."""
    if options.timeout is None:
        return plan_for("sync", facts, options, cpus, reasons)
    return plan_for("threads", facts, options.but(concurrency=1), cpus, (*reasons, "one thread, so that timeout= holds"))


def plan_for(model: str, facts: Facts, options: Options, cpus: int, reasons: tuple[str, ...] = (), *, depth: int = 0) -> Plan:
    """The plan of a named model, or PlanError where the options and the function cannot go with it."""
    reasons = reasons or (f"model={model!r} was asked for",)
    p, c = options.parallelism, options.concurrency
    if model in ("sync", "coroutines", "threads") and p not in ("auto", 1):
        _no(f"model={model!r} lives in one process, so parallelism={p} cannot be", 'model="hybrid" or "processes"')
    if model in ("sync", "coroutines", "threads") and options.recycles:
        _no(
            f"model={model!r} lives in this process, which cannot be replaced: "
            "max_tasks_per_worker= and max_worker_memory= mean worker processes",
            'model="processes" or "hybrid"',
        )
    if model in ("sync", "processes") and c not in ("auto", 1):
        _no(
            f"model={model!r} runs one item at a time in a worker, so concurrency={c} cannot be",
            'model="threads" or "hybrid"; parallelism= for more processes',
        )
    if model == "sync":
        if facts.kind == "own":
            _no(f"{facts.name} brings an event loop, which sync does not have", 'model="coroutines", concurrency=1')
        if options.timeout is not None:
            _no(
                'model="sync" cannot keep timeout=: a call in your own thread cannot be ended from outside',
                'model="threads", concurrency=1 (the thread is left behind) or model="processes" (it is killed)',
            )
        return Plan(model, "here", "call", 1, 1, reasons, _MORTAL)
    if model == "threads":
        if facts.kind == "own":
            _no(f"{facts.name} brings an event loop, so threads of it cannot be", 'model="coroutines" or "hybrid"')
        slots, most = _slots("thread", c)
        return Plan(model, "here", "thread", 1, slots, reasons, _MORTAL, most=most)
    if model == "coroutines":
        if facts.kind == "sync":
            _no(
                f"{facts.name} is a plain def: in an event loop each call would block all others",
                'model="threads", or make it an async def',
            )
        runner = facts.runner or "coroutine"
        slots, most = _slots(runner, c)
        return Plan(model, "here", runner, 1, slots, reasons, _MORTAL, most=most)
    if depth >= MOST_DEPTH:
        _no(
            f"this runs in a worker of a worker: model={model!r} would start processes at depth {depth + 1}, "
            f"and {MOST_DEPTH} is the most",
            'model="sync" or "threads" for the innermost run, or "auto", which chooses so by itself in a worker',
        )
    workers = cpus if p == "auto" else p
    notes: tuple[str, ...] = ()
    if depth and workers > cpus:
        cores = f"{cpus} core{'s' if cpus > 1 else ''}"
        notes = (f"parallelism={p} inside a worker of another run, whose share is {cores}: it gets {cpus}",)
        workers = cpus
    if model == "processes":
        if facts.kind == "own":
            _no(f"{facts.name} brings an event loop: one item at a time would waste it", 'model="hybrid"')
        return Plan(model, "process", "call", workers, 1, reasons, notes)
    runner = facts.runner or ("coroutine" if facts.kind == "async" else "thread")
    slots, most = _slots(runner, c)
    return Plan(model, "process", runner, workers, slots, reasons, notes, most=most)


def _slots(runner: str, concurrency: int | str) -> tuple[int, int | None]:
    """How many slots a worker has, and how many it may get where nobody says."""
    if isinstance(concurrency, int):
        return concurrency, None
    start, most = (THREADS, MOST_THREADS) if runner == "thread" else (COROUTINES, MOST_COROUTINES)
    most = max(1, min(most, usable_descriptors() // 2))
    return min(start, most), most


# what every model that lives in the caller's process must say
_MORTAL = ("an item that ends the process (os._exit, a crash) ends the run: only processes and hybrid survive that",)

_WARMING = 'items run in this process until the workers are up: model="processes" keeps every item out of it'


def _no(what: str, hint: str) -> None:
    raise PlanError(what, hint=hint)


def _seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"
