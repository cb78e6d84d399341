"""The plan of a model that is named: its point on the two axes, or why it cannot be."""

from __future__ import annotations

import sys

from ..errors import PlanError
from ..options import CLUSTERS, Options
from .function import Facts
from .machine import gil_enabled, usable_descriptors
from .plan import Plan

__all__ = ["COROUTINES", "MOST_COROUTINES", "MOST_DEPTH", "MOST_THREADS", "THREADS", "in_threads", "plan_for"]

# Slots when nobody says how many. These are guesses that serve most: 32 threads are what the standard library allows at
# most by default, 64 coroutines keep a server of a few ms busy from one core. They are where a run begins (docs/limit.md).
THREADS = 32
COROUTINES = 64
# How many they may become. A thread keeps a stack (512 that sleep: 5 MB more than 256) and a turn at the GIL, and beyond 512 it
# gains nothing (2 000 sleeps of 50 ms: 0.62 s with 256, 0.47 with 512 and with 1 000); a coroutine keeps mostly a descriptor,
# of which the half are left to others.
MOST_THREADS = 512
MOST_COROUTINES = 1000
# Workers of workers, and no deeper: processes at each depth multiply, and a function that calls itself by way of atonce would
# never end.
MOST_DEPTH = 2
# What every model that lives in the caller's process must say
_MORTAL = ("an item that ends the process (os._exit, a crash) ends the run: only processes and hybrid survive that",)
_NO_GIL = "there is no GIL: its workers are threads of this process, and nothing is carried"
_MORTAL_THREADS = ("an item that ends the process (os._exit, a crash) ends the run: here only processes survive that",)


def plan_for(model: str, facts: Facts, options: Options, cpus: int, reasons: tuple[str, ...] = (), *, depth: int = 0) -> Plan:
    """The plan of a named model, or PlanError where the options and the function cannot go with it."""
    reasons = reasons or (f"model={model!r} was asked for",)
    p, c = options.parallelism, options.concurrency
    if model in CLUSTERS:
        return _on_cluster(model, facts, options, cpus, reasons, depth)
    if model in ("sync", "coroutines", "threads") and p not in ("auto", 1):
        _no(f"model={model!r} lives in one process, so parallelism={p} cannot be", 'model="hybrid" or "processes"')
    if model in ("sync", "coroutines", "threads") and options.recycles:
        _no(
            f"model={model!r} lives in this process, which cannot be replaced: "
            "max_tasks_per_worker= and max_worker_memory= mean worker processes",
            'model="processes" or "hybrid"',
        )
    if model in ("sync", "processes", "interpreters") and c not in ("auto", 1):
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
    if model == "interpreters":
        return _in_interpreters(facts, options, workers, reasons, notes)
    if model == "processes":
        if facts.kind == "own":
            _no(f"{facts.name} brings an event loop: one item at a time would waste it", 'model="hybrid"')
        return Plan(model, "process", "call", workers, 1, reasons, notes)
    runner = facts.runner or ("coroutine" if facts.kind == "async" else "thread")
    slots, most = _slots(runner, c)
    if in_threads(gil_enabled(), options):
        return Plan(model, "thread", runner, workers, slots, (*reasons, _NO_GIL), (*notes, *_MORTAL_THREADS), most=most)
    return Plan(model, "process", runner, workers, slots, reasons, notes, most=most)


def in_threads(gil: bool, options: Options) -> bool:
    """Whether the workers of `hybrid` may be threads of this process: those run in parallel where there is no GIL."""
    return not gil and not options.recycles


def _in_interpreters(facts: Facts, options: Options, workers: int, reasons: tuple[str, ...], notes: tuple[str, ...]) -> Plan:
    """Each has a GIL of its own; they share this process, so nobody can end one."""
    if sys.version_info < (3, 14):
        _no(
            f"interpreters need Python 3.14 or newer, and this is {sys.version_info.major}.{sys.version_info.minor}",
            'model="processes"',
        )
    if facts.kind == "own":
        _no(f"{facts.name} brings an event loop: one item at a time would waste it", 'model="hybrid"')
    if options.timeout is not None:
        _no(
            'model="interpreters" cannot keep timeout=: an interpreter cannot be ended from outside',
            'model="processes" (it is killed)',
        )
    if options.recycles:
        _no("max_tasks_per_worker= and max_worker_memory= mean worker processes", 'model="processes"')
    return Plan("interpreters", "interpreter", "call", workers, 1, reasons, (*notes, *_MORTAL))


def _on_cluster(model: str, facts: Facts, options: Options, cpus: int, reasons: tuple[str, ...], depth: int) -> Plan:
    """Any runner may be inside. How many workers, where nobody says, is known when the cluster has answered: 0 until then.

    In a worker of another run it happens right there: a run that waits for room on a cluster that it fills itself would
    wait for ever.
    """
    p, c = options.parallelism, options.concurrency
    runner = facts.runner or ("coroutine" if facts.kind == "async" else "call" if c in ("auto", 1) else "thread")
    if depth:
        inside = "coroutines" if facts.kind in ("async", "own") else "sync" if runner == "call" else "threads"
        inside = "threads" if inside == "sync" and options.timeout is not None else inside
        why = f"model={model!r} was asked for in a worker of another run: its place is all there is"
        return plan_for(inside, facts, options.but(model=inside, cluster=None, parallelism="auto"), cpus, (why,), depth=depth)
    slots, most = (1, None) if runner == "call" else _slots(runner, c)
    return Plan(model, model, runner, 0 if p == "auto" else p, slots, reasons, most=most)


def _slots(runner: str, concurrency: int | str) -> tuple[int, int | None]:
    """How many slots a worker has, and how many it may get where nobody says."""
    if isinstance(concurrency, int):
        return concurrency, None
    start, most = (THREADS, MOST_THREADS) if runner == "thread" else (COROUTINES, MOST_COROUTINES)
    most = max(1, min(most, usable_descriptors() // 2))
    return min(start, most), most


def _no(what: str, hint: str) -> None:
    raise PlanError(what, hint=hint)
