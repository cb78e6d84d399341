"""Which point on the two axes: pure functions from facts, options and measured items to a plan, and why, in sentences.

function, machine ──► first_plan ──► (the first items are measured) ──► costs: every model's seconds ──► advise: the plan
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ..options import Options
from .calibration import ASSUMED, Calibration
from .costs import ALL_CPU, KINDS_OF_WORK, LEAST_SHARE, kind_of_work, least_gain, pick, predict
from .first import first_plan
from .function import Facts
from .machine import Machine
from .models import plan_for
from .plan import Candidate, Plan, in_time
from .probe import BUSY, COMPUTES, FREE
from .sample import Sample

__all__ = ["advise"]

# How many items are assumed where nobody can know, in seconds of work.
ENDLESS = 60.0
# Of the predicted time, so much is waiting for a slot where it is slots that are scarce.
BINDS = 0.8
_WARMING = 'items run in this process until the workers are up: model="processes" keeps every item out of it'


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
    chosen = pick(candidates, sample)
    reasons = [measured, KINDS_OF_WORK[work], *_compared(sample, chosen, candidates, n, left)]
    if machine.cpus == 1 and work == "holds the GIL":
        reasons.append("there is one core: nothing can run beside it")
    if work == "releases the GIL" and sample.gain is not None and sample.gain < FREE and sample.busy <= BUSY:
        reasons.append("two threads were in each other's way all the same: a lock or threads of its own, or memory")
    if machine.depth and sample.share > COMPUTES:
        reasons.append("it runs in a worker of another run: the other cores are the other workers'")
    if not machine.has_room_for_processes and sample.share > COMPUTES:
        reasons.append(f"only {machine.descriptors} files may be open (`ulimit -n`): too few for processes of their own")
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
        if most and (grows := _grows(chosen, most, sample, n)):
            plan = dataclasses.replace(plan, reasons=(*plan.reasons, grows))
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
    ranked = sorted(predict(facts, options, machine, sample, n, calibration), key=lambda each: each.seconds) if n else []
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
    if sample.gain is not None and sample.busy <= BUSY:  # elsewhere it is not believed
        text += f"; two threads at once got {sample.gain:.2f} × as much done as one"
    if sample.failed:
        text += f"; {sample.failed} of them failed ({sample.error}), which says little of the others"
    if sample.busy > BUSY:
        text += f"; the machine is busy: {100 * sample.busy:.0f} % of the time went by waiting for a core"
    return text


def _compared(sample: Sample, chosen: Candidate, candidates: Sequence[Candidate], n: float, left: int | None) -> list[str]:
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
        enough = f"over {100 * LEAST_SHARE:.0f} % and {least_gain(other)} s would be"
        if sample.unfinished and other.parallelism > 1:
            texts.append("of an item that still runs nobody knows what it will compute, which is no reason for processes")
        else:
            texts.append(f"a gain of {in_time(gain)} is not worth it ({enough})")
    return texts


def _grows(chosen: Candidate, most: int, sample: Sample, n: float) -> str:
    """What the prediction does not know, where it is slots that are scarce: how many more the limit will find to be of use."""
    slots = chosen.parallelism * chosen.concurrency
    if n <= slots or n * sample.wall / slots < BINDS * chosen.seconds:
        return ""
    most *= chosen.parallelism
    return f"that is for the {slots} in flight with which it begins; there will be up to {most}, as far as that brings more"


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
        return pick(predict(facts, options, machine, scaled, count, calibration), scaled).model

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
        pool=sample.pool * scale,
        held=None if sample.held is None else sample.held * scale,
    )


def _alone(facts: Facts, options: Options, cpus: int, reasons: tuple[str, ...]) -> Plan:
    """One at a time; in a thread when a timeout must be kept, since a plain call cannot be left."""
    if options.timeout is None:
        return plan_for("sync", facts, options.but(concurrency="auto"), cpus, reasons)
    return plan_for("threads", facts, options.but(concurrency=1), cpus, (*reasons, "one thread, so that timeout= holds"))
