"""`interpreter`: workers in interpreters of this process (Python 3.14), each with a GIL and modules of its own.

An interpreter starts without a process, in some 20 ms and its imports. It runs the same `atonce.worker.main` in a thread: items
and results are pickled and go through a socket, as to a process. What it shares is the process: it cannot be killed, a crash
ends all, the folder and the environment are everybody's. A module whose C code keeps state in globals cannot be imported there:
a trial import of the function's module, in an interpreter that is thrown away, tells before anything runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from ..engine.hub import Hub
from ..errors import PlanError
from ..plan.function import native_imports
from ..worker.channel import Message
from ..worker.job import Job
from ..worker.nesting import daemons_allowed
from ..worker.template import STATUS
from . import Order, Placement, Worker
from .framed import pack_job
from .process import Child, ProcessWorker

__all__ = ["Interpreters"]

_MAIN = """
import sys
sys.path[:] = {path!r}
import socket
from atonce.worker.main import main
with socket.socket(fileno={connection}) as connection:
    main(connection, {cells}, whole=False)
"""


class Interpreters(Placement):
    """Refuses, before anything runs, a function whose module does not load in an interpreter."""

    needs_pickling = True
    can_kill = False
    survives_death = False

    def __init__(self) -> None:
        self._packed: tuple[Job, list[Message]] | None = None

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        if self._packed is None or self._packed[0] is not order.job:
            try_import(order.job.fn, order.job.setup)
            self._packed = order.job, pack_job(order.job, shared=False)
        return InterpreterWorker(number, order, hub, self._packed[1])


def try_import(*functions: Callable[..., Any] | None) -> None:
    """Import what they need in an interpreter that is thrown away, once for each module. Raises PlanError.

    Of a function of a script or notebook, which has no module to be imported there, the packages that its code names.
    """
    needed = {"atonce.worker.main"}
    for function in filter(None, functions):
        needed |= {getattr(function, "__module__", None) or "__main__", *native_imports(function)}
    needed -= {"__main__", "__mp_main__"}
    if not needed <= _tried:
        _try(sorted(needed))
        _tried.update(needed)


_tried: set[str] = set()  # modules that could be imported so


def _try(needed: list[str]) -> None:
    from concurrent import interpreters  # type: ignore[attr-defined]

    trial = interpreters.create()
    try:
        trial.exec(f"import sys; sys.path[:] = {sys.path!r}\n" + "".join(f"import {name}\n" for name in needed))
    except interpreters.ExecutionFailed as error:
        raise PlanError(
            f"the function's module cannot be imported in an interpreter: {_shortly(error.excinfo.msg)}",
            causes=("it uses a library whose C code can be loaded once a process only",),
            hint='model="processes"',
        ) from error
    finally:
        trial.close()


def _shortly(message: str) -> str:
    """The line that says it: some libraries, such as numpy, wrap it in a page of advice about something else."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [message]
    return next((line for line in lines if "subinterpreter" in line), lines[0])


class InterpreterWorker(ProcessWorker):
    """Descriptors need not travel within a process: large buffers go in the stream."""

    shared = False
    can_kill = False

    def _start(self, slots: int) -> Child:
        return Inner(slots)

    def kill(self) -> None:
        """Nobody can: it is left behind, and ends when its item does."""
        if not self._gone:
            self._let_go()

    def close(self, *, cancel: bool) -> None:
        if not self._gone:
            self.release(drop=cancel)


class Inner(Child):
    """An interpreter where a process would be: a thread runs it, and tells its end as the template tells a process's."""

    def start(self, connection: int, cells: int, status: int) -> None:
        fds = os.dup(connection), os.dup(cells), os.dup(status)
        threading.Thread(target=_run, args=fds, name="atonce-interpreter", daemon=daemons_allowed()).start()

    def signal(self, number: int) -> None:
        """A signal would be this process's."""


def _run(connection: int, cells: int, status: int) -> None:
    from concurrent import interpreters  # type: ignore[attr-defined]

    os.write(status, STATUS.pack(os.getpid()))
    code = 1
    try:
        worker = interpreters.create()
        try:
            worker.exec(_MAIN.format(path=sys.path, connection=connection, cells=cells))
            code = 0
        finally:
            worker.close()
    except Exception as error:
        sys.stderr.write(f"a worker's interpreter ended: {error}\n")
    finally:
        os.close(cells)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(status, STATUS.pack(code))
        os.close(status)
