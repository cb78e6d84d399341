"""Carries out what the machine decides: hires workers, feeds them, reads the source, collects what is final.

A driver (`drive`) calls `pump`, hands out what it returns, and waits in the hub as long as `timeout` says. All of it runs in
the driver's thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import AtonceError
from ..options import CLUSTERS, Options
from ..outcome import Outcome, Recorded, Stats
from ..placement import Worker
from ..plan.function import Facts
from ..plan.plan import Plan
from ..worker.job import Job
from ..worker.memory import resident
from ..worker.nesting import daemons_allowed
from ..worker.waits import ended
from .crew import Crew
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
from .history import Again, History, Move, Weight
from .hub import Hub
from .machine import Machine, Policy
from .observer import Observer
from .onlookers import Onlookers
from .pressure import EVERY, Gauge, pressure
from .seat import Seat
from .status import Status, status_of

if TYPE_CHECKING:
    import asyncio

    from .choosing import Choosing
    from .growing import Growing

__all__ = ["Conductor"]

# Seconds that `close` gives workers to exit their resources before they are killed.
PATIENCE = 0.5
# Seconds after which a run in a loop that its function brings is looked at: may it be too much for one process?
GROWS_AFTER = 0.1


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
                cores=0 if plan.model in CLUSTERS else cpus,
            )
        )
        self._journal = journal
        self._to_keep: list[Outcome[Any]] = []
        self._job, self._facts, self._options, self._source = job, facts, options, source
        self._total = total if total is None or journal is None else total - len(journal)  # of those that will run
        self._cpus, self._loop, self._clock = cpus, loop, clock
        self._onlookers = Onlookers(observers, self.machine.seats)
        self.crew = Crew(job, options, self.machine, hub, self._onlookers, cpus=cpus, loop=loop, clock=clock)
        self._workers = self.crew.here
        self.emitted: deque[Batch] = deque()  # what is final, for the driver to hand out
        self._again = False
        self._started = clock()
        self._ended: float | None = None
        self._measure_only = measure_only
        self._choosing: Choosing | None = None  # while there is something to decide
        self._growing: Growing | None = None  # while it may outgrow this process
        self._grows_at = math.inf
        self._new_gauge = gauge
        self._gauge: Gauge | None = None
        self._look_at = math.inf  # at the gauge
        self._begun = False
        self._beside = False  # a thread closes it
        self._ask_first = False
        self.error: BaseException | None = None
        self.history = History(self._started)
        self.when_put_off: Callable[[Again], None] | None = None  # told of each failure that is not final, between two steps

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
        if self._choosing is not None:
            self._choosing.pump(now)
            if self._choosing.over:
                self._choosing = None
        if now >= self._grows_at:
            self._grow(now)
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
            if self._choosing is not None:
                self._choosing.no_more_items()

    @property
    def _inline(self) -> bool:
        return self.plan.runner == "call" and self.plan.placement == "here" and self._loop is None

    def timeout(self) -> float | None:
        """How long nothing can happen but by an event; None: for ever."""
        if self._again or self.hub.events or self.finished:
            return 0.0
        next_at = self.machine.next_at()
        if self._choosing is not None:
            next_at = min(next_at, self._choosing.check_at)
        return None if next_at == math.inf else max(0.0, next_at - self._clock())

    def stop(self, error: BaseException, *, ask_first: bool = False) -> None:
        """From any thread: end the run with this error. `ask_first`: processes get a SIGTERM, and half a second to obey."""
        self._ask_first = ask_first
        self.error = error
        self.hub.wake()

    def close(self, *, cancel: bool) -> None:
        """End what runs (`cancel`) or let it finish; resources are exited; processes get half a second, then are killed.

        In a fork that leaves its parent's loop nothing: all of it is the parent's, who goes on.
        """
        if self.hub.closed or self.hub.inherited:
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
        if self._choosing is not None:
            self._choosing.end()
            self._choosing = None  # it knows this object
        workers = self.crew.all
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
        self.crew.close()
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
        """As `close`, without holding up the caller's loop. Runners, and an async source, may live in it: their tasks end in
        its turns. All else is closed in a thread. It is waited for to the end, also where the caller is cancelled meanwhile."""
        import asyncio

        cancelled: asyncio.CancelledError | None = None
        self._source.close()
        in_loop = [worker for worker in self.crew.all if getattr(worker, "wait_closed", None) is not None]
        for worker in in_loop:
            worker.close(cancel=cancel)
        waits = [part.wait_closed for part in (*in_loop, self._source) if getattr(part, "wait_closed", None) is not None]
        if len(in_loop) < len(self.crew.all):
            waits.append(partial(self._close_beside, cancel))
        try:
            for wait in waits:
                try:
                    await wait()
                except asyncio.CancelledError as error:
                    cancelled = error
        finally:  # also where the loop has ended before they have
            if not self._beside:
                self.close(cancel=cancel)
        if cancelled is not None:
            raise cancelled

    async def _close_beside(self, cancel: bool) -> None:
        import asyncio
        import concurrent.futures

        closed: concurrent.futures.Future[None] = concurrent.futures.Future()

        def close() -> None:
            try:
                self.close(cancel=cancel)
            except BaseException as error:
                closed.set_exception(error)
            else:
                closed.set_result(None)

        with contextlib.suppress(RuntimeError):  # no thread is to be had, as at exit: then it is closed here
            threading.Thread(target=close, name="atonce-close", daemon=daemons_allowed()).start()
            self._beside = True
        if self._beside:
            try:
                await ended(closed, 2 * PATIENCE)
            except asyncio.CancelledError:  # a resource may take for ever to exit: its process is killed, a thread left to it
                for worker in self.crew.all:
                    if not worker.gone():
                        worker.kill()
                raise

    # ── for who looks on: any thread may ask ─────────────────────────────────────────────────────────────────────────

    @property
    def failed(self) -> int:
        """Items whose outcome, given out or not, is a failure."""
        return self.machine.failed

    @property
    def probing(self) -> bool:
        return self._choosing is not None and self._choosing.probing

    @property
    def warming(self) -> bool:
        """Workers are being started, and the one that measured goes on until they are there."""
        return self._choosing is not None and self._choosing.warming

    def longest(self, number: int) -> tuple[int | None, float]:
        """(index, since when) of what has been running longest in this worker."""
        worker = self._workers.get(number) or self.crew.leaving.get(number)
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

    def hire(self, plan: Plan) -> bool:
        """The workers of a plan; whether there was room for any."""
        if plan.most is not None:
            self.steer(plan.parallelism * plan.concurrency, plan.parallelism * plan.most)
        self.crew.placement(plan.placement)
        count = plan.parallelism
        if self._total is not None:  # a worker that would get no item need not be started
            count = min(count, max(1, self._total - (self.machine.emitted - self.machine.resumed)))
        numbers = [self._hire_one(plan) for _ in range(count)]
        return any(number in self._workers for number in numbers)

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
            self.steer(self.plan.parallelism * plan.concurrency, self.plan.parallelism * (plan.most or 0))
        for _ in range(more):
            self._hire_one(self.plan)

    def steer(self, start: int, most: int) -> None:
        """Let the machine find out how many may be in flight, and hear what this computer has to say about it."""
        self.machine.steer(start, most)
        now = self._clock()
        self._gauge, self._look_at = self._new_gauge(now), now + EVERY

    def _look(self, now: float) -> None:
        assert self._gauge is not None
        self._look_at = now + EVERY
        level, reason = pressure(self._gauge.read(now, self.machine.cpu))
        self._carry_out(self.machine.press(now, level, reason))

    def _hire_one(self, plan: Plan, instead_of: int | None = None) -> int:
        number = self.crew.hire(plan, instead_of)
        self.error = self.crew.error or self.error
        return number

    def _notice(self, event: Any, now: float) -> None:
        """What concerns the conductor itself: the first items tell the plan; a worker that ended is nobody's any more."""
        kind = type(event)
        if kind is Done:
            if self._gauge is not None and event.report.ended:
                self._gauge.heard(event.report.ended[-1], now)
            if (self._choosing or self._growing) and (seat := self.machine.seats.get(event.worker)) is not None:
                if self._choosing is not None:
                    self._choosing.done(event.worker, event.report, seat.assigned)
                if self._growing is not None:
                    self._growing.done(event.report, seat.assigned)
        elif kind is Ready:
            if self._choosing is not None:
                self._choosing.ready(event.worker, now)
        elif kind is Lost or kind is Ended:
            self.crew.gone(event.worker)
            if kind is Lost and self._choosing is not None:
                self._choosing.lost()

    # ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        if not self.plan.probing:
            self.hire(self.plan)
            if self._may_grow:
                self._grows_at = self._clock() + GROWS_AFTER
            return
        from .choosing import Choosing  # 15 ms with what it measures by: only where something is measured

        self._choosing = Choosing(
            self, self._job, self._facts, self._options, self._cpus, measure_only=self._measure_only, clock=self._clock
        )
        self._choosing.begin()

    @property
    def _may_grow(self) -> bool:
        """Whether several processes may do what one does, should that be too much for it."""
        options, plan = self._options, self.plan
        ours = options.model == "auto" and options.parallelism == "auto" and plan.model == "coroutines"
        return ours and self._cpus > 1 and hasattr(self._job.fn, "atonce_elsewhere")

    def _grow(self, now: float) -> None:
        if self._growing is None:
            from .growing import Growing  # with what it reckons by: a run that is over soon need not load it

            self._growing = Growing(self, self._job, self._facts, self._options, self._cpus, clock=self._clock)
        else:
            self._growing.pump(now)
        self._grows_at = self._growing.look_at
        if self._growing.over or self.machine.source_ended:
            self._growing, self._grows_at = None, math.inf

    def join(self, plan: Plan) -> None:
        """As many more workers as the plan has beside those that there are; all of them share what may be in flight."""
        before, self.plan = self.plan, plan
        numbers = [self._hire_one(plan) for _ in range(plan.parallelism - len(self._workers))]
        if not any(number in self._workers for number in numbers):
            self.plan = before
            return
        self._carry_out(self.machine.resize() if plan.most is not None else self.machine.narrow(plan.concurrency))

    def hire_probe(self) -> tuple[int, Seat, Worker] | None:
        """One more worker to measure with."""
        number = self._hire_one(self.plan)
        return (number, self.machine.seats[number], self._workers[number]) if number in self._workers else None

    def left(self) -> int | None:
        """How many items have not been read, None where nobody knows."""
        if self.machine.source_ended:
            return 0
        return None if self._total is None else max(0, self._total - max(1, self.machine.read_count - self.machine.resumed))

    def resize(self) -> None:
        """Tell the workers how many may be in flight in each."""
        self._carry_out(self.machine.resize())

    def let_go(self, numbers: Sequence[int]) -> None:
        """They finish what they have, and leave."""
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
                    self.crew.release(number)
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
                    if self._choosing is not None:
                        self._choosing.hangs()
                case Stop(error):
                    self.error = error

    def _remember(self, now: float) -> None:
        """What moved a limit, and now and then how much memory there is in use."""
        for key, limit, why in self.machine.moves():
            self.history.moved(move := Move(now, limit, why, str(key)))
            if self._onlookers:
                self._onlookers.tell("limited", move)
        for again in self.machine.put_off():
            if self.when_put_off is not None:
                self.when_put_off(again)
            if self._onlookers:
                self._onlookers.tell("put_off", again)
        if now >= self.history.next_look:
            workers = sum(worker.memory() for worker in self.crew.all)
            self.history.weighed(weight := Weight(now, resident(), workers))
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
