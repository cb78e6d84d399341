"""The plan before anything is measured: pure functions from facts and options. A module of its own, since most of what weighs
measurements (`advice.py`) need not be loaded by a run that measures nothing."""

from __future__ import annotations

import dataclasses

from ..options import Options
from .function import Facts
from .models import plan_for
from .plan import Plan

__all__ = ["first_plan", "probing_plan"]


def first_plan(facts: Facts, options: Options, cpus: int, *, depth: int = 0) -> Plan:
    """The plan, or for `auto` one that runs the first items to measure them.

    `depth` says in how many workers of other runs, one inside the other, this is planned.
    """
    if options.model != "auto":
        return plan_for(options.model, facts, options, cpus, depth=depth)
    if options.recycles:
        several = facts.kind in ("async", "own") or options.concurrency not in ("auto", 1)
        reason = "only a worker process can be replaced, as max_tasks_per_worker= or max_worker_memory= asks"
        return plan_for("hybrid" if several else "processes", facts, options, cpus, (reason,), depth=depth)
    if facts.kind == "own":
        return plan_for("coroutines", facts, options, cpus, (f"{facts.name} brings an event loop of its own",))
    if options.parallelism != "auto":
        inner = options.concurrency
        model = "processes" if inner in ("auto", 1) else "hybrid"
        return plan_for(model, facts, options, cpus, (f"parallelism={options.parallelism} asks for processes",), depth=depth)
    if facts.kind == "async":
        # its first items run as they will if nothing speaks against it: many at once, in one loop
        plan = plan_for("coroutines", facts, options, cpus, (f"{facts.name} is an async def: one loop, many waits",))
        return dataclasses.replace(plan, probing=True)
    return Plan("auto", "here", "thread", 1, 1, (f"{facts.name} is a plain function: its first items tell",), probing=True)


def probing_plan(facts: Facts, options: Options, cpus: int) -> Plan:
    """The plan that only measures, whatever the model: `explain` runs a few items under it. One that brings an event loop of
    its own cannot be measured so: its plan is what it would be."""
    if facts.kind == "own":
        return first_plan(facts, options, cpus)
    return first_plan(facts, Options(setup=options.setup), cpus)
