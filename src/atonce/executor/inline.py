"""The `sync` lane: a call runs where it is submitted, before `submit` returns."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from ..worker.calls import Call
from ..worker.job import Job, calling
from .lane import AnyFuture, Lane
from .threads import settle

__all__ = ["Inline"]


class Inline(Lane):
    """One call at a time, whoever submits; a call may submit others, which run inside of it."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._turn = threading.RLock()
        self._stack = contextlib.ExitStack()
        self._call: Any = None

    def submit(self, future: AnyFuture, call: Call) -> None:
        with self._turn:
            with self._lock:
                self._check()
            future.set_running_or_notify_cancel()
            try:
                if self._call is None:
                    self._call = self._stack.enter_context(calling(self._job))
            except BaseException as error:
                self._reason = error
                self._break(error, [future])
                return
            settle(future, self._call, call, self._job.context)
            interrupted = future.done() and isinstance(future.exception(), KeyboardInterrupt)
            if interrupted:
                future.result()  # it is this very thread that was interrupted
            del future  # see Executor.submit

    def drop(self) -> None:
        self._closed = True
        self._stack.close()

    def cancel_waiting(self) -> None:
        """Nothing ever waits."""

    def join(self, timeout: float | None = None) -> bool:
        return True

    def counts(self) -> tuple[int, int]:
        return 0, 0

    def orphans(self) -> list[AnyFuture]:
        return []
