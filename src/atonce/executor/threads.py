"""The `threads` lane: threads that share a queue, for calls that need nothing of the engine (no timeout, retry, limit).

    submit ──► queue ──► thread 0 … n-1 ──► future

Two hand-overs between threads a call, as with the standard's ThreadPoolExecutor, where the engine's driver would make it four:
a call that is waited for takes a sixth of the time.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from ..worker.calls import Call
from ..worker.job import Job, calling
from ..worker.nesting import daemons_allowed
from ..worker.waits import join
from .lane import LOG, AnyFuture, Lane, take_from

__all__ = ["Threads", "settle"]


class Threads(Lane):
    """Up to `count` threads, started when a call finds none idle; they end when the lane is closed and the queue empty."""

    def __init__(self, job: Job, count: int, name: str, *, daemon: bool = False) -> None:
        super().__init__(daemon=daemon)
        self._job, self._count, self._name = job, count, name
        self._queue: SimpleQueue[tuple[AnyFuture, Call] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that wait for a call and that no call was meant for yet
        self._running: dict[threading.Thread, AnyFuture] = {}
        self._told = False  # the word to end is in the queue, as the last: each thread that finds it puts it back

    def submit(self, future: AnyFuture, call: Call) -> None:
        with self._lock:
            self._check()
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < self._count:
                self._start_thread()
            self._queue.put((future, call))

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=daemons_allowed())
        try:
            thread.start()
        except RuntimeError:  # the system gives no more: those that there are will do
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _work(self) -> None:
        queue, lock, running, context = self._queue, self._lock, self._running, self._job.context
        me = threading.current_thread()
        try:
            with calling(self._job) as call:
                while True:
                    # under the lock, so that a call that finds nobody idle is seen here, and one that is put later sees us
                    with lock:
                        try:
                            work = queue.get_nowait()
                        except Empty:
                            self._idle += 1
                            work = None
                            wait = True
                        else:
                            wait = False
                    if wait:
                        work = queue.get()
                    if work is None:
                        break
                    future, item = work
                    del work
                    if future.set_running_or_notify_cancel():
                        running[me] = future
                        settle(future, call, item, context)
                        del running[me]
                    del future, item  # an idle thread keeps nothing alive
        except BaseException as error:  # setup, or the exit of the resource
            with lock:
                self._reason = error
            self._break(error, take_from(queue.get_nowait, Empty))
        queue.put(None)

    def drop(self) -> None:
        self._closed = True
        if not self._told:
            self._told = True
            self._queue.put(None)

    def cancel_waiting(self) -> None:
        waiting = take_from(self._queue.get_nowait, Empty)
        self._queue.put(None)  # taken out with the rest
        for future in waiting:
            future.cancel()
            future.set_running_or_notify_cancel()  # whoever waits for it hears of it now

    def join(self, timeout: float | None = None) -> bool:
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            threads = list(self._threads)
        if threading.current_thread() in threads:
            return True
        for thread in threads:
            join(thread, None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def counts(self) -> tuple[int, int]:
        return len(self._running), max(0, self._queue.qsize() - self._told)

    def orphans(self) -> list[AnyFuture]:
        return [*self._running.values(), *take_from(self._queue.get_nowait, Empty)]


def settle(future: AnyFuture, call: Callable[[Call], Any], item: Call, context: contextvars.Context | None) -> None:
    """Run a call in this thread, in a copy of the context, and tell its future."""
    try:
        try:
            value = (context or contextvars.Context()).copy().run(call, item)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)
    except concurrent.futures.InvalidStateError:
        pass  # somebody else has set it
    except BaseException:
        LOG.critical("a callback of a future ended its thread's work", exc_info=True)
    finally:
        del future  # else the exception's traceback would keep its own future alive
