"""Makes the plan of a run that has none: has its first items measured, chooses, and looks again when a tenth is done.

    Probing ──► a sample ──► advise ──► hire (the probe goes on while processes start) ──► Review ──► decide anew, or not

What it decides the conductor carries out: hiring, steering, letting go.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..options import Options
from ..placement import Worker
from ..plan.function import Facts
from ..plan.machine import look_around
from ..plan.models import plan_for
from ..plan.plan import Plan
from ..plan.sample import Sample
from ..worker.job import Job
from .crew import Crew
from .machine import Machine
from .probing import Probing, Review
from .seat import Seat

__all__ = ["Choosing", "Hands"]


class Hands(Protocol):
    """What it needs done: the conductor."""

    plan: Plan

    @property
    def machine(self) -> Machine: ...

    @property
    def crew(self) -> Crew: ...

    def hire(self, plan: Plan) -> bool:
        """The workers of a plan; whether there was room for any."""

    def hire_probe(self) -> tuple[int, Seat, Worker] | None:
        """One more like the first, to measure with."""

    def let_go(self, numbers: Sequence[int]) -> None:
        """They finish what they have, and leave."""

    def steer(self, start: int, most: int) -> None:
        """The machine finds out how many may be in flight."""

    def resize(self) -> None:
        """Tell the workers that there are how many that is."""

    def left(self) -> int | None:
        """How many items have not been read, None where nobody knows."""


class Choosing:
    """One run's, from its first item until there is nothing left to decide (`over`)."""

    def __init__(
        self,
        hands: Hands,
        job: Job,
        facts: Facts,
        options: Options,
        cpus: int,
        *,
        measure_only: bool,
        clock: Callable[[], float],
    ) -> None:
        self._hands, self._job, self._facts, self._options, self._cpus = hands, job, facts, options, cpus
        self._measure_only = measure_only
        self._probing: Probing | None = Probing(
            job, look_around(), hands.left(), hands.hire_probe, thorough=measure_only, clock=clock
        )
        self._review: Review | None = None
        self._warming: list[int] = []  # probes that go on until the workers that are being started are ready

    # ── for who looks on ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def probing(self) -> bool:
        """The first items are being measured."""
        return self._probing is not None

    @property
    def warming(self) -> bool:
        """Workers are being started, and the one that measured goes on until they are there."""
        return bool(self._warming)

    @property
    def over(self) -> bool:
        return self._probing is None and self._review is None and not self._warming

    @property
    def check_at(self) -> float:
        """When to look at an item that still runs."""
        return self._probing.check_at if self._probing is not None else math.inf

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        assert self._probing is not None
        self._probing.begin()

    def pump(self, now: float) -> None:
        """Time has gone by, outcomes have become final."""
        if self._probing is not None and now >= self._probing.check_at:
            self._probing.check(now)
            self._adopt()
        if self._review is not None and self._hands.machine.emitted >= self._review.at:
            self._revise(now)

    def done(self, worker: int, report: Any, assigned: Mapping[int, Any]) -> None:
        """A report, before the machine has it."""
        if self._review is not None:
            self._review.scales.put(report, assigned)
        if self._probing is not None:
            self._probing.done(worker, report, assigned)
            self._adopt()

    def ready(self, worker: int, now: float) -> None:
        """A worker has started."""
        if self._warming and worker not in self._warming:
            self._hands.let_go(self._warming)
            self._warming = []
        if self._review is not None:
            self._review.begin(now, self._hands.machine)

    def lost(self) -> None:
        """A worker died, while it measured perhaps: a loop that was blocked for too long."""
        if self._probing is not None:
            self.end()
            self._hands.plan = dataclasses.replace(self._hands.plan, probing=False)

    def hangs(self) -> None:
        """The first item itself: it waits for something, and for long."""
        if self._probing is not None:
            assert self._options.timeout is not None
            self._probing.give_up(Sample(self._options.timeout, 0.0))
            self._adopt()

    def no_more_items(self) -> None:
        """There were too few."""
        if self._probing is not None:
            self._probing.give_up()
            self._adopt()

    def end(self) -> None:
        """Measure no more."""
        if self._probing is not None:
            self._probing.end()
            self._probing = None  # it has seen items

    # ── the choice ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _adopt(self) -> None:
        """Once enough was measured: choose, and hand over."""
        probing = self._probing
        if probing is None or probing.sample is None:
            return
        from ..plan import advice  # loaded by now, while the first item ran

        hands, sample, left, probes = self._hands, probing.sample, self._hands.left(), probing.numbers
        plan = advice.advise(self._facts, self._options, probing.machine, sample, left, probing.calibration)
        self._probing = None
        if self._measure_only:
            from ..plan.hints import hints_for  # for `explain` only: a run need not load it

            hints = hints_for(self._job.fn, self._facts, self._options, probing.machine, sample)
            hands.plan = dataclasses.replace(plan, hints=hints, ran=hands.machine.read_count)
            return
        if self._job.is_async and (plan.model == "coroutines" or left == 0):
            self._keep_loop(plan)
            self._go_on(probes)
            return
        hands.plan = plan
        if left == 0:  # it goes on, and finds the end of the items
            self._go_on(probes)
            return
        if left is not None and plan.seconds is not None:
            self._review = Review(plan, sample, left, probing.machine, probing.calibration, probing.scales())
        if not hands.hire(plan):
            self._go_on(probes)
        elif hands.crew.placement(plan.placement).needs_pickling and plan.work != "blocks its loop":
            # processes take a moment to start: the one who ran the first items goes on meanwhile (a loop that is blocked would
            # be given many, which wait for each other)
            self._warming = probes[:1]
            self._go_on(self._warming)
            hands.let_go(probes[1:])
        else:
            hands.let_go(probes)

    def _keep_loop(self, plan: Plan) -> None:
        """The worker that probed is what was chosen."""
        hands = self._hands
        slots, most = hands.plan.concurrency, hands.plan.most
        model = plan_for("coroutines", self._facts, self._options, self._cpus).model
        if most is not None and plan.model == "coroutines":
            slots = max(slots, plan.concurrency)
        hands.plan = dataclasses.replace(
            plan, model=model, placement="here", runner="coroutine", parallelism=1, concurrency=slots, most=most
        )
        if most is not None:
            hands.steer(slots, most)
            hands.resize()

    def _revise(self, now: float) -> None:
        """A tenth is done: was it as quick as predicted? If not, what has been seen since decides anew, once."""
        review, self._review = self._review, None
        assert review is not None
        hands = self._hands
        sample, left = review.disagrees(now, hands.machine), hands.left()
        if sample is None or not left:
            return
        from ..plan import advice

        plan = advice.advise(self._facts, self._options, review.machine, sample, left, review.calibration)
        if plan.placement == "process":
            weighed = review.weighed(sample)
            plan = advice.advise(self._facts, self._options, review.machine, weighed, left, review.calibration)
        found = review.found
        if plan.model == hands.plan.model:  # how many slots it takes is the limit's affair
            hands.plan = dataclasses.replace(hands.plan, reasons=(*hands.plan.reasons, f"{found}; the choice stands"))
            return
        before = list(hands.crew.here)
        hands.plan = dataclasses.replace(plan, reasons=(*hands.plan.reasons, f"{found}: decided anew", *plan.reasons))
        if hands.plan.most is None:
            hands.machine.unsteer()
        if hands.hire(hands.plan):
            hands.let_go(before)

    def _go_on(self, numbers: Sequence[int]) -> None:
        """Probes that are ordinary workers from now on."""
        for number in numbers:
            if (seat := self._hands.machine.seats.get(number)) is not None:
                seat.only = None
