"""What futures raise when a worker or the whole executor is gone: atonce's errors that are the standard's as well.

Whoever wrote `except BrokenProcessPool:` for the standard library catches these. Imported only when something has broken,
since the standard's classes bring multiprocessing along.
"""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from concurrent.futures.thread import BrokenThreadPool

from ..errors import RunError, WorkerDied

__all__ = ["BrokenProcesses", "BrokenThreads", "CallDied", "broken", "died"]


class BrokenThreads(RunError, BrokenThreadPool):
    """No call can run any more in this executor's threads or event loop; the reason is `__cause__`."""


class BrokenProcesses(RunError, BrokenProcessPool):
    """No call can run any more in this executor's processes; the reason is `__cause__`."""


class CallDied(WorkerDied, BrokenProcessPool):
    """The call ended its worker, twice. Only this future is lost: unlike after the standard's, the executor goes on."""


def broken(reason: BaseException, *, processes: bool) -> RunError:
    """The error of every call that was pending when `reason` ended the executor, and of every one submitted later."""
    kind = BrokenProcesses if processes else BrokenThreads
    error = kind(f"the executor is broken: {reason}")
    error.__cause__ = reason
    return error


def died(error: WorkerDied) -> CallDied:
    """The same error, in a class that code written for the standard library catches."""
    call = CallDied(error.what, item=error.item, causes=error.causes, hint=error.hint)
    call.exit_code_of_worker = error.exit_code_of_worker
    return call
