"""Results on their way back: collected by item, sent by batch.

A runner appends a row an item; a report leaves when `FLUSH` seconds have passed since the last one, when the runner has
nothing left to do, or, while a long item runs, when the attendant or the loop's timer says so. A result is never held
back by the item behind it.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from itertools import accumulate, repeat
from typing import Any, NamedTuple, Protocol

from ..outcome import WorkerId
from .nesting import daemons_allowed

__all__ = ["DRY", "FLUSH", "FLUSH_COMPUTING", "Attendant", "Failure", "Outbox", "Report", "Row", "Slab"]

# Seconds between reports of a busy worker. Longer makes results late: 50 ms naps on 32 threads took a tenth longer at 20 ms.
FLUSH = 0.005
# The same for one that computes in a process: a report costs about 0.4 ms of CPU, both sides together, which nobody else has
# then: 8 % at 5 ms, 3 % at 20 ms, 1.5 % at this pace (the bench of 1 ms items on all cores shows it).
FLUSH_COMPUTING = 0.04
# Seconds between reports of a worker that runs dry: whoever feeds it waits for news.
DRY = 0.0005

Row = tuple[int, Any, float, float, float, WorkerId]  # index, value, started, ended, cpu, where
Columns = tuple[list[int], list[Any], list[float], list[float], list[float], list[WorkerId]]  # the same, of many


class Failure(NamedTuple):
    """An item that raised, timed out or could not be carried."""

    index: int  # type: ignore[assignment]  # hides tuple.index, on purpose
    error: BaseException
    started: float
    ended: float
    cpu: float
    worker: WorkerId | None


class Report(NamedTuple):
    """What a worker finished since its last report, in columns: `indices[k]` gave `values[k]`."""

    indices: Sequence[int] = ()
    values: Sequence[Any] = ()
    started: Sequence[float] = ()
    ended: Sequence[float] = ()
    cpu: Sequence[float] = ()
    workers: Sequence[WorkerId] = ()
    failures: Sequence[Failure] = ()
    nbytes: int = 0


class Slab:
    """Items too short to look at one by one, run in one go: a clock is read before the first and after the last.

    Whoever runs them appends to `indices` before an item and to `values` after it, so that as many are finished as there are
    values. Each gets an even share of the time: `mean` seconds while the last is not over. CPU time is shared over a report.
    """

    __slots__ = ("first", "indices", "mean", "share", "taken", "values", "who")

    def __init__(self, first: float, mean: float, share: float, who: WorkerId) -> None:
        self.indices: list[int] = []
        self.values: list[Any] = []
        self.first, self.mean, self.share, self.who = first, mean, share, who
        self.taken = 0

    def take(self, columns: Columns, now: float, others: int = 0, most: float = math.inf) -> float:
        """What is finished and was not taken before, but for CPU seconds, which are given for all of it together.

        So many `others` have had their share of the time until `now`; `most` seconds for each.
        """
        done = len(self.values)
        count = done - self.taken
        if not count:
            return 0.0
        step = min(max(0.0, now - self.first) / (count + others), most)
        times = list(accumulate(repeat(step, count), initial=self.first))
        if not others and step < most:  # all of it: then the next slab begins with the very end of this one
            times[-1] = now
        indices, values, started, ended, _, workers = columns
        indices += self.indices[self.taken : done]
        values += self.values[self.taken : done]
        ended += times[1:]
        self.first = times.pop()
        started += times
        workers += repeat(self.who, count)
        self.taken = done
        return count * step * self.share


class Outbox:
    """Rows in, reports out. Any thread may append; reports leave one at a time."""

    def __init__(
        self,
        send: Callable[[Report], None],
        broken: Callable[[BaseException], None],
        unreadable: Callable[[Sequence[int], BaseException], None] | None = None,
    ) -> None:
        self.rows: list[Row] = []
        self.failures: list[Failure] = []
        self.slabs: list[Slab] = []  # that are being run
        self._columns: Columns = ([], [], [], [], [], [])  # of slabs; CPU seconds are shared out when they are sent:
        self._cpu = 0.0  # all of them together
        self.flushed = 0.0
        self.pace = FLUSH
        self.arm: Callable[[], None] = _nothing
        # CPU seconds since it was last asked, where no item has a measure of its own: shared evenly over a report
        self.meter: Callable[[], float] | None = None
        self.broken = broken
        self.unreadable = unreadable or _nothing
        self._send = send
        self._lock = threading.Lock()

    def due(self, now: float) -> None:
        """Called after an item: sends if it is time, or sees to it that somebody will."""
        if now - self.flushed >= self.pace:
            self.flush()
        else:
            self.arm()

    def flush(self) -> None:
        """Send what there is. Appends may go on meanwhile: only what was counted is taken, both steps are atomic."""
        with self._lock:
            count, failed = len(self.rows), len(self.failures)
            self.flushed = now = time.monotonic()
            for slab in self.slabs:  # the item that runs in it is a long one after all
                self._cpu += slab.take(self._columns, now, 1, slab.mean)
            columns: Sequence[Sequence[Any]] = self._columns
            if not count and not failed and not columns[0]:
                return
            rows, failures = self.rows[:count], self.failures[:failed]
            del self.rows[:count], self.failures[:failed]
            if columns[0]:
                self._columns[4].extend(repeat(self._cpu / len(columns[0]), len(columns[0])))
                self._columns, self._cpu = ([], [], [], [], [], []), 0.0
                if rows:
                    columns = [[*early, *late] for early, late in zip(columns, zip(*rows, strict=True), strict=True)]
            elif rows:
                columns = list(zip(*rows, strict=True))
            else:
                self._send(Report(failures=failures))
                return
            indices, values, started, ended, cpu, workers = columns
            if self.meter is not None:
                cpu = (self.meter() / count,) * count
            self._send(Report(indices, values, started, ended, cpu, workers, failures))

    def open(self, slab: Slab) -> None:
        """What is finished in it is there to be sent from now on."""
        with self._lock:
            self.slabs.append(slab)

    def close(self, slab: Slab, now: float, failed: int = 0) -> None:
        """It is over; `failed`: one more was started, and has no value."""
        with self._lock:
            self.slabs.remove(slab)
            self._cpu += slab.take(self._columns, now, failed)


class Attended(Protocol):
    """What an attendant flushes, about `pace` seconds after `arm`, which it puts there, was called, or after it was `flushed`
    last by somebody else."""

    pace: float
    flushed: float
    arm: Callable[[], None]

    def flush(self) -> None: ...


class Attendant:
    """A thread that flushes an outbox while the runner's own threads are inside a long item. Sleeps unless armed or called.

    `also` is what it does besides: after each flush, and at once when it is called.
    """

    def __init__(self, outbox: Attended, also: Callable[[], None] | None = None) -> None:
        self._outbox = outbox
        self._also = also or _nothing
        self._armed = self._called = self._stopped = False
        self._wake = threading.Lock()
        self._wake.acquire()
        outbox.arm = self.arm
        self._thread = threading.Thread(target=self._attend, name="atonce-attendant", daemon=daemons_allowed())
        self._thread.start()

    def arm(self) -> None:
        """Have it flush soon."""
        if not self._armed:
            self._armed = True
            self._release()

    def call(self) -> None:
        """Have it do at once what else it does."""
        if not self._called:
            self._called = True
            self._release()

    def stop(self) -> None:
        self._stopped = True
        self._outbox.arm = _nothing
        self._release()
        self._thread.join()

    def _release(self) -> None:
        # two threads may both release it: the second finds the lock open already, which is as good
        with contextlib.suppress(RuntimeError):
            self._wake.release()

    def _attend(self) -> None:
        while self._woken():
            if not self._armed:
                continue
            patience = 1.5 * self._outbox.pace
            flush_at = time.monotonic() + patience
            while True:
                while (left := flush_at - time.monotonic()) > 0 and self._woken(left):
                    pass
                if self._stopped:
                    return
                # who appends has flushed meanwhile, and goes on: what there is now is not late yet
                flush_at = self._outbox.flushed + patience
                if flush_at <= time.monotonic():
                    break
                self._also()
            self._armed = False
            self._outbox.flush()
            self._also()

    def _woken(self, timeout: float = -1) -> bool:
        """Wait until armed or called; False after `timeout` seconds, or when it is to stop."""
        if not self._wake.acquire(timeout=timeout) or self._stopped:
            return False
        if self._called:
            self._called = False
            self._also()
        return True


def _nothing(*_: Any) -> None:
    pass
