"""Which point on the two axes: pure functions from facts, options and measured items to a plan.

model        placement  runner                            P      C      predicted seconds for N items
sync         here       call                              1      1      N·w
coroutines   here       coroutine, or a transport's own   1      n      max(N·c, N·w/C), c with all that blocks the loop
threads      here       thread                            1      n      max(N·h, N·c/cores, N·w/C)
processes    process    call                              n      1      T0 + max(N·(c+e)/min(W, cores), N·w/W, N·d) + tail
hybrid       process    coroutine, thread or own          n      m      T0 + max(N·c/min(W, cores), N·w/(W·C), N·d) + tail
             thread     where there is no GIL             n      m      max(N·c/min(W, cores), N·w/(W·C)) + tail

w wall, c CPU, h GIL-holding seconds an item; d and e what carrying it costs the near and the far side; T0 the start-up of
the workers. A model further down is taken only when it gains more than 15 % and 0.3 s over those above it.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence

from ..errors import PlanError
from ..options import CLUSTERS, Options
from .calibration import ASSUMED, Calibration
from .function import Facts
from .machine import Machine, gil_enabled, usable_descriptors
from .plan import Candidate, Plan, in_time
from .probe import BUSY, COMPUTES, LEAST_GAIN, LONG_WAIT, WAITS
from .sample import Sample

__all__ = [
    "COROUTINES",
    "KINDS_OF_WORK",
    "LEAST_SHARE",
    "MOST_COROUTINES",
    "MOST_DEPTH",
    "MOST_THREADS",
    "THREADS",
    "advise",
    "first_plan",
    "kind_of_work",
    "plan_for",
    "predict",
    "probing_plan",
]

# Slots when nobody says how many. These are guesses that serve most: 32 threads are what the standard library allows at
# most by default, 64 coroutines keep a server of a few ms busy from one core. They are where a run begins (docs/limit.md).
THREADS = 32
COROUTINES = 64
# How many they may become. A thread keeps a stack and a turn at the GIL; a coroutine mostly a descriptor, of which the half
# are left to others.
MOST_THREADS = 256
MOST_COROUTINES = 1000
# Of an item's time, so little computing that it does nothing but wait, and how many times as many of those begin: what Little's
# law allows, up to that. A growing limit finds it as well, but three latencies later. Not more, since a server may be behind
# it that nobody has heard yet; with `key=` there certainly is one, and there it does not hold.
ONLY_WAITS, MORE_TO_BEGIN = 0.02, 4
# What a model must gain over a simpler one: this share of its time and, so that a short run stays simple, `LEAST_GAIN`.
LEAST_SHARE = 0.15
# Of an item's CPU, so much with the GIL held means that threads take turns.
HOLDS = 0.5
# Of an item's time, so much computing means that it does nothing else worth speaking of.
ALL_CPU = 0.75
# The same on a busy machine, where not all of the time without a core is told.
ALL_CPU_BUSY = 0.6
# Of an item's time, so much CPU of child processes means that it waits for them to compute: they may have waited for a core.
CHILDREN = 0.2
# An event loop that could do nothing else for more than this share of an item's time is blocked; items under a millisecond
# do that by being short.
BLOCKED, BLOCKED_WALL = 0.5, 0.001
# Slots beyond Little's law, since items differ and a slot that ends early must not wait for the others.
SPARE = 1.5
# How many items are assumed where nobody can know, in seconds of work.
ENDLESS = 60.0
# Workers of workers, and no deeper: processes at each depth multiply, and a function that calls itself by way of atonce would
# never end.
MOST_DEPTH = 2
# Bytes of an item's memory above which it bounds the slots.
HEAVY = 1 << 20

KINDS_OF_WORK = {
    "waits": "it waits",
    "holds the GIL": "it computes and holds the GIL, so threads would take turns",
    "releases the GIL": "it computes outside the GIL, so threads run side by side",
    "mixed": "it computes and waits",
    "too small": "it is too small: handing an item over costs as much as running it",
    "blocks its loop": "it is async in name only: its event loop can do nothing else meanwhile",
}


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


def kind_of_work(facts: Facts, machine: Machine, sample: Sample, calibration: Calibration = ASSUMED) -> str:
    """One of `KINDS_OF_WORK`."""
    if facts.kind == "async" and (sample.blocked or 0.0) > BLOCKED and sample.wall > BLOCKED_WALL:
        return "blocks its loop"
    if sample.wall - calibration.call < 2 * (
        calibration.near + calibration.far
    ):  # what is measured includes the loop around it
        return "too small"
    if sample.elsewhere > CHILDREN * sample.wall and sample.elsewhere > sample.cpu:
        return "releases the GIL"
    if sample.share < WAITS:
        return "waits"
    if sample.share < (ALL_CPU if sample.busy < BUSY else ALL_CPU_BUSY):
        return "waits" if sample.share < COMPUTES and not _holds(machine, sample) else "mixed"
    return "holds the GIL" if _holds(machine, sample) else "releases the GIL"


def _holds(machine: Machine, sample: Sample) -> bool:
    return machine.gil and _held(machine, sample) > HOLDS * sample.total


def _held(machine: Machine, sample: Sample) -> float:
    """Seconds an item holds the GIL; all its own CPU where that was not measured."""
    if not machine.gil:
        return 0.0
    return sample.cpu if sample.held is None else min(sample.held, sample.cpu)


# ── the cost model ───────────────────────────────────────────────────────────────────────────────────────────────────


def predict(
    facts: Facts, options: Options, machine: Machine, sample: Sample, n: float, calibration: Calibration = ASSUMED
) -> list[Candidate]:
    """Every model that could be, simplest first, with what the formulas above say for `n` items."""
    wall, cpu, cores = max(sample.wall, 1e-9), sample.total, machine.cpus
    held = _held(machine, sample)
    bandwidth = sample.inflation if machine.gil else 1.0
    found = []
    if facts.kind != "async":
        found.append(Candidate("sync", 1, 1, n * (wall + calibration.call)))
    if facts.kind == "async":
        slots = _useful_slots("coroutine", options, machine, sample, n, math.inf)  # an idle one costs nothing
        loop = _in_loop(sample)
        found.append(Candidate("coroutines", 1, slots, n * max(loop, wall / slots, calibration.coroutine)))
    slots = _useful_slots("thread", options, machine, sample, n, _little(cores, cpu, held, wall))
    side_by_side = wall / sample.gain if sample.gain is not None and not machine.gil and sample.gain < 1.6 else 0.0
    each = max(held, cpu * sample.inflation / cores, wall / slots, side_by_side)
    found.append(Candidate("threads", 1, slots, n * (each + calibration.thread)))
    if cores > 1 and not machine.depth:  # in a worker of another run the other cores are the other workers'
        found += _with_processes(facts, options, machine, sample, n, calibration, bandwidth)
    return found


def _with_processes(
    facts: Facts, options: Options, machine: Machine, sample: Sample, n: float, calibration: Calibration, bandwidth: float
) -> list[Candidate]:
    wall, cpu, cores = max(sample.wall, 1e-9), sample.total * bandwidth, machine.cpus
    if sample.stuck is not None:
        return [Candidate("processes", cores, 1, math.inf, sample.stuck)]
    carried = sample.carry.seconds if sample.carry is not None else 0.0
    near, far = calibration.near + carried, calibration.far + carried
    # what the first call of a fresh worker takes longer than later ones is start-up
    cold = max(0.0, (sample.cold or 0.0) - 2 * wall) if sample.items > 1 else 0.0
    start = calibration.start + calibration.worker * (cores - 1) + cold
    workers = int(min(cores, max(1, n)))
    tail = min(wall, n * wall / workers)
    # the near side takes part in the cores, too
    each = max((cpu + far + near) / workers, wall / workers, near)
    found = [Candidate("processes", workers, 1, start + n * each + tail)]
    if in_threads(machine.gil, options):
        return found + _with_loops(facts, options, machine, sample, n, calibration)
    held = _held(machine, sample)
    parallel = max(1, min(cores, math.ceil(cores * held / cpu))) if cpu > 0 else 1
    runner = "coroutine" if facts.kind == "async" else "thread"
    # as many in flight in all as one process would be given: more of them is not what more processes are for
    slots = _useful_slots(runner, options, machine, sample, n, _little(cores, cpu, held / parallel, wall))
    slots = slots if options.concurrency != "auto" else math.ceil(slots / parallel)
    if parallel > 1 and slots > 1:
        loop = _in_loop(sample) if runner == "coroutine" else 0.0
        each = max((cpu + far + near) / parallel, loop / parallel, wall / (parallel * slots), near)
        found.append(Candidate("hybrid", parallel, slots, start + n * each + min(wall, n * wall / parallel)))
    return found


def _with_loops(
    facts: Facts, options: Options, machine: Machine, sample: Sample, n: float, calibration: Calibration
) -> list[Candidate]:
    """`hybrid` without a GIL: an event loop is one thread, and one core, but nothing need be carried to the next one.

    For plain functions it would be what `threads` is.
    """
    loop, parallel = _in_loop(sample), int(min(machine.cpus, max(1, n)))
    if facts.kind != "async" or parallel < 2:
        return []
    slots = _useful_slots("coroutine", options, machine, sample, n, math.inf)
    slots = slots if options.concurrency != "auto" else math.ceil(slots / parallel)
    each = max(loop / parallel, sample.total / machine.cpus, sample.wall / (parallel * slots), calibration.coroutine)
    return [Candidate("hybrid", parallel, slots, n * each + min(sample.wall, n * sample.wall / parallel))]


def in_threads(gil: bool, options: Options) -> bool:
    """Whether the workers of `hybrid` may be threads of this process: those run in parallel where there is no GIL."""
    return not gil and not options.recycles


def _in_loop(sample: Sample) -> float:
    """Seconds an item keeps its event loop from anything else."""
    return max(sample.cpu, (sample.blocked or 0.0) * sample.wall if sample.wall > BLOCKED_WALL else 0.0)


def _little(cores: int, cpu: float, held: float, wall: float) -> float:
    """Slots in flight that sustain what the cores and the GIL allow (Little's law): X·w with X = min(cores/c, 1/h)."""
    rate = min(cores / cpu if cpu > 0 else math.inf, 1 / held if held > 0 else math.inf)
    return rate * wall


def _useful_slots(runner: str, options: Options, machine: Machine, sample: Sample, n: float, useful: float) -> int:
    """How many of them: what is useful and a few to spare, bounded by items, descriptors, memory and what a guess may be."""
    if options.concurrency != "auto":
        return options.concurrency
    most = THREADS if runner == "thread" else COROUTINES
    if sample.share < ONLY_WAITS and options.key is None:
        allowed = _little(machine.cpus, sample.total, _held(machine, sample), sample.wall)
        most = int(max(most, min(allowed, MORE_TO_BEGIN * most)))
    if machine.descriptors is not None:
        most = min(most, max(1, machine.descriptors // 2))
    if machine.memory is not None and sample.growth > HEAVY:
        most = min(most, max(1, int(0.8 * machine.memory / sample.growth)))
    spare = SPARE if sample.share < ALL_CPU else 1.0
    # a tenth of slack: 2.04 measured is 2 meant
    wanted = math.ceil(spare * useful - 0.1) if useful < most else most
    return int(max(1, min(most, wanted, math.ceil(min(n, most)))))


def _pick(candidates: Sequence[Candidate], sample: Sample) -> Candidate:
    """The simplest one that no other beats by more than 15 % and 0.3 s; a long wait beats one by one whatever it gains.

    Of an item that still waits nobody knows what it computes: what it has until now is mostly what only the first one does,
    and no reason for processes.
    """
    best = candidates[0]
    for each in candidates[1:]:
        if each.parallelism > 1 and sample.unfinished and sample.share < WAITS:
            continue
        gain = best.seconds - each.seconds
        waits = best.concurrency == 1 and each.parallelism == 1 and sample.wall > LONG_WAIT and sample.share < WAITS
        if gain > LEAST_SHARE * best.seconds and (gain > LEAST_GAIN or waits):
            best = each
    return best


# ── the advice ───────────────────────────────────────────────────────────────────────────────────────────────────────


def advise(
    facts: Facts, options: Options, machine: Machine, sample: Sample, left: int | None, calibration: Calibration = ASSUMED
) -> Plan:
    """What the measured items say. `left` is the number of items that remain, None when unknown (then: many)."""
    if not sample.items:
        plan = first_plan(facts, options, machine.cpus, depth=machine.depth)
        plan = _alone(facts, options, machine.cpus, ()) if plan.probing and facts.kind != "async" else plan
        return dataclasses.replace(plan, probing=False, reasons=("there were no items to measure",))
    work = kind_of_work(facts, machine, sample, calibration)
    measured = _measured(machine, sample)
    asked = first_plan(facts, options, machine.cpus, depth=machine.depth)
    if not asked.probing:
        plan = dataclasses.replace(asked, reasons=(measured, KINDS_OF_WORK[work], *asked.reasons))
        return _filled(plan, facts, options, machine, sample, left, calibration, work, None)
    if left == 0 and not sample.unfinished:
        plan = _alone(facts, options, machine.cpus, (measured, "there are no more items"))
        return _filled(plan, facts, options, machine, sample, left, calibration, work, None)
    n = _many(sample) if left is None else left + sample.unfinished
    candidates = predict(facts, options, machine, sample, n, calibration)
    if options.concurrency != "auto":
        model = "coroutines" if facts.kind == "async" else "threads"
        reason = f"concurrency={options.concurrency} asks for several in flight"
        plan = plan_for(model, facts, options, machine.cpus, (measured, KINDS_OF_WORK[work], reason))
        chosen = next(each for each in candidates if each.model == model)
        return _filled(plan, facts, options, machine, sample, left, calibration, work, chosen)
    chosen = _pick(candidates, sample)
    reasons = [measured, KINDS_OF_WORK[work], *_compared(chosen, candidates, n, left)]
    if machine.cpus == 1 and work == "holds the GIL":
        reasons.append("there is one core: nothing can run beside it")
    if machine.depth and sample.share > COMPUTES:
        reasons.append("it runs in a worker of another run: the other cores are the other workers'")
    if sample.stuck is not None and sample.share > COMPUTES:
        reasons.append(f"{sample.stuck}, so it cannot run in another process")
    if flip := _flip(facts, options, machine, sample, n, calibration, chosen):
        reasons.append(flip)
    if chosen.parallelism > 1 and calibration.assumed:
        reasons.append(f"that workers start in {in_time(calibration.start)} is assumed: atonce.explain measures it")
    if chosen.model == "sync":
        plan = _alone(facts, options, machine.cpus, tuple(reasons))
    else:
        plan = plan_for(chosen.model, facts, options, machine.cpus, tuple(reasons))
        # what waits finds out while it runs how many are best; for what computes that is known
        adapts = plan.most is not None and sample.share < ALL_CPU
        most = max(plan.most or 0, chosen.concurrency) if adapts else None
        plan = dataclasses.replace(plan, parallelism=chosen.parallelism, concurrency=chosen.concurrency, most=most)
    if plan.placement == "process":
        plan = dataclasses.replace(plan, warnings=(*plan.warnings, _WARMING))
    return _filled(plan, facts, options, machine, sample, left, calibration, work, chosen)


def _filled(
    plan: Plan,
    facts: Facts,
    options: Options,
    machine: Machine,
    sample: Sample,
    left: int | None,
    calibration: Calibration,
    work: str,
    chosen: Candidate | None,
) -> Plan:
    n = _many(sample) if left is None else left + sample.unfinished
    ranked = sorted(predict(facts, options, machine, sample, n, calibration), key=lambda each: each.seconds)
    found = chosen or next((each for each in ranked if each.model == plan.model), None)
    seconds = found.seconds if found is not None and left is not None else None
    return dataclasses.replace(plan, work=work, seconds=seconds, ranked=tuple(ranked), sample=sample)


def _many(sample: Sample) -> float:
    return max(1000.0, ENDLESS / max(sample.wall, 1e-7))


def _measured(machine: Machine, sample: Sample) -> str:
    """The numbers, in a sentence."""
    which = "the first item" if sample.items == 1 else f"the first {sample.items} items"
    took = f"has taken {in_time(sample.wall)} so far" if sample.unfinished else f"took {in_time(sample.wall)}"
    each = " each" if sample.items > 1 else ""
    text = f"{which} {took}{each}, {100 * min(1.0, sample.share):.0f} % of it computing"
    if machine.gil and sample.held is not None and sample.cpu > 0:
        text += f" ({100 * min(1.0, sample.held / sample.cpu):.0f} % of that with the GIL held)"
    if sample.elsewhere > 0.1 * sample.wall:
        text += f" ({in_time(sample.elsewhere)} of it in children or threads of its own)"
    if sample.gain is not None:
        text += f"; two threads at once got {sample.gain:.2f} × as much done as one"
    if sample.failed:
        text += f"; {sample.failed} of them failed ({sample.error}), which says little of the others"
    if sample.busy > 0.15:
        text += f"; the machine is busy: {100 * sample.busy:.0f} % of the time went by waiting for a core"
    return text


def _compared(chosen: Candidate, candidates: Sequence[Candidate], n: float, left: int | None) -> list[str]:
    """The two best predictions, and the rule where it decided."""
    others = sorted((each for each in candidates if each is not chosen), key=lambda each: each.seconds)
    if not others or not math.isfinite(others[0].seconds):
        return []
    other = others[0]
    if left is None:
        rates = f"{chosen.model} would do {n / chosen.seconds:.3g} items a second, {other.model} {n / other.seconds:.3g}"
        texts = [f"{rates} (how many there are is not known: taken as many)"]
    else:
        for_them = f"{left} more item{'s' * (left != 1)} would take {in_time(chosen.seconds)} with {chosen.model}"
        texts = [f"{for_them}, {in_time(other.seconds)} with {other.model}"]
    if other.seconds < chosen.seconds:
        gain = chosen.seconds - other.seconds
        texts.append(f"a gain of {in_time(gain)} is not worth it (over {100 * LEAST_SHARE:.0f} % and {LEAST_GAIN} s would be)")
    return texts


def _flip(
    facts: Facts,
    options: Options,
    machine: Machine,
    sample: Sample,
    n: float,
    calibration: Calibration,
    chosen: Candidate,
) -> str:
    """The number that would change the choice: of items, or where none would, the time of an item."""

    def at(count: float, scale: float = 1.0) -> str:
        scaled = _scaled(sample, scale)
        return _pick(predict(facts, options, machine, scaled, count, calibration), scaled).model

    for factor in (0.5, 2.0):
        inside, outside = n, max(1.0, n * factor)
        while at(outside) == chosen.model and 1 < outside < 1e9:
            inside, outside = outside, max(1.0, outside * factor)
        if at(outside) != chosen.model:
            for _ in range(40):
                middle = (inside + outside) / 2
                inside, outside = (middle, outside) if at(middle) == chosen.model else (inside, middle)
            count = math.ceil(max(inside, outside)) if factor > 1 else math.floor(max(inside, outside))
            which = f"from about {count} items on" if factor > 1 else f"with fewer than about {max(2, count)} items"
            return f"{which} it would be {at(outside)}"
    for factor in (0.5, 2.0):
        scale = factor
        while at(n, scale) == chosen.model and 1e-6 < scale < 1e6:
            scale *= factor
        if at(n, scale) != chosen.model:
            which = "if items took over" if factor > 1 else "if items took under"
            return f"{which} about {in_time(sample.wall * scale)} it would be {at(n, scale)}"
    return ""


def _scaled(sample: Sample, scale: float) -> Sample:
    """The same kind of work, larger or smaller."""
    if scale == 1.0:
        return sample
    return dataclasses.replace(
        sample,
        wall=sample.wall * scale,
        cpu=sample.cpu * scale,
        elsewhere=sample.elsewhere * scale,
        held=None if sample.held is None else sample.held * scale,
    )


def _alone(facts: Facts, options: Options, cpus: int, reasons: tuple[str, ...]) -> Plan:
    """One at a time; in a thread when a timeout must be kept, since a plain call cannot be left."""
    if options.timeout is None:
        return plan_for("sync", facts, options.but(concurrency="auto"), cpus, reasons)
    return plan_for("threads", facts, options.but(concurrency=1), cpus, (*reasons, "one thread, so that timeout= holds"))


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


# what every model that lives in the caller's process must say
_MORTAL = ("an item that ends the process (os._exit, a crash) ends the run: only processes and hybrid survive that",)

_NO_GIL = "there is no GIL: its workers are threads of this process, and nothing is carried"
_MORTAL_THREADS = ("an item that ends the process (os._exit, a crash) ends the run: here only processes survive that",)

_WARMING = 'items run in this process until the workers are up: model="processes" keeps every item out of it'


def _no(what: str, hint: str) -> None:
    raise PlanError(what, hint=hint)
