"""Carries out what the machine decides: hires workers, feeds them, reads the source, collects what is final.

A driver (`drive`) calls `pump`, hands out what it returns, and waits in the hub as long as `timeout` says. All of it runs in
the driver's thread.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import AtonceError
from ..options import Options
from ..outcome import Outcome, Recorded, Stats
from ..placement import Order, Placement, Worker
from ..placement import load as load_placement
from ..plan.function import Facts
from ..plan.machine import look_around
from ..plan.models import plan_for
from ..plan.plan import Plan
from ..worker.job import Job
from ..worker.memory import resident
from . import complaints
from .events import (
    Abandon,
    Broken,
    Command,
    Done,
    Emit,
    Ended,
    Feed,
    Keep,
    Kill,
    Lost,
    Ready,
    Release,
    Resize,
    Room,
    Said,
    Spawn,
    Stop,
    Succeed,
    Withdraw,
)
from .finished import Batch
from .history import History, Move, Weight
from .hub import Hub
from .machine import Machine, Policy
from .observer import Observer
from .onlookers import Onlookers
from .pressure import EVERY, Gauge, pressure
from .seat import Seat
from .status import Status, status_of

if TYPE_CHECKING:
    import asyncio

    from .probing import Probing, Review

__all__ = ["Conductor"]

LOG = logging.getLogger("atonce")

# Seconds that `close` gives workers to exit their resources before they are killed.
PATIENCE = 0.5


class Keeper(Protocol):
    """A journal, as far as the engine knows it."""

    def __len__(self) -> int:
        """How many items it holds, which will not run."""

    def record(self, outcomes: Sequence[Outcome[Any]]) -> dict[int, Outcome[Any]]:
        """Keep these. Returns, by position, failures in the place of what cannot be kept; raises when nothing can."""

    def close(self) -> None: ...


class Conductor:
    """One run from its plan to its end. `journal` records outcomes before they are given out, and is closed at the end."""

    def __init__(
        self,
        job: Job,
        facts: Facts,
        options: Options,
        plan: Plan,
        source: Any,
        hub: Hub,
        *,
        ordered: bool,
        total: int | None,
        cpus: int,
        journal: Keeper | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        most_ahead: float = math.inf,
        measure_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
        observers: Sequence[Observer] = (),
        gauge: Callable[[float], Gauge] = Gauge,
    ) -> None:
        self.plan = plan
        self.hub = hub
        self.machine = Machine(
            Policy(
                ordered=ordered,
                retry=options.retry,
                timeout=options.timeout,
                rate=options.rate,
                key=options.key,
                per_key=options.per_key,
                total=total,
                most_ahead=most_ahead,
                keep=journal is not None,
                max_tasks=options.max_tasks_per_worker,
                max_memory=options.max_worker_memory,
            )
        )
        self._journal = journal
        self._to_keep: list[Outcome[Any]] = []
        self._job, self._facts, self._options, self._source = job, facts, options, source
        self._total = total if total is None or journal is None else total - len(journal)  # of those that will run
        self._cpus, self._loop, self._clock = cpus, loop, clock
        self._onlookers = Onlookers(observers, self.machine.seats)
        self._placements: dict[str, Placement] = {}
        self._workers: dict[int, Worker] = {}
        self._leaving: dict[int, Worker] = {}
        self._numbers = 0
        self.emitted: deque[Batch] = deque()  # what is final, for the driver to hand out
        self._again = False
        self._started = clock()
        self._ended: float | None = None
        self._measure_only = measure_only
        self._probing: Probing | None = None
        self._review: Review | None = None
        self._warming: list[int] = []  # probes that go on until the workers that are being started are ready
        self._new_gauge = gauge
        self._gauge: Gauge | None = None
        self._look_at = math.inf  # at the gauge
        self._begun = False
        self._ask_first = False
        self.error: BaseException | None = None
        self.history = History(self._started)

    def __repr__(self) -> str:
        return f"<Conductor {self.plan.headline}: {self.machine!r}>"

    # ── the driver's side ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def finished(self) -> bool:
        if self._measure_only and not self.plan.probing and not self.machine.in_flight:
            return True
        return self.machine.finished or self.error is not None

    def pump(self) -> None:
        """Do what can be done now; outcomes that became final are in `emitted`."""
        events, machine = self.hub.events, self.machine
        if not self._begun:
            self._begun = True
            if self._onlookers:
                self._onlookers.tell("begun", self.status, self._clock())
            self._begin()
        now = self._clock()
        for _ in range(len(events)):
            event = events.popleft()
            if type(event) is Said:
                event.say()
                continue
            if type(event) is Room:
                self._settle(event.workers)
                continue
            self._notice(event, now)
            if self._onlookers:
                self._onlookers.show(event, now)
            self._carry_out(machine.handle(event, now))
        if now >= machine.next_at():
            self._carry_out(machine.tick(now, {number: worker.running() for number, worker in self._workers.items()}))
        if now >= self._look_at:
            self._look(now)
        if self._probing is not None and now >= self._probing.check_at:
            self._probing.check(now)
            self._adopt()
        if self._review is not None and machine.emitted >= self._review.at:
            self._revise(now)
        if (self.emitted or self._to_keep) and self._inline:
            self._again = True  # what the caller's own thread runs next must not hold back what is finished
        else:
            self._read(now)
        if self._to_keep:
            self._keep()
            source = self._source  # letting outcomes go makes room in the ordered window: nothing else would read again
            if not (source.ended or source.pending) and self.error is None and machine.want(now) > 0:
                self._again = True
        self._remember(now)
        if self.machine.finished and self.error is None:
            self.error = self._source.error
            if self._probing is not None:  # there were too few items
                self._probing.give_up()
                self._adopt()

    @property
    def _inline(self) -> bool:
        return self.plan.runner == "call" and self.plan.placement == "here" and self._loop is None

    def timeout(self) -> float | None:
        """How long nothing can happen but by an event; None: for ever."""
        if self._again or self.hub.events or self.finished:
            return 0.0
        next_at = self.machine.next_at()
        if self._probing is not None:
            next_at = min(next_at, self._probing.check_at)
        return None if next_at == math.inf else max(0.0, next_at - self._clock())

    def stop(self, error: BaseException, *, ask_first: bool = False) -> None:
        """From any thread: end the run with this error. `ask_first`: processes get a SIGTERM, and half a second to obey."""
        self._ask_first = ask_first
        self.error = error
        self.hub.wake()

    def close(self, *, cancel: bool) -> None:
        """End what runs (`cancel`) or let it finish; resources are exited; processes get half a second, then are killed."""
        if self.hub.closed:
            return
        try:
            self._close(cancel)
        finally:
            self.hub.close()
            if self._journal is not None:
                try:
                    self._journal.close()
                except AtonceError as error:
                    self.error = self.error or error

    def _close(self, cancel: bool) -> None:
        self._source.close()
        if self._probing is not None:
            self._probing.end()
            self._probing = None  # it knows this object, and has seen items
        workers = [*self._workers.values(), *self._leaving.values()]
        pending: list[Any] = []  # set aside, since the hub does not wait while there are events
        if self._ask_first:
            for worker in workers:
                worker.terminate()
            self._wait_for(workers, time.monotonic() + PATIENCE, pending)
        for worker in workers:
            busy = bool(seat.assigned) if (seat := self.machine.seats.get(worker.number)) else False
            worker.close(cancel=cancel and busy)
        if cancel and not self._wait_for(workers, time.monotonic() + PATIENCE, pending):
            for worker in workers:
                worker.kill()
        self._wait_for(workers, math.inf, pending)
        for placement in self._placements.values():
            placement.close()
        self.hub.events.extendleft(reversed(pending))
        self._ended = self._clock()
        self._salvage()
        self.machine.learned()
        self._remember(self._ended)
        if self._onlookers:
            self._onlookers.tell("planned", self.plan, self._ended)
            self._onlookers.tell("closed", self.stats(), self._ended)

    def _wait_for(self, workers: list[Worker], until: float, pending: list[Any]) -> bool:
        """Whether all of them were gone by then; what they said meanwhile is in `pending`."""
        while not all(worker.gone() for worker in workers):
            if time.monotonic() >= until:
                return False
            pending += self.hub.events
            self.hub.events.clear()
            self.hub.wait(None if until == math.inf else max(0.0, until - time.monotonic()))
        return True

    async def close_async(self, *, cancel: bool) -> None:
        """As `close`, where runners may live in the caller's own loop: their tasks end in turns of that loop, also of one that
        cancels the caller meanwhile."""
        import asyncio

        cancelled: asyncio.CancelledError | None = None
        for worker in [*self._workers.values(), *self._leaving.values()]:
            wait = getattr(worker, "wait_closed", None)
            if wait is not None:
                worker.close(cancel=cancel)
                try:
                    await wait()
                except asyncio.CancelledError as error:
                    cancelled = error
        self.close(cancel=cancel)
        if cancelled is not None:
            raise cancelled

    # ── for who looks on: any thread may ask ─────────────────────────────────────────────────────────────────────────

    @property
    def failed(self) -> int:
        """Items whose outcome, given out or not, is a failure."""
        return self.machine.failed

    @property
    def probing(self) -> bool:
        return self._probing is not None

    @property
    def warming(self) -> bool:
        """Workers are being started, and the one that measured goes on until they are there."""
        return bool(self._warming)

    def longest(self, number: int) -> tuple[int | None, float]:
        """(index, since when) of what has been running longest in this worker."""
        worker = self._workers.get(number) or self._leaving.get(number)
        running = [(since, index) for _, index, since in worker.running() if index >= 0] if worker is not None else []
        since, index = min(running, default=(0.0, None))
        return index, since

    def status(self, *, workers: bool = False) -> Status:
        """What it is doing now."""
        return status_of(self, workers=workers)

    def stats(self) -> Stats:
        machine = self.machine
        limit, why = machine.limit
        return Stats(
            items=machine.emitted,
            ok=machine.emitted - machine.failed,
            failed=machine.failed,
            attempts=machine.attempts,
            seconds=(self._ended or self._clock()) - self._started,
            cpu=machine.cpu,
            workers_lost=machine.workers_lost,
            threads_left=machine.threads_left,
            resumed=machine.resumed,
            limit=limit,
            why=why,
            peak=self.history.peak,
        )

    def take_salvaged(self) -> list[Outcome[Any]]:
        """What was finished when the run was cut short and had not been handed out."""
        salvaged = [outcome for batch in self.emitted for outcome in batch]
        self.emitted.clear()
        return salvaged

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _hire(self, plan: Plan) -> list[int]:
        if plan.most is not None:
            self._steer(plan.parallelism * plan.concurrency, plan.parallelism * plan.most)
        self._placement(plan.placement)
        count = plan.parallelism
        if self._total is not None:  # a worker that would get no item need not be started
            count = min(count, max(1, self._total - (self.machine.emitted - self.machine.resumed)))
        return [self._hire_one(plan) for _ in range(count)]

    def _settle(self, room: int) -> None:
        """Where the plan leaves it to the place how many workers there are: so many as it has room for, and more when it grows.

        One is hired in any case: a cluster that adapts grows when there is something to do.
        """
        plan = self.plan
        if self._options.parallelism != "auto" or self.error is not None or max(1, room) <= plan.parallelism:
            return
        more = max(1, room) - plan.parallelism
        self.plan = dataclasses.replace(plan, parallelism=max(1, room))
        if self.plan.most is not None:
            self._steer(self.plan.parallelism * plan.concurrency, self.plan.parallelism * (plan.most or 0))
        for _ in range(more):
            self._hire_one(self.plan)

    def _steer(self, start: int, most: int) -> None:
        """Let the machine find out how many may be in flight, and hear what this computer has to say about it."""
        self.machine.steer(start, most)
        now = self._clock()
        self._gauge, self._look_at = self._new_gauge(now), now + EVERY

    def _look(self, now: float) -> None:
        assert self._gauge is not None
        self._look_at = now + EVERY
        level, reason = pressure(self._gauge.read(now, self.machine.cpu))
        self._carry_out(self.machine.press(now, level, reason))

    def _placement(self, name: str) -> Placement:
        """One for the whole run: what it makes ready for its workers, such as the pickled function, is made once."""
        placement = self._placements.get(name)
        if placement is None:
            placement = self._placements[name] = load_placement(name)
            placement.open(self._options.cluster, self.hub)
        return placement

    def _hire_one(self, plan: Plan, instead_of: int | None = None) -> int:
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
            worker = self._placement(plan.placement).hire(number, order, self.hub)
        except OSError as error:  # those that there are go on, as long as there is one
            if not self._workers:
                self.error = complaints.cannot_hire(error)
            if instead_of is not None:
                self.machine.not_replaced(instead_of)
            return number
        seat = worker.seat()
        self._workers[number] = worker
        self.machine.add(number, seat, instead_of)
        if self._onlookers:
            self._onlookers.tell("hired", number, plan, self._clock())
        return number

    def _notice(self, event: Any, now: float) -> None:
        """What concerns the conductor itself: the first items tell the plan; a worker that ended is nobody's any more."""
        kind = type(event)
        if kind is Done:
            if self._gauge is not None and event.report.ended:
                self._gauge.heard(event.report.ended[-1], now)
            if self._review is not None and (seat := self.machine.seats.get(event.worker)) is not None:
                self._review.scales.put(event.report, seat.assigned)
            if self._probing is not None:
                self._probing.done(event.worker, event.report, self.machine.seats[event.worker].assigned)
                self._adopt()
        elif kind is Ready:
            if self._warming and event.worker not in self._warming:
                self._let_go(self._warming)
                self._warming = []
            if self._review is not None:
                self._review.begin(now, self.machine)
        elif kind is Lost or kind is Ended:
            self._workers.pop(event.worker, None)
            self._leaving.pop(event.worker, None)
            if kind is Lost and self._probing is not None:  # a loop that was blocked for too long
                self._probing.end()
                self._probing, self.plan = None, dataclasses.replace(self.plan, probing=False)

    # ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        if not self.plan.probing:
            self._hire(self.plan)
            return
        from .probing import Probing  # 15 ms with what it measures by: only where something is measured

        self._probing = Probing(
            self._job, look_around(), self._left(), self._hire_probe, thorough=self._measure_only, clock=self._clock
        )
        self._probing.begin()

    def _hire_probe(self) -> tuple[int, Seat, Worker] | None:
        number = self._hire_one(self.plan)
        return (number, self.machine.seats[number], self._workers[number]) if number in self._workers else None

    def _left(self) -> int | None:
        if self.machine.source_ended:
            return 0
        return None if self._total is None else max(0, self._total - max(1, self.machine.read_count - self.machine.resumed))

    def _adopt(self) -> None:
        """Once enough was measured: choose, and hand over."""
        probing = self._probing
        if probing is None or probing.sample is None:
            return
        from ..plan import advice
        from .probing import Review

        sample, left, probes = probing.sample, self._left(), probing.numbers
        slots, most = self.plan.concurrency, self.plan.most
        plan = advice.advise(self._facts, self._options, probing.machine, sample, left, probing.calibration)
        self._probing = None
        if self._measure_only:
            from ..plan.hints import hints_for  # for `explain` only: a run need not load it

            hints = hints_for(self._job.fn, self._facts, self._options, probing.machine, sample)
            self.plan = dataclasses.replace(plan, hints=hints, ran=self.machine.read_count)
            return
        if self._job.is_async and (plan.model == "coroutines" or left == 0):
            # the worker that probed is what was chosen
            model = plan_for("coroutines", self._facts, self._options, self._cpus).model
            if most is not None and plan.model == "coroutines":
                slots = max(slots, plan.concurrency)
            self.plan = dataclasses.replace(
                plan, model=model, placement="here", runner="coroutine", parallelism=1, concurrency=slots, most=most
            )
            if most is not None:
                self._steer(slots, most)
                self._carry_out(self.machine.resize())
            self._go_on(probes)
            return
        self.plan = plan
        if left == 0:  # it goes on, and finds the end of the items
            self._go_on(probes)
            return
        if left is not None and plan.seconds is not None:
            self._review = Review(plan, sample, left, probing.machine, probing.calibration, probing.scales())
        hired = self._hire(plan)
        if not any(number in self._workers for number in hired):  # there was no room for them
            self._go_on(probes)
        elif self._placement(plan.placement).needs_pickling and plan.work != "blocks its loop":
            # processes take a moment to start: the one who ran the first items goes on meanwhile (a loop that is blocked would
            # be given many, which wait for each other)
            self._warming = probes[:1]
            self._go_on(self._warming)
            self._let_go(probes[1:])
        else:
            self._let_go(probes)

    def _revise(self, now: float) -> None:
        """A tenth is done: was it as quick as predicted? If not, what has been seen since decides anew, once."""
        review, self._review = self._review, None
        assert review is not None
        sample, left = review.disagrees(now, self.machine), self._left()
        if sample is None or not left:
            return
        from ..plan import advice

        plan = advice.advise(self._facts, self._options, review.machine, sample, left, review.calibration)
        if plan.placement == "process":
            weighed = review.weighed(sample)
            plan = advice.advise(self._facts, self._options, review.machine, weighed, left, review.calibration)
        found = review.found
        if plan.model == self.plan.model:  # how many slots it takes is the limit's affair
            self.plan = dataclasses.replace(self.plan, reasons=(*self.plan.reasons, f"{found}; the choice stands"))
            return
        before = list(self._workers)
        reasons = (*self.plan.reasons, f"{found}: decided anew", *plan.reasons)
        self.plan = dataclasses.replace(plan, reasons=reasons)
        if self.plan.most is None:
            self.machine.unsteer()
        if any(number in self._workers for number in self._hire(self.plan)):
            self._let_go(before)

    def _go_on(self, numbers: Sequence[int]) -> None:
        """Probes that are ordinary workers from now on."""
        for number in numbers:
            if number in self.machine.seats:
                self.machine.seats[number].only = None

    def _let_go(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number in self.machine.seats:
                self._carry_out(self.machine.release(number))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Emit(outcomes):
                    self.emitted.append(outcomes)
                case Keep(outcomes):
                    self._to_keep += outcomes
                case Feed(number, indices, items):
                    if nbytes := self._workers[number].feed(indices, items):
                        self.machine.carried(len(indices), nbytes)
                case Release(number):
                    self._leaving[number] = worker = self._workers.pop(number)
                    worker.release()
                case Resize(number, slots):
                    self._workers[number].resize(slots)
                    if self._onlookers:
                        self._onlookers.tell("resized", number, slots, self._clock())
                case Spawn():
                    self._hire_one(self.plan)
                case Succeed(number):
                    self._hire_one(self.plan, instead_of=number)
                case Kill(number):
                    self._workers[number].kill()
                case Withdraw(number, index):
                    self._workers[number].cancel(index)
                case Abandon(number, slot, index):
                    self._onlookers.abandoned(self._workers[number], slot, index, self._clock())
                    self._workers[number].abandon(slot, index)
                    if self._probing is not None:  # the first item itself hangs: it waits for something, and for long
                        assert self._options.timeout is not None
                        from ..plan.sample import Sample

                        self._probing.give_up(Sample(self._options.timeout, 0.0))
                        self._adopt()
                case Stop(error):
                    self.error = error

    def _remember(self, now: float) -> None:
        """What moved a limit, and now and then how much memory there is in use."""
        for key, limit, why in self.machine.moves():
            self.history.moved(move := Move(now, limit, why, str(key)))
            if self._onlookers:
                self._onlookers.tell("limited", move)
        for again in self.machine.put_off():
            if self._onlookers:
                self._onlookers.tell("put_off", again)
        if now >= self.history.next_look:
            workers = [*self._workers.values(), *self._leaving.values()]
            self.history.weighed(weight := Weight(now, resident(), sum(worker.memory() for worker in workers)))
            if self._onlookers:
                self._onlookers.tell("weighed", weight)

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, now: float) -> None:
        """Read as many items as workers want, unless the source is slow: then one, and back to the workers."""
        source, machine = self._source, self.machine
        self._again = False
        if machine.source_ended or self.error is not None:
            return
        count = machine.want(now)
        if count:
            items = source.read(count)
            if items:
                self._carry_out(machine.resume(items) if type(items) is Recorded else machine.read(items, now))
            # slow, or still not enough: keys that are full let others go first
            self._again = not source.ended and not source.pending and (len(items) < count or machine.want(now) > 0)
        if source.ended:
            machine.end_of_items()

    def _keep(self) -> None:
        """Record what has become final, by one write, and let it go. What cannot be recorded ends the run, but is not lost."""
        outcomes, refused = self._to_keep, {}
        if self._journal is not None and outcomes:
            try:
                refused = self._journal.record(outcomes)
            except AtonceError as error:
                self.error = self.error or error
        self._to_keep = []  # not before: Ctrl-C may end `record`, and then `close` comes here again
        self._carry_out(self.machine.kept(outcomes, refused))

    def _salvage(self) -> None:
        """Reports that were under way when the run was cut short still count, and what was said, or raised by leaving a
        resource, is heard."""
        now = self._clock()
        while self.hub.events:
            event = self.hub.events.popleft()
            if isinstance(event, Said):
                event.say()
                continue
            if isinstance(event, Room):
                continue
            if self._onlookers:
                self._onlookers.show(event, now)
            if isinstance(event, Done):
                commands = self.machine.handle(event, now)
                self._carry_out([command for command in commands if isinstance(command, Emit | Keep)])
            elif isinstance(event, Broken):
                self.error = self.error or event.error
        self._keep()
        self.emitted.append(self.machine.held())
