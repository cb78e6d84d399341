"""The `call` runner: one item after another, in the thread that feeds it."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any

from ...errors import SetupFailed
from ...outcome import WorkerId
from ..job import IDLE, Cells, Job, calling
from ..outbox import Failure, Outbox, Slab
from . import Runner

__all__ = ["FINE", "SLAB", "TINY", "CallRunner", "Place", "run_items"]

# Items at least this long (seconds) get a CPU reading of their own, which costs two system calls (1.6 µs, 0.2 % of it);
# for shorter ones the batch is measured and its CPU shared out by wall time.
FINE = 0.001
# Items shorter than this (seconds, in the mean of the last ones) are run in slabs: what is told of each is then most of what
# it costs. A slab is soon over, so that one which has become long is noticed.
TINY = 10e-6
SLAB = 64


class CallRunner(Runner):
    """One slot, no threads: `[fn(item) for item in batch]` with an exact record of it."""

    def __init__(self, job: Job, slots: int, outbox: Outbox, cells: Cells) -> None:
        super().__init__(job, 1, outbox, cells)
        self.reraise: tuple[type[BaseException], ...] = ()  # set to KeyboardInterrupt where the caller's own thread runs
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        call = self._stack.enter_context(calling(self.job))
        who = WorkerId(os.getpid(), threading.get_ident(), 0)
        self._place = Place(call, self.job, self.outbox, self.cells, who, self.reraise)

    def feed(self, batch: Iterable[tuple[int, Any]]) -> None:
        more = False
        try:
            run_items(iter(batch), self._place)
            more = self.more()
        finally:  # Ctrl-C keeps what was finished
            if not more:  # else it goes with what comes of the next batch, when it is due
                self.outbox.flush()

    def stop(self, *, cancel: bool) -> None:
        try:
            self._stack.close()
        except SetupFailed as error:
            self.outbox.broken(error)


class Measure:
    """How closely one thread looks at its items: `fine` reads the CPU clock for each, else `share` of wall time is assumed.

    `mean` seconds an item took of late, `count` items were run the last time.
    """

    __slots__ = ("count", "fine", "mean", "share")

    def __init__(self) -> None:
        self.fine = True
        self.share = 1.0
        self.mean = math.inf
        self.count = SLAB


@dataclasses.dataclass(slots=True)
class Place:
    """What one thread needs to run items. What is in `reraise` ends it, and is not the item's; when `left` (a list) is no
    longer empty the thread was left behind, and stops after its item."""

    call: Callable[[Any], Any]
    job: Job
    outbox: Outbox
    cells: Cells
    who: WorkerId
    reraise: tuple[type[BaseException], ...] = ()
    left: Sequence[bool] = ()
    measure: Measure = dataclasses.field(default_factory=Measure)


def run_items(items: Iterator[tuple[int, Any]], place: Place) -> None:
    """Run (index, item) pairs in this thread until they end, or it was left behind.

    This loop is the hot path of four models: about 0.35 µs an item around the call, a quarter less in slabs. What can be looked
    up once is; the end of an item is the start of the next, so a clock is read once an item; each item has its own copy of
    the context.
    """
    call, job, outbox, cells = place.call, place.job, place.outbox, place.cells
    who, reraise, left, measure = place.who, place.reraise, place.left, place.measure
    clock, cpu_clock = time.monotonic, time.thread_time
    # a timeout is told by when an item started; and a slab of one would cost more than it saves
    if measure.mean < TINY and measure.count > 1 and job.timeout is None:
        run_tiny(items, place)
        if left:
            return
    append, due, view = outbox.rows.append, outbox.due, cells.view
    at = cells.at(who.slot)
    since = at + 1
    copy = (job.context or contextvars.Context()).copy
    fine, share = measure.fine, measure.share
    done = 0
    first = started = clock()
    cpu_first = cpu_before = cpu_clock()
    flush_at = outbox.flushed + outbox.pace
    for index, item in items:
        view[since] = started
        view[at] = index
        try:
            value = copy().run(call, item)
        except BaseException as error:
            ended = clock()
            if isinstance(error, reraise):
                view[at] = IDLE
                raise
            cpu = cpu_clock() - cpu_before if fine else (ended - started) * share
            error.__traceback__ = _without_our_frames(error.__traceback__)
            outbox.failures.append(Failure(index, error, started, ended, cpu, who))
            del error
        else:
            ended = clock()
            if fine:
                append((index, value, started, ended, cpu_clock() - cpu_before, who))
            else:
                append((index, value, started, ended, (ended - started) * share, who))
            del value
        if fine:
            cpu_before = cpu_clock()
            if not left:  # a report may have to wait for another thread's: that is not this item's time
                view[at] = IDLE
            due(ended)
            started = clock()
        else:
            if ended >= flush_at or not done:
                if not left:
                    view[at] = IDLE
                due(ended)
                outbox.arm()  # for the rows that follow: the next item may be a long one
                flush_at = ended + outbox.pace
            started = ended
        done += 1
        if left:
            break
    if not left:  # a slot left behind has another owner by now
        view[at] = IDLE
    if done:
        wall = started - first
        if wall > 0:
            measure.share = min(1.0, (cpu_clock() - cpu_first) / wall)
        measure.mean = wall / done
        measure.count = done
        measure.fine = measure.mean >= FINE


def run_tiny(items: Iterator[tuple[int, Any]], place: Place) -> None:
    """As `run_items`, for as long as the items stay tiny: a slab of them is one `list.extend`, and nothing is told twice.

    Each is still taken when it is its turn, named in its cell while it runs, and reported when the one behind it turns out
    long. What is shared out is the time: over a slab, evenly.
    """
    call, job, outbox, who = place.call, place.job, place.outbox, place.who
    reraise, left, measure = place.reraise, place.left, place.measure
    clock, cpu_clock, view, at = time.monotonic, time.thread_time, place.cells.view, place.cells.at(who.slot)
    context, copy, run = job.context or contextvars.Context(), contextvars.Context.copy, contextvars.Context.run
    since = at + 1
    begun = first = clock()
    cpu_first = cpu_clock()
    flush_at = -math.inf
    measure.count = 0
    done = SLAB
    while done == SLAB and measure.mean < TINY:
        slab = Slab(first, measure.mean, measure.share, who)
        indices, values = slab.indices, slab.values
        view[since] = first
        outbox.open(slab)
        try:
            values.extend(map(run, map(copy, repeat(context)), repeat(call), _taken(items, view, at, indices.append, left)))
            ended = clock()
            failed = len(indices) > len(values)  # `extend` took a StopIteration for the end of the items
            error: BaseException | None = _stopped() if failed else None
        except BaseException as raised:
            ended = clock()
            failed, error = len(indices) > len(values), raised
            if isinstance(error, reraise) or not failed:
                outbox.close(slab, ended, failed)
                view[at] = IDLE
                raise
            error.__traceback__ = _without_our_frames(error.__traceback__)
        outbox.close(slab, ended, failed)
        done = len(indices)
        measure.count += done
        if error is not None:
            cpu = (ended - slab.first) * measure.share
            outbox.failures.append(Failure(indices[-1], error, slab.first, ended, cpu, who))
            done = SLAB  # it may go on
            del error
        measure.mean = (ended - first) / max(1, len(indices))
        if ended >= flush_at:
            if not left:  # a report may have to wait for another thread's: that is not an item's time
                view[at] = IDLE
            outbox.due(ended)
            outbox.arm()  # for those that follow
            flush_at = ended + outbox.pace
        first = ended
        if left:
            break
    if not left:
        view[at] = IDLE
    if first > begun:
        measure.share = min(1.0, (cpu_clock() - cpu_first) / (first - begun))


def _taken(items: Any, view: Any, at: int, append: Callable[[int], None], left: Any) -> Iterator[Any]:
    """A slab's items, each taken and named when the one before it is finished."""
    for index, item in islice(items, SLAB):
        view[at] = index
        append(index)
        yield item
        if left:
            return


def _stopped() -> StopIteration:
    stopped = StopIteration()
    stopped.add_note("raised by the function; where in it is not known, since it ran in one go with others as short")
    return stopped


def _without_our_frames(traceback: Any) -> Any:
    """The traceback from the function on: the frame of `run_items` says nothing to the user."""
    return traceback.tb_next if traceback is not None and traceback.tb_next is not None else traceback
