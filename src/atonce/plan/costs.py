"""What kind of work it is, and what each model would take for it: formulas over measured numbers. Pure.

model        placement  runner                            P      C      predicted seconds for N items
sync         here       call                              1      1      N·w
coroutines   here       coroutine, or a transport's own   1      n      max(N·c, N·w/C) + tail, c with all that blocks the loop
threads      here       thread                            1      n      max(N·h, N·c/cores, N·w/C, N·w/g) + tail
processes    process    call                              n      1      T0 + max(M·(c+e)/min(W, cores), M·w/W, M·d) + tail
hybrid       process    coroutine, thread or own          n      m      T0 + max(M·c/min(W, cores), M·w/(W·C), M·d) + tail
             thread     where there is no GIL             n      m      max(N·c/min(W, cores), N·w/(W·C)) + tail

w wall, c CPU, h GIL-holding seconds an item; g what two threads gained over one, where they were in each other's way; d and e
what carrying it costs the near and the far side; T0 the start-up of the workers; M the items that are left when they have
started, since others run here meanwhile; tail, when slots have nothing left to do. A model further down is taken only when it
gains more than 15 % and 0.2 s (0.1 s in this process) over those above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..options import Options
from .calibration import ASSUMED, Calibration
from .function import Facts
from .machine import Machine
from .models import COROUTINES, THREADS, in_threads
from .plan import Candidate
from .probe import BUSY, COMPUTES, FREE, LEAST_GAIN, LONG_WAIT, WAITS
from .sample import Sample

__all__ = ["ALL_CPU", "KINDS_OF_WORK", "LEAST_SHARE", "kind_of_work", "least_gain", "pick", "predict"]

# Of an item's time, so little computing that it does nothing but wait, and how many times as many of those begin: what Little's
# law allows, up to that. A growing limit finds it as well, but three latencies later. Not more, since a server may be behind
# it that nobody has heard yet; with `key=` there certainly is one, and there it does not hold.
ONLY_WAITS, MORE_TO_BEGIN = 0.02, 4
# What a model must gain over a simpler one: this share of its time and, so that a short run stays simple, `LEAST_GAIN` seconds,
# or without other processes so many.
LEAST_SHARE, LEAST_GAIN_HERE = 0.15, 0.1
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
# The same of a pool of threads means that it waits for that.
POOL = 0.3
# Slots beyond Little's law, since items differ and a slot that ends early must not wait for the others.
SPARE = 1.5
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


def _in_each_others_way(machine: Machine, sample: Sample) -> float:
    """Seconds an item keeps another one of this process waiting, whatever for: a lock of the function's own, memory.

    On a busy machine a pair of them tells nothing; where they have a pool of threads, which lack cores then that nobody has
    counted, nothing says that two would be quicker than one, and pools that spin for want of a core can be much slower.
    """
    believed = not machine.gil or sample.busy <= BUSY
    if not believed and sample.pool > POOL * sample.wall:
        return sample.wall
    if sample.gain is None or sample.gain >= FREE or not believed:
        return 0.0
    return min(sample.cpu * sample.inflation, sample.wall / sample.gain)


# ── the cost model ───────────────────────────────────────────────────────────────────────────────────────────────────


def predict(
    facts: Facts, options: Options, machine: Machine, sample: Sample, n: float, calibration: Calibration = ASSUMED
) -> list[Candidate]:
    """Every model that could be, simplest first, with what the formulas above say for `n` items."""
    wall, cpu, cores = max(sample.wall, 1e-9), sample.total, machine.cpus
    held = _held(machine, sample)
    found = []
    if facts.kind != "async":
        found.append(Candidate("sync", 1, 1, n * (wall + calibration.call)))
    if facts.kind == "async":
        slots = _useful_slots("coroutine", options, machine, sample, n, math.inf)  # an idle one costs nothing
        loop = _in_loop(sample)
        found.append(
            Candidate("coroutines", 1, slots, n * max(loop, wall / slots, calibration.coroutine) + _tail(n, slots, sample))
        )
    slots = _useful_slots("thread", options, machine, sample, n, _little(cores, cpu, held, wall))
    each = max(held, cpu * sample.inflation / cores, wall / slots, _in_each_others_way(machine, sample))
    found.append(Candidate("threads", 1, slots, n * (each + calibration.thread) + _tail(n, slots, sample)))
    # in a worker of another run the other cores are the other workers'
    if cores > 1 and not machine.depth and machine.has_room_for_processes:
        found += _with_processes(facts, options, machine, sample, n, calibration)
    runners = facts.runners
    return found if runners is None else [each for each in found if _runner(each.model, facts) in runners]


def _runner(model: str, facts: Facts) -> str:
    """What keeps the slots of a worker busy in a model."""
    several = "coroutine" if facts.kind == "async" else "thread"
    return {"threads": "thread", "coroutines": "coroutine", "hybrid": several}.get(model, "call")


def _with_processes(
    facts: Facts, options: Options, machine: Machine, sample: Sample, n: float, calibration: Calibration
) -> list[Candidate]:
    # what two threads cost each other, by locks and page tables, it does not cost two processes; bandwidth of memory, which it
    # does, is seldom what two lack
    wall, cpu, cores = max(sample.wall, 1e-9), sample.total, machine.cpus
    if sample.stuck is not None:
        return [Candidate("processes", cores, 1, math.inf, sample.stuck)]
    carried = sample.carry.seconds if sample.carry is not None else 0.0
    near, far = calibration.near + carried, calibration.far + carried
    # what the first call of a fresh worker takes longer than later ones is start-up
    cold = max(0.0, (sample.cold or 0.0) - 2 * wall) if sample.items > 1 else 0.0
    start = calibration.start + calibration.worker * (cores - 1)
    ahead = min(n, _meanwhile(facts, options, machine, sample, n, start))

    def seconds(each: float, slots: int) -> float:
        rest = n - ahead
        if not rest:
            return n * (wall + calibration.call)
        return start + cold + max(rest * each + _tail(rest, slots, sample), n * cpu / cores - start)

    workers = int(min(cores, max(1, n)))
    # the near side takes part in the cores, too
    each = max((cpu + far + near) / workers, wall / workers, near)
    found = [Candidate("processes", workers, 1, seconds(each, workers))]
    if in_threads(machine.gil, options):
        return found + _with_loops(facts, options, machine, sample, n, calibration)
    # so many until the cores are what limits them; the GIL or, in a loop, that it does one thing at a time limits one
    alone = max(_held(machine, sample), sample.cpu if facts.kind == "async" else 0.0)
    parallel = max(1, min(cores, math.ceil(cores * alone / cpu))) if cpu > 0 else 1
    runner = "coroutine" if facts.kind == "async" else "thread"
    # as many in flight in all as one process would be given: more of them is not what more processes are for
    slots = _useful_slots(runner, options, machine, sample, n, _little(cores, cpu, alone / parallel, wall))
    slots = slots if options.concurrency != "auto" else math.ceil(slots / parallel)
    if parallel > 1 and slots > 1:
        loop = _in_loop(sample) if runner == "coroutine" else 0.0
        each = max((cpu + far + near) / parallel, loop / parallel, wall / (parallel * slots), near)
        found.append(Candidate("hybrid", parallel, slots, seconds(each, parallel * slots)))
    return found


def _meanwhile(facts: Facts, options: Options, machine: Machine, sample: Sample, n: float, start: float) -> int:
    """How many items are run here while workers start, in whole ones. A loop that is blocked is given none."""
    if facts.kind != "async":
        return math.ceil(start / max(sample.wall, 1e-9))
    if (sample.blocked or 0.0) > BLOCKED and sample.wall > BLOCKED_WALL:
        return 0
    slots = _useful_slots("coroutine", options, machine, sample, n, math.inf)
    return math.ceil(max(0.0, start - sample.wall) / max(_in_loop(sample), sample.wall / slots, 1e-9))


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
    return [Candidate("hybrid", parallel, slots, n * each + _tail(n, parallel * slots, sample))]


def _tail(n: float, slots: int, sample: Sample) -> float:
    """Seconds in which some slots have nothing left to do: the last round is not full, and items differ."""
    rounds = math.ceil(n / slots) - n / slots
    return sample.wall * (rounds + min(1.0, sample.spread) * (1 - 1 / slots))


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
    # an item that still waits is the first one, most of whose computing is not the others'
    if sample.share < ONLY_WAITS * (1 + sample.unfinished) and options.key is None:
        computing = 0.0 if sample.unfinished else sample.total
        allowed = _little(machine.cpus, computing, min(computing, _held(machine, sample)), sample.wall)
        most = int(max(most, min(allowed, MORE_TO_BEGIN * most)))
    if machine.descriptors is not None:
        most = min(most, max(1, machine.descriptors // 2))
    if machine.memory is not None and sample.growth > HEAVY:
        most = min(most, max(1, int(0.8 * machine.memory / sample.growth)))
    spare = SPARE if sample.share < ALL_CPU else 1.0
    # a tenth of slack: 2.04 measured is 2 meant
    wanted = math.ceil(spare * useful - 0.1) if useful < most else most
    return int(max(1, min(most, wanted, math.ceil(min(n, most)))))


def least_gain(candidate: Candidate) -> float:
    """Seconds that it must gain to be worth it: less where it is this process alone, which can do no harm to others."""
    return LEAST_GAIN if candidate.parallelism > 1 else LEAST_GAIN_HERE


def pick(candidates: Sequence[Candidate], sample: Sample) -> Candidate:
    """The simplest one that no other beats by more than 15 % and `least_gain`; a long wait beats one by one whatever it gains.

    Of an item that still runs nobody knows what it will compute, nor whether its result can travel: it is no reason for
    processes.
    """
    best = candidates[0]
    for each in candidates[1:]:
        if each.parallelism > 1 and sample.unfinished:
            continue
        gain = best.seconds - each.seconds
        long = sample.wall > LONG_WAIT or sample.unfinished
        waits = best.concurrency == 1 and each.parallelism == 1 and long and sample.share < WAITS
        if gain > LEAST_SHARE * best.seconds and (gain > least_gain(each) or waits):
            best = each
    return best
