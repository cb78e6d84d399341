"""A worker process: reads frames, feeds its runner, writes reports. Ends when its near side is gone."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import AtonceError, SetupFailed
from . import memory, wire
from .buffers import Large
from .channel import Inbox, Outgoing, pack
from .context import load_context
from .importing import Importing
from .job import LOADING, RECEIVING, RUNNING, SENDING, Cells, Job, setup_failed
from .nesting import CORES, DEPTH, depth, go_inside
from .outbox import FLUSH_COMPUTING, Attendant, Outbox, Report
from .parent import end_with_parent
from .runners import Runner, load
from .talk import Line, Talk

__all__ = ["main"]

# Modules that bring such libraries: without one of them threadpoolctl has nothing to do, and need not be imported.
NATIVE = frozenset({"faiss", "numexpr", "numpy", "scipy", "sklearn", "torch"})
# What BLAS and OpenMP libraries read when they are loaded (the list is loky's).
NATIVE_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# And what joblib takes for the number of cores, so that n_jobs=-1 inside of an item does not multiply.
CORES_FOR_JOBLIB = "LOKY_MAX_CPU_COUNT"


def main(connection: socket.socket, cells_fd: int, *, whole: bool = True) -> None:
    """Serve one near side until it says RELEASE or hangs up. Not `whole`: the process is not this worker's alone."""
    connection.setblocking(True)
    if whole:
        _end_with_parent()
    inbox = Inbox(connection, private=True)  # the function's buffers are mapped by all workers
    frames = _frames(inbox)
    kind, payload = next(frames, (0, b""))
    if kind != wire.HELLO:
        return
    hello = wire.loads(payload)
    if whole:
        _be_like(hello)
    else:
        sys.path[:] = hello["path"]
        go_inside(hello["share"])
    if hello["authkey"] is not None:
        import multiprocessing.process

        multiprocessing.process.current_process().authkey = hello["authkey"]
    line = Line(_while_it_listens(Outgoing(connection)))
    talk = Talk(line, f"atonce-{hello['number']}")
    talk.adopt(hello["manners"])
    attendants: list[Attendant] = []
    try:
        _serve(hello, inbox, frames, line, talk, mmap.mmap(cells_fd, Cells.size(hello["most"])), attendants)
    finally:
        if whole:  # a process ends with its main thread, and all it has with it
            talk.flush()
        else:
            for attendant in attendants:
                attendant.stop()
            talk.end()
            inbox.close()


def _serve(
    hello: dict[str, Any], inbox: Inbox, frames: Any, line: Line, talk: Talk, shared: mmap.mmap, attendants: list[Attendant]
) -> None:
    view = memoryview(shared).cast("d")
    cells = Cells(hello["most"], view)
    if hello["timeout"] is not None:
        sys.meta_path.insert(0, Importing(cells))

    weighed = [-math.inf]

    def post(kind: int, payload: bytes = b"") -> None:
        talk.flush()  # a result comes after what was said about it
        messages = pack(kind, payload)
        line.send(lambda: messages)

    def send(report: Report) -> None:
        for stream in (sys.stdout, sys.stderr):  # what the items printed comes with their results
            try:
                stream.flush()
            except Exception:  # closed by an item, or nobody reads it
                pass
        with cells.phase(SENDING, RUNNING):
            large = Large()
            messages = pack(wire.REPORT, wire.dump_report(report, large), large, shared=hello["shared"])
            large.clear()
        del report
        if hello["weighed"] and time.monotonic() - weighed[0] >= memory.PACE:
            post(wire.MEMORY, wire.dumps(memory.resident()))
            weighed[0] = time.monotonic()
        talk.flush()
        line.send(lambda: messages)

    def broken(error: BaseException) -> None:
        if not isinstance(error, AtonceError):  # such as a KeyboardInterrupt that is not the caller's
            error = setup_failed(error)
        post(wire.BROKEN, wire.dumps(wire.dump_error(error)))

    def unreadable(indices: Sequence[int], error: BaseException) -> None:
        post(wire.UNREADABLE, wire.dumps((indices, wire.dump_error(error))))

    outbox = Outbox(send, broken, unreadable)
    try:
        kind, payload = next(frames, (0, b""))
        if kind != wire.JOB:
            return
        fn, setup = wire.loads(payload, buffers=inbox.large)
        inbox.private = False
    except Exception as error:
        broken(_cannot_load(error))
        return
    talk.adopt_filters(hello["manners"])  # for the categories that came with the function
    job = Job(fn, setup, hello["timeout"], load_context(hello["context"]))
    runner = load(hello["runner"])(job, hello["slots"], outbox, cells)
    if hello["runner"] == "call":
        outbox.pace = FLUSH_COMPUTING
        runner.more = inbox.more
        attendants.append(Attendant(outbox))
    if hello["pace"] is not None:
        outbox.pace = hello["pace"]
    try:
        runner.start()
    except BaseException as error:
        broken(error)
        return
    view[RECEIVING] = RUNNING
    post(wire.READY)
    released = False
    for kind, payload in frames:
        if kind == wire.BATCH:
            _batch(payload, inbox.large, runner)
        elif kind == wire.ABANDON:
            runner.abandon(*wire.loads(payload))
        elif kind == wire.RESIZE:
            runner.resize(wire.loads(payload))
        elif kind == wire.CANCEL:
            runner.cancel(wire.loads(payload))
        elif kind == wire.RELEASE:
            released = not payload  # else: drop what is left
            break
    outbox.flush()  # before a resource is left, which may take its time, or the process with it
    runner.stop(cancel=not released)
    for attendant in attendants:
        attendant.stop()
    outbox.flush()


def _batch(payload: Any, large: list[Any], runner: Runner) -> None:
    try:
        with runner.cells.phase(RECEIVING, LOADING):
            batch = wire.load_batch(payload, large)
    except Exception as error:
        wrong = wire.not_carried("the item (on arrival)", error)
        runner.outbox.unreadable(wire.batch_indices(payload), wrong)
    else:
        if not isinstance(payload, bytes):  # its memory need not wait for the end of the batch
            payload.clear() if isinstance(payload, bytearray) else payload.close()
        large.clear()  # from here on each array has its memory to itself
        runner.feed(batch)


def _frames(inbox: Inbox) -> Any:
    """What the near side sends, until it hangs up: a socket that was closed with something unread in it says so by an error."""
    with contextlib.suppress(ConnectionError):
        while inbox.fill():
            yield from inbox.frames()


def _while_it_listens(outgoing: Outgoing) -> Callable[[Any], None]:
    """Sends, to a near side that is there. One that hung up needs nothing any more, and nobody else is to hear of it: whoever
    sends goes on, and the worker ends with its frames."""

    def send(what: Any) -> None:
        with contextlib.suppress(ConnectionError):
            outgoing.send(what)

    return send


def _be_like(hello: dict[str, Any]) -> None:
    """The near side's import path, folder and environment; native thread pools held to this worker's share of cores."""
    sys.path[:] = hello["path"]
    with contextlib.suppress(OSError):
        os.chdir(hello["cwd"])
    os.environ.clear()
    environment, share = hello["environment"], str(hello["share"])
    loaded = not NATIVE.isdisjoint(sys.modules)
    os.environ.update(environment)
    ours = environment.get(CORES)  # the share of a worker that has workers of its own: what it was told by us is not the user's
    for name in (*NATIVE_THREADS, CORES_FOR_JOBLIB):
        if environment.get(name, ours) == ours:
            os.environ[name] = share
    if loaded and all(environment.get(name, ours) == ours for name in NATIVE_THREADS):
        import threadpoolctl

        threadpoolctl.threadpool_limits(hello["share"])  # what was loaded before reads no variables any more
    os.environ[CORES] = share
    os.environ[DEPTH] = str(depth() + 1)


def _end_with_parent() -> None:
    """The template kills its workers when the near side is gone. Where nobody is left to do so, Linux does."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            end_with_parent()  # the template has one thread, which is as old as it


def _cannot_load(error: BaseException) -> BaseException:
    wrong = SetupFailed(
        f"the function cannot be loaded in a worker process: {type(error).__name__}: {error}",
        causes=("its module is not importable there", "it was defined in a module that has changed since"),
        hint='model="threads" needs no loading',
    )
    wrong.__cause__ = error
    return wrong
