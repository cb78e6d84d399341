"""Hires workers by the plan, in the placements that it names, and knows who is here and who is leaving."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..options import Options
from ..placement import Order, Placement, Worker
from ..placement import load as load_placement
from ..plan.plan import Plan
from ..worker.job import Job
from . import complaints
from .hub import Hub
from .machine import Machine
from .onlookers import Onlookers

if TYPE_CHECKING:
    import asyncio

__all__ = ["Crew"]


class Crew:
    """A run's workers: `here` and `leaving`, by their numbers. `error` is set where there is nobody and nobody can be hired."""

    def __init__(
        self,
        job: Job,
        options: Options,
        machine: Machine,
        hub: Hub,
        onlookers: Onlookers,
        *,
        cpus: int,
        loop: asyncio.AbstractEventLoop | None,
        clock: Callable[[], float],
    ) -> None:
        self._job, self._options, self._machine, self._hub, self._onlookers = job, options, machine, hub, onlookers
        self._cpus, self._loop, self._clock = cpus, loop, clock
        self._placements: dict[str, Placement] = {}
        self._numbers = 0
        self.here: dict[int, Worker] = {}
        self.leaving: dict[int, Worker] = {}
        self.error: BaseException | None = None

    @property
    def all(self) -> list[Worker]:
        """Also those that leave."""
        return [*self.here.values(), *self.leaving.values()]

    def placement(self, name: str) -> Placement:
        """One for the whole run: what it makes ready for its workers, such as the pickled function, is made once."""
        placement = self._placements.get(name)
        if placement is None:
            placement = self._placements[name] = load_placement(name)
            placement.open(self._options.cluster, self._hub)
        return placement

    def hire(self, plan: Plan, instead_of: int | None = None) -> int:
        """One worker. Its number, which is not `here` where there was no room for it: those that there are go on."""
        number = self._numbers
        self._numbers += 1
        order = Order(
            self._job,
            plan.runner,
            plan.concurrency,
            plan.most or 0,
            share=max(1, self._cpus // plan.parallelism),
            loop=self._loop,
            offload=self._loop is not None,
            weighed=self._options.max_worker_memory is not None,
            among=plan.parallelism,
        )
        try:
            worker = self.placement(plan.placement).hire(number, order, self._hub)
        except OSError as error:
            if not self.here:
                self.error = complaints.cannot_hire(error)
            if instead_of is not None:
                self._machine.not_replaced(instead_of)
            return number
        seat = worker.seat()
        self.here[number] = worker
        self._machine.add(number, seat, instead_of)
        if self._onlookers:
            self._onlookers.tell("hired", number, plan, self._clock())
        return number

    def release(self, number: int) -> None:
        """It finishes what it has, and leaves."""
        self.leaving[number] = worker = self.here.pop(number)
        worker.release()

    def gone(self, number: int) -> None:
        """It has ended."""
        self.here.pop(number, None)
        self.leaving.pop(number, None)

    def close(self) -> None:
        """Their placements, after all of them are gone."""
        for placement in self._placements.values():
            placement.close()
