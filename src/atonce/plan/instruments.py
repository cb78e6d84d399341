"""What the first items are measured with: the heartbeat, the event loop's ticker, meters of CPU and memory, scales."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..worker.job import Job
from ..worker.nesting import daemons_allowed
from .sample import Beats, Carriage, Reading

if TYPE_CHECKING:
    import asyncio

__all__ = ["Heartbeat", "Instruments", "Nap", "Ticker", "carry", "children_at_work", "weigh"]

# Seconds a beat naps, and how much later than that it wakes anyway on an idle machine (timer slack and a switch of threads).
NAP, USUAL = 0.0005, 0.0002
# Seconds beyond that which are no chance: somebody held the GIL.
MET = 0.0003
# Beats of one item at most: two to three seconds.
MOST_BEATS = 4000
# Threads whose CPU is read one by one.
MOST_CLOCKS = 64
# Seconds between the pings of an event loop: closer after one that came late, further apart while none does, since each wakes
# the loop. How late one is anyway.
PING, MOST_PING, PING_USUAL = 0.0005, 0.008, 0.0002


class Nap(NamedTuple):
    """One beat: when it ended and how many seconds it took, from the end of the one before; how many of them its thread wanted
    a core and had none, and what others of this process computed meanwhile."""

    ended: float
    took: float
    queued: float
    cpu: float


class Heartbeat:
    """Who computes with the GIL held: naps half a millisecond, again and again, and notes how late each nap ends.

    A nap returns only with the GIL, so how late it is is how long somebody else held it; time without a core is left out,
    where the system tells. Means nothing where there is no GIL. It naps already when this returns: what computes first and
    waits then would else have computed before anybody looked. It ends by itself after `MOST_BEATS`: a long item is like its
    beginning, and what was noted must not grow with it. `cpu`: what it has used itself.
    """

    def __init__(self) -> None:
        self.cpu = 0.0
        self._stop = False
        self._up = threading.Event()
        self._naps: list[Nap] = []
        self._thread = threading.Thread(target=self._beat, name="atonce-heartbeat", daemon=daemons_allowed())
        self._thread.start()
        self._up.wait()

    def stop(self) -> None:
        self._stop = True
        self._thread.join()

    def beats(self, start: float, end: float) -> Beats:
        """What it saw between two times of `time.monotonic`: while items ran, not while they were handed over. It may go on."""
        return weigh(self._naps.copy(), start, end)

    def _beat(self) -> None:
        clock, sleep, note, mine = time.monotonic, time.sleep, self._naps.append, time.thread_time
        native = threading.get_native_id()
        others = _others(native)
        queued, before, used = _queued(native), clock(), others()
        self._up.set()
        while not self._stop and len(self._naps) < MOST_BEATS:
            sleep(NAP)
            now, self.cpu, lacked, cpu = clock(), mine(), queued, others()
            if now - before > NAP + USUAL:  # to ask is to let the GIL go: that is part of the next nap
                lacked = _queued(native)
            note(Nap(now, now - before, lacked - queued, max(0.0, cpu - used)))
            before, queued, used = now, lacked, cpu


def weigh(naps: Iterable[Nap], start: float, end: float) -> Beats:
    """What naps say of the time from `start` to `end`. Pure.

    A nap that ends late met somebody who held the GIL, and who computed so until then; one that ends in time while somebody
    computes was not kept from it. Not seen is what was computed while the nap's thread had no core, and what was so little
    that it may have been over when the nap was.
    """
    count, late, wall, cpu, seen, held = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for nap in naps:
        inside = min(nap.ended, end) - max(nap.ended - nap.took, start)
        if inside <= 0:
            continue
        lateness = max(0.0, nap.took - NAP - USUAL - nap.queued)
        computed = min(nap.cpu, inside)  # one thread can be asked about, and nothing before and after
        known = min(computed, NAP + USUAL + lateness)
        count, late, wall, cpu = count + 1, late + min(lateness, inside), wall + inside, cpu + computed
        if lateness > MET:
            seen, held = seen + known, held + known
        elif computed > (NAP + USUAL) / 2:
            seen, held = seen + known, held + min(known, lateness)
    return Beats(count, late, wall, cpu, seen, held)


class Ticker:
    """How long an event loop could do nothing else: by how much what a thread asks it to do comes late, in all.

    A timer of the loop's own would do with less, but a loop may count in whole milliseconds, and of blocks as short as that
    a timer sees little. Made, read and stopped from any thread. What an item computes blocks the loop as well as a
    `time.sleep` does. `cpu`: what the thread has used itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.cpu = 0.0
        self._loop = loop
        self._late = 0.0
        self._due = 0.0  # of a ping that is under way
        self._came, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._ping, name="atonce-ticker", daemon=daemons_allowed())
        self._thread.start()

    @property
    def late(self) -> float:
        """Seconds; a ping that is overdue counts as late until now."""
        due = self._due
        return self._late + (max(0.0, time.monotonic() - due - PING_USUAL) if due else 0.0)

    def stop(self) -> None:
        self._over.set()
        self._came.set()
        self._thread.join()

    def _ping(self) -> None:
        clock, nap, native = time.monotonic, PING, threading.get_native_id()
        queued = _queued(native)
        due = clock() + nap
        while not self._over.wait(nap):
            self._due = due
            try:
                self._loop.call_soon_threadsafe(self._came.set)
            except RuntimeError:  # the loop is closed
                break
            self._came.wait()
            self._came.clear()
            late = max(0.0, clock() - due - PING_USUAL)
            if late:  # some of it this thread may have had no core
                before, queued = queued, _queued(native)
                late = max(0.0, late - (queued - before))
            self._late, self._due = self._late + late, 0.0
            nap = PING if late else min(1.5 * nap, MOST_PING)
            self.cpu = time.thread_time()
            due = clock() + nap
        self._due = 0.0


class Instruments:
    """What is read around a step: the process's CPU and its children's, memory, each thread's wait for a core, heartbeat."""

    def __init__(self) -> None:
        self._queued: dict[int, float] = {}
        self._without: float | None = None
        self._heartbeat: Heartbeat | None = None

    def start(self, *, beat: bool = False) -> None:
        for ident in self._queued:
            self.queued(ident)
        self.started, self._without = time.monotonic(), None
        self._cpu, self._children, self._memory = time.process_time(), _children_cpu(), _memory()
        self._at_work = children_at_work()  # what they had used before is not this item's
        self._heartbeat = Heartbeat() if beat else None

    def leave_out(self, cpu: float) -> None:
        """Seconds of this process's CPU that were no item's."""
        self._cpu += cpu

    def listen(self) -> None:
        """The heartbeat, from now on."""
        self._heartbeat = self._heartbeat or Heartbeat()

    def heard(self, since: float) -> Beats | None:
        """What the heartbeat has seen until now; None where it was not asked to listen."""
        return self._heartbeat.beats(since, time.monotonic()) if self._heartbeat is not None else None

    def stop(self, start: float, end: float) -> Reading:
        """The reading without its items, which ran from `start` to `end` (`time.monotonic`)."""
        beats, own = None, 0.0
        if self._heartbeat is not None:
            self._heartbeat.stop()
            beats, own = self._heartbeat.beats(start, end), self._heartbeat.cpu
            self._heartbeat = None
        cpu, children = time.process_time() - self._cpu - own, _children_cpu() - self._children
        return Reading((), max(0.0, cpu), children, beats, max(0, _memory() - self._memory))

    def drop(self) -> None:
        """Stop without a reading."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None

    def busy(self) -> float:
        """CPU seconds since `start`, of this process and its children, ended or not: what a long item has used so far."""
        own = self._heartbeat.cpu if self._heartbeat is not None else 0.0  # on a busy machine a tenth of a core and more
        return max(
            0.0, time.process_time() - self._cpu - own + _children_cpu() - self._children + children_at_work() - self._at_work
        )

    def without_a_core(self) -> float:
        """Seconds for which threads of this process wanted a core and had none, since this was first asked in this step."""
        total = _queued_in_all()
        self._without = total if self._without is None else self._without
        return max(0.0, total - self._without)

    def queued(self, ident: int) -> float:
        """Seconds for which this thread wanted a core and had none, since it was last asked."""
        native = next((thread.native_id for thread in threading.enumerate() if thread.ident == ident), None)
        if native is None:
            return 0.0
        now = _queued(native)
        before, self._queued[ident] = self._queued.get(ident, 0.0), now
        return max(0.0, now - before)


def _queued(native: int) -> float:
    """Seconds on the run queue in all; 0 where the system does not tell (Linux does, in schedstat's second number)."""
    try:
        with open(f"/proc/self/task/{native}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _others(mine: int) -> Callable[[], float]:
    """Reads the CPU seconds of the threads that are there now but this one (`mine` is its system's number).

    On Linux each by its own clock: of what runs on another core the process's clock learns with the next tick only, which is
    several naps. Above `MOST_CLOCKS` of them that would be too dear.
    """
    try:
        tasks = [int(task) for task in os.listdir("/proc/self/task")] if sys.platform.startswith("linux") else []
    except OSError:
        tasks = []
    if not 1 < len(tasks) <= MOST_CLOCKS:
        return lambda: time.process_time() - time.thread_time()
    # what pthread_getcpuclockid makes of a thread's number; of one that has ended it must not be asked
    clocks = [~task << 3 | 6 for task in tasks if task != mine]
    read = time.clock_gettime

    def total() -> float:
        seconds = 0.0
        for clock in clocks.copy():
            try:
                seconds += read(clock)
            except OSError:  # it has ended
                clocks.remove(clock)
        return seconds

    return total


def _queued_in_all() -> float:
    try:
        return sum(_queued(int(task)) for task in os.listdir("/proc/self/task"))
    except OSError:
        return 0.0


def _children_cpu() -> float:
    """Of children that have ended and were waited for."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def children_at_work() -> float:
    """CPU seconds of children that are running now; 0 where the system does not tell (Linux lists them)."""
    total = 0.0
    try:
        tick = os.sysconf("SC_CLK_TCK")
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", "rb") as children:
                for pid in children.read().split():
                    with open(f"/proc/{pid.decode()}/stat", "rb") as stat:
                        fields = stat.read().rpartition(b")")[2].split()
                    total += (int(fields[11]) + int(fields[12])) / tick
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    return total


def _memory() -> int:
    """Bytes of memory this process has, 0 where only psutil would tell (it costs more than it is worth here)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

# Bytes beyond which a thing is not pickled to see how long it takes: large things are copied, at a gigabyte a second.
TOO_LARGE, COPYING = 64 << 20, 1e9
# Bytes under which pickling is too short to be timed alone: what it takes in a batch follows from its size.
TOO_SMALL = 2000


def carry(job: Job, example: Sequence[Any], speed: float = 1e8) -> Carriage:
    """Pickle the function, one item and its value (`example`), once. Iterators and files are refused by pickle itself.

    Seconds are for both, beyond what pickling nothing costs (a batch shares that). What is small is reckoned with `speed`
    bytes a second.
    """
    from ..worker import buffers

    nbytes, seconds, function = 0, 0.0, 0
    named = zip(("the first item", "its result"), example, strict=False)
    for what, thing in (("the function", (job.fn, job.setup)), *named):
        size = _size(thing)
        if size > TOO_LARGE:
            nbytes, seconds = nbytes + size, seconds + size / COPYING
            continue
        large = buffers.Large()
        try:
            begun = time.perf_counter()
            buffers.dump(())
            nothing = time.perf_counter() - begun
            begun = time.perf_counter()
            parts = buffers.dump(thing, large)
            took = time.perf_counter() - begun - nothing
        except Exception as error:
            return Carriage(0, 0.0, f"{what} cannot be pickled ({type(error).__name__}: {error})")
        size, shared = sum(map(len, parts)), sum(view.nbytes for view in large)
        if what == "the function":
            function = size + shared
        else:
            # a long one is copied into the line and out of it again, besides
            took = max(0.0, took) + size / COPYING if size >= TOO_SMALL else size / speed
            nbytes, seconds = nbytes + size + shared, seconds + took + shared / COPYING
    return Carriage(nbytes, seconds, None, function)


def _size(thing: Any) -> int:
    size = getattr(thing, "nbytes", None)
    return size if isinstance(size, int) else sys.getsizeof(thing, 64)
