"""The errors that the machine finds, in words."""

from __future__ import annotations

import errno
from typing import Any

from ..errors import ItemTimeout, StartFailed, TooManyStuck, WorkerDied, died_of, shown

__all__ = ["cannot_hire", "false_starts", "gone", "late", "left_behind", "too_many_stuck"]


def late(index: int, item: Any, timeout: float) -> ItemTimeout:
    """An item that ran longer than it may."""
    return ItemTimeout(
        f"item {index} took longer than timeout={timeout:g} s",
        item=shown(item),
        causes=("the item is slower than others", "it waits for something that does not come"),
        hint="a longer timeout=, or retry=",
    )


def gone(status: int | None) -> WorkerDied:
    """An attempt that its worker's end cut off, whatever comes of the item."""
    return WorkerDied(f"its worker died ({died_of(status)})")


def left_behind() -> ItemTimeout:
    """An attempt that took too long and cannot be ended."""
    return ItemTimeout("it took too long, and its thread is left behind")


def too_many_stuck(count: int) -> TooManyStuck:
    """More threads hang than may be left behind."""
    return TooManyStuck(
        f"{count} threads hang and had to be left behind",
        causes=("the function waits without a timeout of its own",),
        hint='model="processes": a process can be ended, a thread cannot',
    )


def cannot_hire(error: OSError) -> StartFailed:
    """The system gives nothing to start a worker with."""
    causes = ("too many files are open (ulimit -n)", "there are too many processes (ulimit -u, a container's limit)")
    hint = "a higher limit, or fewer workers: parallelism="
    if error.errno in (errno.EACCES, errno.ENOENT, errno.ENOEXEC):
        causes = ("this user may not run the interpreter again", "it is not where sys.executable says: in an application's own")
        hint = 'sys.executable = the path of a Python with the same packages, or model="threads"'
    complaint = StartFailed(f"a worker cannot be started: {error}", causes=causes, hint=hint)
    complaint.__cause__ = error
    return complaint


def false_starts(status: int | None, times: int) -> StartFailed:
    """Workers that die before they can be fed."""
    return StartFailed(
        f"{times} workers in a row ended ({died_of(status)}) before they were ready",
        causes=("importing the function's module ends the process", "there is not enough memory to start a process"),
        hint='model="threads", which shows what happens in this process',
    )
