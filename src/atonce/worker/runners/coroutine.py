"""The `coroutine` runner: one event loop, C slots, each a task that runs one item after another.

    feed ──► todo (deque) ──► slot task 0 … C-1 ──► outbox
                 ▲ a slot that starts an item wakes the next idle slot

A slot is a task for many items, not a task an item: an item that never waits costs no trip through the loop. The price
is that items of a slot would share context variables, so a slot whose context was changed ends and a fresh one goes on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ...errors import Bug, ItemTimeout, RunError, SetupFailed, shown
from ...outcome import WorkerId
from ..job import IDLE, Cells, Job, _not_a_manager, leaving, setup_failed
from ..nesting import daemons_allowed
from ..outbox import DRY, FLUSH, Failure, Outbox
from ..waits import ended, join, wait
from . import Runner

__all__ = ["CoroutineRunner", "new_loop"]

# Seconds a cancelled item may take to unwind before its slot is left behind.
GRACE = 1.0
# Seconds that items which never wait may hold the loop before it turns once, so that timers and other tasks run.
TURN = 0.002


class CoroutineRunner(Runner):
    """C coroutines in flight in one loop: a loop of its own in a thread of its own, or (`loop=`) the caller's."""

    enforces_timeout = True
    can_cancel = True

    def __init__(
        self, job: Job, slots: int, outbox: Outbox, cells: Cells, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(job, slots, outbox, cells)
        self._own_loop = loop is None
        self._loop = loop
        self._thread: threading.Thread | None = None
        self._todo: deque[tuple[int, Any]] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._free = list(range(cells.slots - 1, -1, -1))
        self._current: dict[int, tuple[int, float]] = {}  # slot → (index, started): what the timeout sweeps over
        self._expired: set[tuple[int, int]] = set()  # (slot, index) that this runner cancelled
        self._unwanted: set[int] = set()  # those of them that are not late: somebody asked for it
        self._left: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()  # would not be cancelled
        self._sweeper: asyncio.TimerHandle | None = None
        self._flusher: asyncio.TimerHandle | None = None
        self._ready = False
        self._waking = False  # a slot was told to go on and has not had its turn yet
        self._busy = 0  # slots that are inside `_items`
        self._entered = threading.Event()
        self._start_error: BaseException | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._closed: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._base = job.context or contextvars.Context()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop its items run in."""
        return self._loop

    # ── called from outside ──────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.outbox.arm = self._arm
        if self._own_loop:
            self._loop = new_loop()
            self._thread = threading.Thread(
                target=self._own_thread, args=(self._loop,), name="atonce-loop", daemon=daemons_allowed()
            )
            self._thread.start()
            wait(self._entered)
            if self._start_error is not None:
                raise self._start_error
        else:
            assert self._loop is not None
            self._main_task = self._loop.create_task(self._main(), context=self._base.copy())

    def feed(self, batch: Iterable[tuple[int, Any]]) -> None:
        self._todo.extend(batch)
        self._soon(self._wake)

    def resize(self, slots: int) -> None:
        super().resize(slots)
        self._soon(self._wake)

    def stop(self, *, cancel: bool) -> None:
        if cancel:
            self._todo.clear()
        self._soon(partial(self._stop, cancel))
        if self._thread is not None:
            join(self._thread, 2 * GRACE if cancel else None)

    def leave(self) -> None:
        self._todo.clear()
        self._soon(partial(self._stop, True))

    def cancel(self, index: int) -> None:
        self._soon(partial(self._cancel, index))

    async def wait_closed(self) -> None:
        """In the caller's loop `stop` cannot block: await this after it."""
        await ended(self._closed)

    # ── in the loop ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _own_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(loop.create_task(self._main(), context=self._base.copy()))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def _main(self) -> None:
        """Enter the resource, run slots until told to stop, exit the resource."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._pid, self._thread_id = os.getpid(), threading.get_ident()
        self._stopping = loop.create_future()
        self.outbox.meter = _Meter()
        try:
            fn, leave = await self._enter()
        except BaseException as error:
            self._start_error = error
            self._entered.set()
            self._closed.set_result(None)
            if not self._own_loop:  # nobody waits in `start` for it
                self.outbox.broken(error)
                if not isinstance(error, Exception):
                    raise
            return
        self._fn = fn
        self._entered.set()
        try:
            self._ready = True
            self._wake()
            await self._stopping
            await self._drain()
        except asyncio.CancelledError:  # not by us: the caller's loop ends, or somebody cancels all of its tasks
            self._todo.clear()
            self.outbox.broken(_cancelled_from_outside())
            if not self._own_loop:
                raise
        finally:
            for timer in (self._sweeper, self._flusher):
                if timer is not None:
                    timer.cancel()
            try:
                with leaving():
                    await leave()
            except SetupFailed as error:
                self.outbox.broken(error)
            self.outbox.flush()
            self._closed.set_result(None)

    async def _enter(self) -> tuple[Callable[[Any], Any], Callable[[], Any]]:
        if self.job.setup is None:
            return self.job.fn, _nothing
        try:
            resource = self.job.setup()
            if hasattr(resource, "__aenter__"):
                entered = await resource.__aenter__()
                return partial(self.job.fn, entered), partial(resource.__aexit__, None, None, None)
            if not hasattr(resource, "__enter__"):
                raise TypeError(_not_a_manager(resource, wants_async=True))
            entered = resource.__enter__()
        except (Exception, SystemExit) as error:
            raise setup_failed(error) from error

        async def leave() -> None:
            resource.__exit__(None, None, None)

        return partial(self.job.fn, entered), leave

    def _soon(self, callback: Callable[[], None]) -> None:
        if not self._own_loop:
            callback()
        elif self._loop is not None and not self._loop.is_closed():  # None: it could not be started
            self._loop.call_soon_threadsafe(callback)

    def _wake(self) -> None:
        """Give one more slot something to do: an idle one, or a new one if there may be more."""
        if self._waking or not self._todo or not self._ready:
            return
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                self._waking = True
                future.set_result(None)
                return
        if len(self._tasks) < self.slots:
            assert self._loop is not None
            slot = self._free.pop()
            context = self._base.copy()
            self._waking = True
            self._tasks[slot] = self._loop.create_task(self._slot(slot, context), context=context)

    async def _slot(self, slot: int, context: contextvars.Context) -> None:
        """Run items until the runner stops, or until an item has changed `context`, this task's own."""
        task = asyncio.current_task()
        if (
            self._tasks.get(slot) is not task
        ):  # `asyncio.eager_task_factory` begins it within `create_task`: not before its turn
            await asyncio.sleep(0)
        self._waking = False
        try:
            clean = True
            while clean and task not in self._left:
                if not self._todo and not await self._wait_for_items():
                    return
                self._busy += 1
                try:
                    clean = await self._items(slot, context)
                finally:
                    self._busy -= 1
        except Exception as error:  # ours, since the function's are caught: a successor would only meet it again
            self._todo.clear()
            self.outbox.broken(Bug(f"a slot of the event loop ended: {type(error).__name__}: {error}"))
        finally:
            # not when this slot was left behind and has a successor
            if self._tasks.get(slot) is task:
                self._vacate(slot)
                self._current.pop(slot, None)
                self._wake()

    def _vacate(self, slot: int) -> asyncio.Task[None]:
        """The slot is free for a successor; returns the task that had it."""
        self._free.append(slot)
        return self._tasks.pop(slot)

    async def _wait_for_items(self) -> bool:
        if self.outbox.rows or self.outbox.failures:
            if not self._busy or time.monotonic() - self.outbox.flushed >= DRY:
                self.outbox.flush()
            else:
                self._arm(DRY)
        assert self._stopping is not None
        assert self._loop is not None
        if self._stopping.done() or len(self._tasks) > self.slots:
            return False
        future = self._loop.create_future()
        self._idle.append(future)
        try:
            await future
        finally:
            if future.done() and not future.cancelled():
                self._waking = False
        return not self._stopping.done() or bool(self._todo)

    async def _items(self, slot: int, context: contextvars.Context) -> bool:
        """The hot loop: returns True when there are no items, False when the context is no longer the one it began with.

        The end of an item is the start of the next, so a clock is read once an item; reports leave by a timer, which has its
        turn at least each `TURN` seconds.
        """
        clock, todo, fn, outbox = time.monotonic, self._todo, self._fn, self.outbox
        view, current, tick = self.cells.view, self._current, self.job.timeout is not None
        at = self.cells.at(slot)
        since = at + 1
        who = WorkerId(self._pid, self._thread_id, slot)
        append, take, base = outbox.rows.append, todo.popleft, self._base
        surely = self.job.is_async  # spares `isawaitable`, which is slow
        started = clock()
        turn_at = started + TURN
        clean = True
        while todo and clean:
            index, item = take()
            if not self._waking and todo and (self._idle or len(self._tasks) < self.slots):
                self._wake()
            view[since] = started
            view[at] = index
            if tick:
                current[slot] = (index, started)
                if self._sweeper is None:
                    self._sweep_at(started + self.job.timeout)  # type: ignore[operator]
            try:
                value = fn(item)
                if surely or inspect.isawaitable(value):
                    value = await value
            except BaseException as error:
                ended = clock()
                if self._left and asyncio.current_task() in self._left:
                    raise  # reported when it was left behind; the slot has another owner
                if (slot, index) in self._expired:
                    self._expired.discard((slot, index))
                    _uncancel()
                    failure: BaseException
                    if index in self._unwanted:
                        self._unwanted.discard(index)
                        failure = asyncio.CancelledError()
                    else:
                        failure = timed_out(index, item, self.job.timeout)
                elif isinstance(error, asyncio.CancelledError) and self._cancelled(slot):
                    raise
                else:
                    failure = error
                    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
                outbox.failures.append(Failure(index, failure, started, ended, 0.0, who))
                del error, failure
            else:
                ended = clock()
                if self._left and asyncio.current_task() in self._left:
                    return False
                append((index, value, started, ended, 0.0, who))
                del value
                if self._expired and (slot, index) in self._expired:
                    # it finished in the very turn in which it was cancelled: the value counts, the cancellation does not
                    self._expired.discard((slot, index))
                    self._unwanted.discard(index)
                    await _swallow_cancellation()
            if self._flusher is None:
                self._arm()
            del item
            if ended >= turn_at:
                view[at] = IDLE  # what ended in time must not be swept up in this turn
                current.pop(slot, None)
                await asyncio.sleep(0)
                ended = clock()
                turn_at = ended + TURN
                if len(self._tasks) > self.slots:  # there are to be fewer
                    return False
            started = ended
            try:
                clean = context == base
            except Exception:  # a variable's value that cannot be compared, such as an array: it is a new one
                clean = False
        view[at] = IDLE
        current.pop(slot, None)
        return clean

    def _cancelled(self, slot: int) -> bool:
        """Whether this slot was cancelled by us because the run stops, or was left behind."""
        assert self._stopping is not None
        return self._stopping.done() or self._tasks.get(slot) is not asyncio.current_task()

    def _cancel(self, index: int) -> None:
        """This runs between two steps of the items: a slot whose cell names the item is suspended inside of it."""
        for slot, task in self._tasks.items():
            if self.cells.view[self.cells.at(slot)] == index:
                self._expired.add((slot, index))
                self._unwanted.add(index)
                task.cancel()
                return
        for pair in self._todo:
            if pair[0] == index:
                self._todo.remove(pair)
                now = time.monotonic()
                self.outbox.failures.append(Failure(index, asyncio.CancelledError(), now, now, 0.0, None))
                self.outbox.flush()
                return

    # ── timers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _arm(self, delay: float = FLUSH) -> None:
        if self._loop is None:
            return
        if self._flusher is not None:
            if delay == FLUSH:
                return
            self._flusher.cancel()
        self._flusher = self._loop.call_later(delay, self._flush)

    def _flush(self) -> None:
        self._flusher = None
        self.outbox.flush()

    def _sweep_at(self, when: float) -> None:
        assert self._loop is not None
        # not more often than each 10 ms: a late item is told so within that
        delay = max(0.01, when - time.monotonic())
        self._sweeper = self._loop.call_later(delay, self._sweep)

    def _sweep(self) -> None:
        """Cancel what is late; leave behind what was cancelled a while ago and would not go."""
        assert self.job.timeout is not None
        self._sweeper = None
        now, soonest = time.monotonic(), None
        for slot, (index, started) in list(self._current.items()):
            limit = started + self.job.timeout
            if (slot, index) in self._expired:
                limit += GRACE
                if now >= limit:
                    self._leave_behind(slot, index, started, now)
                    continue
            elif now >= limit:
                self._expired.add((slot, index))
                self._tasks[slot].cancel()
                limit += GRACE
            soonest = limit if soonest is None else min(soonest, limit)
        if soonest is not None:
            self._sweep_at(soonest)

    def _leave_behind(self, slot: int, index: int, started: float, now: float) -> None:
        self._expired.discard((slot, index))
        self._left.add(self._vacate(slot))
        del self._current[slot]
        error = timed_out(index, None, self.job.timeout, swallowed=True)
        self.outbox.failures.append(Failure(index, error, started, now, 0.0, WorkerId(self._pid, self._thread_id, slot)))
        self.outbox.flush()
        self._wake()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stop(self, cancel: bool) -> None:
        if self._stopping is None:  # not even started: `_main` will see it
            if self._loop is not None:
                self._loop.call_soon(self._stop, cancel)
            return
        if self._stopping.done():
            return
        self._stopping.set_result(None)
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        if cancel:
            for task in list(self._tasks.values()):
                task.cancel()

    async def _drain(self) -> None:
        while tasks := {task: slot for slot, task in self._tasks.items()}:
            done, pending = await asyncio.wait(tasks, timeout=GRACE if not self._todo else None)
            for task in done:
                # a task that was cancelled before its first step has not taken itself off the list
                if self._tasks.get(tasks[task]) is task:
                    self._vacate(tasks[task])
                if not task.cancelled() and (error := task.exception()) is not None:
                    self.outbox.broken(error)
            if not done and all(task.cancelling() for task in pending):
                return  # these would not go; the loop's end destroys them


class _Meter:
    """CPU of the loop's thread since it was last asked: what coroutines take can be told of all, not of each."""

    def __init__(self) -> None:
        self._then = time.thread_time()

    def __call__(self) -> float:
        now = time.thread_time()
        spent, self._then = now - self._then, now
        return spent


def timed_out(index: int, item: Any, limit: float | None, *, swallowed: bool = False) -> ItemTimeout:
    """The error of a late item, the same from every runner and from the near side."""
    causes = ["the item is slower than others", "it waits for something that does not come"]
    if swallowed:
        causes.insert(0, "the function catches CancelledError and goes on")
    what = f"item {index} took longer than timeout={limit:g} s" if limit is not None else f"item {index} timed out"
    return ItemTimeout(what, item=None if item is None else shown(item), causes=causes, hint="a longer timeout=, or retry=")


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def _swallow_cancellation() -> None:
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        _uncancel()


def _cancelled_from_outside() -> RunError:
    return RunError(
        "the tasks that run the items were cancelled, and not by this run",
        causes=("something cancels all tasks of its event loop (asyncio.all_tasks)", "the event loop ends"),
        hint="cancel the task that awaits the run: it ends the others",
    )


async def _nothing() -> None:
    pass


def new_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where there is one, else asyncio's own."""
    if sys.platform != "win32":
        try:
            import uvloop
        except (ImportError, RuntimeError):  # not there; or first wanted at exit, when what it imports refuses
            pass
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()
