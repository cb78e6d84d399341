"""A lane is where the calls of one kind run: what all lanes have in common, and what becomes of them at exit and a fork.

Executor.submit ──► Lane.submit(future, call) ──► worker ──► future

Inline   the caller's own thread                           (inline.py)
Threads  threads and a queue, as cheap as the standard's   (threads.py)
Driven   the engine, for all that needs it                 (driven.py)
"""

from __future__ import annotations

import abc
import concurrent.futures
import contextlib
import logging
import os
import threading
import weakref
from concurrent.futures import Future
from typing import Any

from ..errors import SetupFailed
from ..worker.calls import Call

__all__ = ["LOG", "Lane", "fail", "take_from"]

# the standard library's own, so that whoever listens there hears of initializers and callbacks that raise
LOG = logging.getLogger("concurrent.futures")

# Seconds after which an exit that still waits for calls says so.
QUIET = 5.0

AnyFuture = Future[Any]


class Lane(abc.ABC):
    """Takes calls until it is closed or breaks. `processes`: its workers are processes; `daemon`: exit does not wait for it."""

    def __init__(self, *, processes: bool = False, daemon: bool = False) -> None:
        self.processes = processes
        self.daemon = daemon
        self._lock = threading.Lock()  # held to change what is below, never while a future is settled: its callbacks may submit
        self._closed = False
        self._reason: BaseException | None = None  # why nothing can run any more
        _lanes.add(self)

    def _check(self) -> None:
        """Raises why a call cannot be taken. With the lock held, so that whoever ends the lane sees every call it has taken."""
        if self._reason is not None:
            raise self._broken(self._reason)
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _broken(self, reason: BaseException) -> BaseException:
        try:
            from .broken import broken
        except RuntimeError:  # at exit the standard's modules, which this needs, can no longer be imported
            return concurrent.futures.BrokenExecutor(f"the executor is broken: {reason}")
        return broken(reason, processes=self.processes)

    def _break(self, reason: BaseException, left: list[AnyFuture]) -> None:
        """Nothing can run any more: these futures, the last ones, say why."""
        if isinstance(reason, SetupFailed):
            LOG.critical("Exception in initializer:", exc_info=reason)
        error = self._broken(reason)
        for future in left:
            fail(future, error)

    @abc.abstractmethod
    def submit(self, future: AnyFuture, call: Call) -> None:
        """Run the call some time. Raises RuntimeError when closed, BrokenExecutor when broken."""

    def close(self) -> None:
        """Take no more, and end when all that was taken has run."""
        with self._lock:  # no call slips in behind the end
            self._closed = True
        self.drop()

    @abc.abstractmethod
    def drop(self) -> None:
        """As `close`, when nobody is left who could submit: without the lock, since a garbage collection may call this in a
        thread that holds it."""

    @abc.abstractmethod
    def cancel_waiting(self) -> None:
        """Cancel what has not begun."""

    @abc.abstractmethod
    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, for so many seconds. At once when it is one of its own threads that asks."""

    def cancel(self, future: AnyFuture) -> bool:
        """End the call that runs, where that can be; False where it cannot or the future is of another lane."""
        return False

    def end(self, reason: BaseException, *, ask_first: bool) -> None:  # noqa: B027 - where there are processes to end
        """End the processes now; what they run fails with `reason`."""

    @abc.abstractmethod
    def counts(self) -> tuple[int, int]:
        """How many calls run and how many wait."""

    @abc.abstractmethod
    def orphans(self) -> list[AnyFuture]:
        """In a forked child: the futures that nobody will settle."""


def fail(future: AnyFuture, error: BaseException) -> None:
    """Settle a future whatever its state: one that was cancelled stays so."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        if future.running() or ((not future.done() or future.cancelled()) and future.set_running_or_notify_cancel()):
            future.set_exception(error)


def take_from(popleft: Any, empty: type[BaseException]) -> list[AnyFuture]:
    """The futures of all that waits, taken out of a queue that others may be reading."""
    futures = []
    with contextlib.suppress(empty):
        while True:
            work = popleft()
            if work is not None:
                futures.append(work[0])
    return futures


# ── exit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_lanes: weakref.WeakSet[Lane] = weakref.WeakSet()  # one that is at work is kept by its threads


def _finish_all() -> None:
    """As the standard documents: the program does not exit until all calls have run. Ctrl-C ends the waiting."""
    for _ in range(2):  # a callback may have made one more
        lanes = list(_lanes)
        for lane in lanes:
            lane.close()
            if lane.daemon:
                lane.end(RuntimeError("the interpreter exits"), ask_first=False)
        for lane in lanes:
            if (not lane.daemon or lane.processes) and not lane.join(QUIET):
                running, waiting = lane.counts()
                logging.getLogger("atonce").warning(
                    "exit waits for %d calls that run and %d that wait, as concurrent.futures does. Ctrl-C ends this; "
                    "timeout= or daemon=True would have",
                    running,
                    waiting,
                )
                lane.join()


# Registered with threading, since atexit would come after threads can no longer be joined.
threading._register_atexit(_finish_all)  # type: ignore[attr-defined]


# ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _forget_all() -> None:
    """In a forked child no thread of a lane exists. Its futures would be waited for in vain: they fail.

    Locks of a future may be held by threads that are not there, so it gets new ones; whoever waited for it, and its callbacks,
    are the parent's.
    """
    error = RuntimeError(f"this call was submitted before the fork: its future is settled in the parent, pid {os.getppid()}")
    for lane in list(_lanes):
        lane._lock = threading.Lock()
        lane._closed = True
        for future in lane.orphans():
            future._condition = threading.Condition()
            future._waiters, future._done_callbacks = [], []  # type: ignore[attr-defined]
            fail(future, error)
    _lanes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
