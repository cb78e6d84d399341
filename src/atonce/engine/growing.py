"""Has a run go on in several processes when the event loop that its function brings has outgrown this one.

    conductor ── each look ──► Outgrown ──► an item and its value, weighed ──► why ──► join: a worker for each other core

The loop that is here stays, and is one of them: what it has in flight is not disturbed, and nothing is given back.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..errors import AtonceError
from ..options import Options
from ..plan.calibration import load
from ..plan.function import Facts
from ..plan.machine import cpu_used, look_around
from ..plan.models import plan_for
from ..plan.outgrown import EVERY, Outgrown, Reading
from ..plan.plan import Plan
from ..worker.job import Job
from .machine import Machine

__all__ = ["Growing"]


class Hands(Protocol):
    """What it needs done: the conductor."""

    plan: Plan

    @property
    def machine(self) -> Machine: ...

    def left(self) -> int | None:
        """How many items have not been read, None where nobody knows."""

    def join(self, plan: Plan) -> None:
        """As many more workers as the plan has beside those that there are."""


class Growing:
    """One run's, until it has grown or cannot (`over`)."""

    def __init__(
        self, hands: Hands, job: Job, facts: Facts, options: Options, cpus: int, *, clock: Callable[[], float]
    ) -> None:
        self._hands, self._job, self._facts, self._options, self._cpus, self._clock = hands, job, facts, options, cpus, clock
        fn: Any = job.fn
        self._elsewhere: Callable[[Any], Any] = fn.atonce_elsewhere
        self._outgrown = Outgrown(cpus, os.cpu_count() or cpus, self._reading())
        self.look_at = clock() + EVERY
        self._full = False
        self._carried: float | None = None  # seconds an item; once it is known
        self.over = not look_around().has_room_for_processes

    def pump(self, now: float) -> None:
        """Time has gone by."""
        if now < self.look_at:
            return
        self.look_at = now + EVERY
        self._full = self._outgrown.look(self._reading())
        if self._full and self._carried is not None:
            self._decide(self._carried)

    def done(self, report: Any, assigned: Mapping[int, Any]) -> None:
        """A report, before the machine has it."""
        if self._full and self._carried is None and report.indices:
            self._weigh(assigned.get(report.indices[-1]), report.values[-1])

    def _weigh(self, item: Any, value: Any) -> None:
        """What one item and its value take on their way to another process and back."""
        from ..plan.instruments import carry

        value = self._elsewhere(value)
        found = None if value is None else carry(self._job, (item, value), load().pickling)
        if found is None or found.stuck:
            self.over = True
        else:
            self._carried = found.seconds

    def _decide(self, carried: float) -> None:
        why = self._outgrown.why(self._hands.left(), carried, load())
        if why is None:
            return
        self.over = True
        before = self._hands.plan
        slots = -(-self._hands.machine.roster.slots // self._cpus)
        try:
            plan = plan_for("hybrid", self._facts, self._options, self._cpus, (*before.reasons, why))
            self._hands.join(dataclasses.replace(plan, concurrency=slots, most=before.most))
        except AtonceError:  # no processes here: it goes on as it is
            self._hands.plan = before

    def _reading(self) -> Reading:
        return Reading(self._clock(), time.process_time(), cpu_used(), self._hands.machine.emitted)
