"""The `thread` runner: C threads share one queue, an item at a time.

    feed ──► todo (deque) ──► thread 0 … C-1 ──► outbox
                 ▲ a token wakes one thread; a thread that starts an item wakes the next one

Threads start on demand. Taking an item is one atomic `popleft`, so a stuck or slow item holds back nobody else's, and a
queue of tiny items is drained by the thread that is awake, without a hand-over between threads. The first thread is
started by whoever feeds; the others by the attendant, since starting one takes as long as a hundred tiny items.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

from ...errors import StartFailed
from ...outcome import WorkerId
from ..job import Cells, Job, calling
from ..nesting import daemons_allowed
from ..outbox import Attendant, Outbox
from ..waits import join, wait
from . import Runner
from .call import Place, run_items

__all__ = ["ThreadRunner"]

# Below this many seconds an item, waking another thread costs more than the item (a hand-over of the GIL is 5-50 µs).
TINY = 20e-6
# Seconds that `stop(cancel=True)` waits for threads inside an item; they are daemons and end by themselves afterwards.
PATIENCE = 0.1
# ... and for those that enter or exit their resource. Below the patience of the engine, which then ends the process.
PATIENCE_TO_EXIT = 0.4


class ThreadRunner(Runner):
    """C threads, each with a resource of its own. A thread cannot be ended, only left behind."""

    can_abandon = True

    def __init__(self, job: Job, slots: int, outbox: Outbox, cells: Cells) -> None:
        super().__init__(job, slots, outbox, cells)
        self._todo: deque[tuple[int, Any]] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._lock = threading.Lock()
        self._starting = threading.Lock()  # held while a thread is started: `stop` finds none that is not yet
        self._idle = 0
        self._entered = threading.Event()
        self._threads: dict[int, _Slot] = {}
        self._free = list(range(cells.slots - 1, -1, -1))
        self._mean: float | None = None  # seconds an item
        self._stopping = False

    def start(self) -> None:
        self._attendant = Attendant(self.outbox, also=self._help)
        if self.job.setup is not None:  # before it calls itself ready, it has entered one resource
            self._start_thread()
            wait(self._entered)

    def feed(self, batch: Iterable[tuple[int, Any]]) -> None:
        self._todo.extend(batch)
        self._wake()

    def abandon(self, slot: int, index: int) -> None:
        with self._lock:
            stuck = self._threads.pop(slot)
            self._free.append(slot)
            stuck.left.append(True)
            self.cells.leave(slot)
        self._wake()

    def resize(self, slots: int) -> None:
        """Fewer: as many threads end, each after its item; nothing is cancelled. More: they start as there are items."""
        super().resize(slots)
        with self._lock:
            staying = [thread for thread in self._threads.values() if not thread.left]
            for thread in staying[self.slots :]:
                thread.left.append(True)
        self._wake()

    def retire(self, thread: _Slot) -> None:
        """This one has ended, since there are to be fewer; one that was left behind has a successor, and is not listed."""
        with self._lock:
            if self._threads.get(thread.slot) is not thread:
                return
            del self._threads[thread.slot]
            self._free.append(thread.slot)
            self.cells.leave(thread.slot)
        self.outbox.flush()
        self._wake()

    def stop(self, *, cancel: bool) -> None:
        if cancel:
            self._todo.clear()
        self._stopping = True
        with self._starting, self._lock:
            threads = list(self._threads.values())
        for _ in threads:
            self._tokens.put(False)
        now = time.monotonic()
        for thread in threads:
            join(thread, max(0.0, now + PATIENCE - time.monotonic()) if cancel else None)
        for thread in threads:
            if not thread.in_items:
                join(thread, max(0.0, now + PATIENCE_TO_EXIT - time.monotonic()))
        self._attendant.stop()
        self.outbox.flush()

    def _wake(self) -> None:
        """Give one more thread something to do: an idle one, or a new one if there may be more."""
        if not self._todo:
            return
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._tokens.put(True)
                return
        if not self._threads:
            self._start_thread()
        elif len(self._threads) < self.slots:
            self._attendant.call()

    def _help(self) -> None:
        """In the attendant's thread: wake one more thread; start as many as there are items where these are worth it."""
        while self._todo and not self._stopping:
            if self._idle or len(self._threads) >= self.slots:
                self._wake()
                return
            self._start_thread()
            if not self._worth_waking():
                return

    def _worth_waking(self) -> bool:
        return self._mean is None or self._mean >= TINY

    def _start_thread(self) -> None:
        with self._starting:
            with self._lock:
                if len(self._threads) >= self.slots or self._stopping:
                    return
                thread = _Slot(self, self._free.pop())
                self._threads[thread.slot] = thread
            # outside the inner lock: `start` waits for the new thread, which soon wants that one itself
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads: go on with those there are
                self._do_without(thread, error)

    def _do_without(self, thread: _Slot, error: RuntimeError) -> None:
        with self._lock:
            del self._threads[thread.slot]
            self._free.append(thread.slot)
            self.slots = len(self._threads)
        if not self.slots:
            self._todo.clear()
            self.outbox.broken(_no_thread(error))
            self._entered.set()

    def _items(self) -> Iterator[tuple[int, Any]]:
        """The queue as one thread sees it. Before an item starts, the next thread is woken, if items are worth it."""
        todo = self._todo
        while True:
            try:
                pair = todo.popleft()
            except IndexError:
                return
            if todo and self._worth_waking() and (self._idle or len(self._threads) < self.slots):
                self._wake()
            before = time.monotonic()
            yield pair
            # A moving mean by eighths. A sample counts at most double, since a switch of threads in the middle of a tiny
            # item makes it look 1 000 times as long. A race between threads loses one sample, which is harmless.
            took = time.monotonic() - before
            mean = self._mean
            self._mean = took if mean is None else mean + (min(took, 2 * mean) - mean) / 8


def _no_thread(error: BaseException) -> StartFailed:
    return StartFailed(
        f"not one thread can be started: {error}",
        causes=("a limit on memory or on the number of processes (ulimit -v, ulimit -u, a container's)",),
        hint="a higher limit, or fewer threads elsewhere",
    )


class _Slot(threading.Thread):
    def __init__(self, runner: ThreadRunner, slot: int) -> None:
        super().__init__(name=f"atonce-{slot}", daemon=daemons_allowed())
        self._runner = runner
        self.slot = slot
        self.left: list[bool] = []  # not empty: this thread was left behind, and stops after its item
        self.in_items = False

    def run(self) -> None:
        runner, outbox = self._runner, self._runner.outbox
        who = WorkerId(os.getpid(), threading.get_ident(), self.slot)
        try:
            with calling(runner.job) as call:
                place = Place(call, runner.job, outbox, runner.cells, who, left=self.left)
                runner._entered.set()
                while not self.left:
                    self.in_items = True
                    run_items(runner._items(), place)
                    self.in_items = False
                    if self.left:
                        break
                    outbox.flush()
                    with runner._lock:
                        runner._idle += 1
                    # an item may have come between the last look and the count: whoever fed it saw no idle thread
                    if runner._todo:
                        runner._wake()
                    if not runner._tokens.get():
                        break
            if self.left:
                runner.retire(self)
        except BaseException as error:  # setup, or the exit of the resource: the run must hear of it
            outbox.broken(error)
            runner._entered.set()
