"""The lane on the engine: processes, event loops, and threads whose calls have a timeout, retries or limits.

    submit ──push──► Calls ──read when a slot is free──► engine, driven by one thread ──► outcome ──► future

A call is read only when it can start at once: before that its future can be cancelled, and no call waits at one worker
while another is idle.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import dataclasses
import threading
from asyncio import CancelledError
from collections.abc import Callable
from functools import partial
from typing import Any

from ..engine.conductor import Conductor
from ..engine.drive import drive
from ..engine.events import Cancel
from ..engine.hub import Hub
from ..engine.status import Status
from ..errors import Bug, WorkerDied
from ..options import Options
from ..outcome import Outcome
from ..placement import load
from ..plan.function import Facts
from ..plan.machine import usable_cpus
from ..plan.models import plan_for
from ..plan.plan import Plan
from ..source import PushSource
from ..worker.calls import Call, call, call_async, with_resource
from ..worker.job import Job
from ..worker.nesting import daemons_allowed, depth
from ..worker.runners import load as load_runner
from ..worker.waits import join
from .lane import LOG, AnyFuture, Lane, take_from

__all__ = ["Driven", "Recipe", "recipe_for"]


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """What the engine needs to know to run calls. `most_ahead`: how many a slot may have before it."""

    job: Job
    facts: Facts
    options: Options
    plan: Plan
    cpus: int
    most_ahead: float = 0


def recipe_for(model: str, kind: str, options: Options, *, most_ahead: float = 0) -> Recipe:
    """The recipe of calls of functions of this kind, "async" or not; raises PlanError where that cannot be."""
    facts, cpus = Facts("submitted calls", "async" if kind == "async" else "sync"), usable_cpus()
    # how many run at once is a promise here, which calls that wait for each other rely on: it does not adapt
    plan = dataclasses.replace(plan_for(model, facts, options, cpus, depth=depth()), most=None)
    target: Any = call_async if facts.kind == "async" else call
    if options.setup is not None:
        target = partial(with_resource, target)
    job = Job(target, options.setup, options.timeout, contextvars.copy_context())
    return Recipe(job, facts, options, plan, cpus, most_ahead)


class Calls(PushSource):
    """Pushed (future, call) pairs. A future runs from when its call is read."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(wake)
        self.running: dict[int, AnyFuture] = {}
        self._count = 0

    def read(self, count: int) -> list[Any]:
        calls: list[Any] = []
        while self._items and len(calls) < count:
            try:
                future, call = self._items.popleft()
            except IndexError:  # all the rest has just been cancelled
                break
            if future.set_running_or_notify_cancel():
                self.running[self._count] = future
                self._count += 1
                calls.append(call)
        return calls

    def take_waiting(self) -> list[AnyFuture]:
        return take_from(self._items.popleft, IndexError)

    @property
    def waiting(self) -> int:
        return len(self._items)


class Driven(Lane):
    """The engine in a thread of its own, from the first call on."""

    def __init__(self, recipe: Recipe, *, daemon: bool = False) -> None:
        self._placement = load(recipe.plan.placement)
        super().__init__(processes=self._placement.needs_pickling, daemon=daemon)
        self._recipe = recipe
        self._hub: Hub | None = None
        self._calls: Calls | None = None
        self._conductor: Conductor | None = None
        self._thread: threading.Thread | None = None
        self._inside: set[threading.Thread] = set()  # threads of this process that have run a call
        self._cancels = load_runner(recipe.plan.runner).can_cancel
        self._asked: set[int] = set()  # running calls that somebody wants cancelled

    def submit(self, future: AnyFuture, call: Call) -> None:
        with self._lock:
            self._check()
            if self._calls is None:
                self._calls = self._start()
            self._calls.push((future, call))

    def _start(self) -> Calls:
        recipe, hub = self._recipe, Hub()
        calls = Calls(hub.wake)
        job = recipe.job
        if not self.processes:
            noting: Any = _noting_async if job.is_async else _noting
            job = dataclasses.replace(job, fn=partial(noting, self._inside, job.fn))
        self._conductor = Conductor(
            job,
            recipe.facts,
            recipe.options,
            recipe.plan,
            calls,
            hub,
            ordered=False,
            total=None,
            cpus=recipe.cpus,
            most_ahead=recipe.most_ahead,
        )
        self._hub = hub
        thread = threading.Thread(
            target=self._drive, args=(self._conductor, calls), name="atonce-executor", daemon=daemons_allowed()
        )
        try:
            thread.start()
        except BaseException:
            hub.close()
            raise
        self._thread = thread
        return calls

    # ── the driver's thread ──────────────────────────────────────────────────────────────────────────────────────────

    def _drive(self, conductor: Conductor, calls: Calls) -> None:
        """Outcomes into futures. What ends the run ends every future that is left."""
        reason: BaseException | None = None
        try:
            for batch in drive(conductor):
                for outcome in batch:
                    self._settle(calls.running.pop(outcome.index), outcome)
                del batch, outcome  # nothing is kept alive while nothing happens
        except BaseException as error:
            reason = error
        with self._lock:
            left = [*calls.running.values(), *calls.take_waiting()]
            if reason is None and left:
                reason = Bug(f"the executor ended before {len(left)} of its calls")
            self._reason, self._closed = reason, True
            calls.running.clear()
        if reason is not None:
            self._break(reason, left)

    def _settle(self, future: AnyFuture, outcome: Outcome[Any]) -> None:
        error = outcome.error
        try:
            if error is None:
                future.set_result(outcome.value)
            elif outcome.index in self._asked and isinstance(error, CancelledError):
                _cancel_running(future)
            else:
                future.set_exception(_as_standard(error) if isinstance(error, WorkerDied) else error)
            self._asked.discard(outcome.index)
        except concurrent.futures.InvalidStateError:
            pass  # somebody else has set it
        except BaseException:
            LOG.critical("a callback of a future raised", exc_info=True)

    # ── from any thread ──────────────────────────────────────────────────────────────────────────────────────────────

    def drop(self) -> None:
        self._closed = True
        if self._calls is not None:
            self._calls.close()

    def cancel_waiting(self) -> None:
        if self._calls is not None:
            for future in self._calls.take_waiting():
                future.cancel()
                future.set_running_or_notify_cancel()  # whoever waits for it hears of it now
            self._calls.close()

    def join(self, timeout: float | None = None) -> bool:
        thread, me = self._thread, threading.current_thread()
        if thread is None or thread is me or me in self._inside:
            return True
        return join(thread, timeout)

    def cancel(self, future: AnyFuture) -> bool:
        # a thread cannot be ended, nor may a process be that others share
        if not self._cancels and not (self._placement.can_kill and self._recipe.plan.concurrency == 1):
            return False
        if self._calls is not None and self._hub is not None:
            for index, running in list(self._calls.running.items()):
                if running is future:
                    self._asked.add(index)
                    self._hub.post(Cancel(index, CancelledError()))
                    return True
        return False

    def end(self, reason: BaseException, *, ask_first: bool) -> None:
        if self._conductor is not None and self.processes:
            self._conductor.stop(reason, ask_first=ask_first)

    def counts(self) -> tuple[int, int]:
        return (0, 0) if self._calls is None else (len(self._calls.running), self._calls.waiting)

    def status(self, *, workers: bool = False) -> Status:
        """What it is doing now, for whoever shows it."""
        return Status() if self._conductor is None else self._conductor.status(workers=workers)

    def orphans(self) -> list[AnyFuture]:
        return [] if self._calls is None else [*self._calls.running.values(), *self._calls.take_waiting()]


def _as_standard(error: WorkerDied) -> WorkerDied:
    try:
        from .broken import died
    except RuntimeError:  # at exit the standard's modules can no longer be imported
        return error
    return died(error)


def _cancel_running(future: AnyFuture) -> None:
    """Cancelled, although it ran: the standard's states know no way from there, so it goes back by one."""
    future._state = "PENDING"
    future.cancel()
    future.set_running_or_notify_cancel()


def _noting(inside: set[threading.Thread], fn: Callable[..., Any], *args: Any) -> Any:
    """Runs the call and notes its thread: one that runs a call cannot wait for the end of all."""
    inside.add(threading.current_thread())
    return fn(*args)


async def _noting_async(inside: set[threading.Thread], fn: Callable[..., Any], *args: Any) -> Any:
    inside.add(threading.current_thread())
    return await fn(*args)
