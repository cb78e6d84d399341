"""`process`: workers in processes of their own, each with a socket, a status pipe and cells in shared memory.

    hub ◄── socket: reports ── worker process ◄── socket: batches ── feed
     ▲                              │ cells: which item runs in which slot, since when (no system call)
     └── status pipe: pid, exit status ◄── template (see worker/template.py)

A death is noticed by the status pipe; what the worker had sent before is read first, then Lost is posted with what the
cells say.
"""

from __future__ import annotations

import atexit
import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..engine.events import Broken, Done, Ended, Lost, Ready, Said, Uncarried, Unreadable, Weighed
from ..engine.hub import Hub
from ..engine.seat import Seat
from ..errors import PlanError
from ..worker import talk, wire
from ..worker.buffers import Large, dump
from ..worker.channel import Inbox, Message, Outgoing, again, close_all, pack
from ..worker.context import dump_context
from ..worker.job import Cells, Job
from ..worker.runners import load
from ..worker.template import SPAWN, STATUS
from . import Order, Placement, Worker

__all__ = ["Process", "Template", "shut_down"]


class Process(Placement):
    """Worker processes forked from a template (Linux) or spawned by it (elsewhere on POSIX)."""

    needs_pickling = True
    can_kill = True
    survives_death = True

    def __init__(self) -> None:
        self._packed: tuple[Job, list[Message]] | None = None

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        return ProcessWorker(number, order, hub, self._job(order.job))

    def close(self) -> None:
        if self._packed is not None:
            close_all(self._packed[1])
            self._packed = None

    def _job(self, job: Job) -> list[Message]:
        """The function, pickled for the first worker; what is large in it is in shared memory once, for all of them."""
        if self._packed is None or self._packed[0] is not job:
            packed = pack_job(job)
            self.close()
            self._packed = job, packed
        return self._packed[1]


def pack_job(job: Job) -> list[Message]:
    """The function and its setup for the trip. Raises PlanError, before anything runs."""
    try:
        large = Large()
        return pack(wire.JOB, dump((job.fn, job.setup), large), large)
    except Exception as error:
        raise PlanError(
            f"the function cannot be pickled, so it cannot run in another process: {type(error).__name__}: {error}",
            causes=("it closes over a lock, a socket, an open file or a generator",),
            hint='make such things in setup=, or use model="threads"',
        ) from error


class ProcessWorker(Worker):
    def __init__(self, number: int, order: Order, hub: Hub, job: list[Message]) -> None:
        self.number = number
        self._hub = hub
        self._order = order
        hello = wire.dumps(self._hello())
        self._runner = load(order.runner)
        self._booted = self._released = self._killed = False
        self._gone = False
        self._pid: int | None = None
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            most = max(order.slots, order.most)
            cells_fd = _shared_memory(Cells.size(most))
            theirs.callback(os.close, cells_fd)
            self._memory = mmap.mmap(cells_fd, Cells.size(most))
            undo.callback(self._memory.close)
            self._view = memoryview(self._memory).cast("d")
            undo.callback(self._view.release)
            self._cells = Cells(most, self._view)
            self._cells.clear()
            self._socket, far = socket.socketpair()
            theirs.callback(far.close)
            undo.callback(self._socket.close)
            self._status, far_status = os.pipe()
            theirs.callback(os.close, far_status)
            undo.callback(os.close, self._status)
            self._inbox, self._outgoing = Inbox(self._socket, private=True), Outgoing(self._socket)
            undo.callback(self._inbox.close)
            function = again(job)
            undo.callback(close_all, function)
            self._socket.setblocking(False)
            os.set_blocking(self._status, False)
            for fd, ready in ((self._socket.fileno(), self._on_socket), (self._status, self._on_status)):
                undo.callback(hub.unregister, fd)
                hub.register(fd, ready)
            Template.spawn(far.fileno(), cells_fd, far_status)
            undo.pop_all()  # there was a descriptor for everything
        self._send(wire.HELLO, hello)
        self._post(function)

    def _hello(self) -> dict[str, Any]:
        order = self._order
        return {
            "path": sys.path,
            "cwd": os.getcwd(),
            "environment": dict(os.environ),
            "number": self.number,
            "manners": talk.manners(),
            "runner": order.runner,
            "slots": order.slots,
            "most": max(order.slots, order.most),
            "timeout": order.job.timeout,
            "share": order.share,
            "weighed": order.weighed,
            "context": dump_context(order.job.context),
        }

    def seat(self) -> Seat:
        return Seat(
            self._order.slots,
            enforces_timeout=self._runner.enforces_timeout,
            can_abandon=self._runner.can_abandon,
            can_cancel=self._runner.can_cancel,
        )

    def running(self) -> list[tuple[int, int, float]]:
        return self._cells.running()

    # ── near → far ───────────────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, indices: Sequence[int], items: Sequence[Any]) -> int | None:
        large = Large()
        try:
            payload = wire.dump_batch(indices, items, large)
        except (Exception, SystemExit):  # what pickling an item raises is that item's affair
            kept = self._carried(indices, items)
            if not kept:
                return None
            large.clear()
            payload = wire.dump_batch([index for index, _ in kept], [item for _, item in kept], large)
        self._post(pack(wire.BATCH, payload, large))
        return wire.size(payload, large)

    def _carried(self, indices: Sequence[int], items: Sequence[Any]) -> list[tuple[int, Any]]:
        """The items that can be pickled; the others are reported."""
        kept, errors = [], []
        for index, item in zip(indices, items, strict=True):
            try:
                dump(item, Large())
            except (Exception, SystemExit) as error:
                errors.append((index, wire.not_carried("the item", error, f"{index}: a {type(item).__name__}")))
            else:
                kept.append((index, item))
        self._hub.post(Uncarried(self.number, errors))
        return kept

    def abandon(self, slot: int, index: int) -> None:
        self._send(wire.ABANDON, wire.dumps((slot, index)))

    def resize(self, slots: int) -> None:
        self._send(wire.RESIZE, wire.dumps(slots))

    def cancel(self, index: int) -> None:
        self._send(wire.CANCEL, wire.dumps(index))

    def release(self, *, drop: bool = False) -> None:
        if not self._released:
            self._released = True
            self._send(wire.RELEASE, b"drop" if drop else b"")

    def kill(self) -> None:
        self._killed = True
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        """To the worker and what it has started."""
        if not self._gone:
            self._read_pid()
        if self._pid is not None and not self._gone:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def close(self, *, cancel: bool) -> None:
        if self._gone:
            return
        if self._order.job.setup is None:
            # Idle, or not wanted any more, and with no resource to exit: it is ended, and the template reaps it. Nobody waits
            # for it, and a thread in it that hangs cannot hold anything up.
            self._released = True
            self.kill()
            self._read_rest()
            self._let_go()
        else:
            self.release(drop=cancel)

    def gone(self) -> bool:
        return self._gone

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._post(pack(kind, payload))

    def _post(self, messages: list[Message]) -> None:
        """Never blocks: what the socket does not take now goes when it can."""
        self._outgoing.add(messages)
        self._flush()

    def _flush(self) -> None:
        if self._gone:
            self._outgoing.clear()
            return
        try:
            self._outgoing.flush()
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()  # it is dying: the status pipe will say so
        self._hub.register(self._socket.fileno(), self._on_socket, write=bool(self._outgoing))

    # ── far → near ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_socket(self, _mask: int) -> None:
        if self._outgoing:
            self._flush()
        self._receive()

    def _receive(self) -> None:
        """What is there now."""
        try:
            more = self._inbox.fill()
        except BlockingIOError:
            return
        except OSError:
            more = False
        for kind, payload in self._inbox.frames():
            self._frame(kind, payload)
        if not more:
            self._hub.unregister(self._socket.fileno())
        if self._inbox.garbled:
            self.kill()

    def _frame(self, kind: int, payload: Any) -> None:
        post = self._hub.events.append  # this runs inside `wait`: nobody sleeps
        if kind == wire.REPORT:
            try:
                report = wire.load_report(payload, self._inbox.large)
            except (Exception, SystemExit) as raised:  # what unpickling a value raises is that value's affair
                wrong = wire.not_carried("its result (on arrival)", raised)
                post(Unreadable(self.number, wire.batch_indices(payload), wrong))
            else:
                post(Done(self.number, report))
        elif kind == wire.TALK:
            post(Said(self.number, partial(talk.hear, payload)))
        elif kind == wire.MEMORY:
            post(Weighed(self.number, wire.loads(payload)))
        elif kind == wire.READY:
            self._booted = True
            post(Ready(self.number))
        elif kind == wire.UNREADABLE:
            indices, error = wire.loads(payload)
            post(Unreadable(self.number, indices, wire.load_error(*error)))
        elif kind == wire.BROKEN:
            self._released = True  # its end, which follows, is no news
            post(Broken(self.number, wire.load_error(*wire.loads(payload))))

    def _on_status(self, _mask: int) -> None:
        try:
            data = os.read(self._status, 2 * STATUS.size)
        except BlockingIOError:
            return
        if data and self._pid is None:
            (self._pid,) = STATUS.unpack_from(data)
            data = data[STATUS.size :]
            if not data:
                return
        # no data: the template itself is gone, and has nobody to tell the status
        status = STATUS.unpack_from(data)[0] if data else None
        if status is None:
            self.kill()
        self._end(status)

    def _read_pid(self) -> None:
        """The pid is written right after the fork; a kill that early waits for it."""
        if self._pid is None:
            os.set_blocking(self._status, True)
            data = os.read(self._status, STATUS.size)
            os.set_blocking(self._status, False)
            if data:
                (self._pid,) = STATUS.unpack(data)

    def _end(self, status: int | None) -> None:
        self._read_rest()  # before anybody is blamed
        # while it carried items the cells may name a bystander: then nobody is named
        running = [] if self._cells.carrying else [index for _, index, _ in self.running()]
        if self._released:
            event: Any = Ended(self.number)
        else:
            event = Lost(self.number, status, running, self._booted)
        self._let_go()
        self._hub.events.append(event)

    def _read_rest(self) -> None:
        """All that a process which is gone ever sent is in the socket."""
        more = True
        while more:
            try:
                more = self._inbox.fill()
            except OSError:
                more = False
            for kind, payload in self._inbox.frames():
                self._frame(kind, payload)

    def _let_go(self) -> None:
        self._hub.unregister(self._socket.fileno())
        self._hub.unregister(self._status)
        self._inbox.close()
        self._outgoing.clear()
        self._socket.close()
        os.close(self._status)
        self._view.release()
        self._memory.close()
        self._gone = True


class Template:
    """The near side of the template process: one for this process, started when first needed, ended with it."""

    _current: Template | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        if not hasattr(socket, "send_fds"):
            raise PlanError("processes need POSIX sockets that carry descriptors", hint='model="threads"')
        mode = "fork" if sys.platform.startswith("linux") else "spawn"
        self._owner = os.getpid()
        self._control, far = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from atonce.worker.template import main; "
            f"main({far.fileno()}, {os.environ.get('ATONCE_START_METHOD', mode)!r}, {self._owner})"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        except BaseException:
            self._control.close()
            raise
        finally:
            far.close()

    @classmethod
    def current(cls) -> Template:
        with cls._lock:
            return cls._living()

    @classmethod
    def _living(cls) -> Template:
        template = cls._current
        if template is None or template._owner != os.getpid() or template._process.poll() is not None:
            if template is not None:
                template._control.close()
            cls._current = None
            template = cls._current = cls()
        return template

    @classmethod
    def spawn(cls, connection: int, cells: int, status: int) -> None:
        """Have a worker started. One whose template has just been killed goes to the next template; raises OSError."""
        with cls._lock:
            template = cls._living()
            try:
                socket.send_fds(template._control, [SPAWN], [connection, cells, status])
            except (BrokenPipeError, ConnectionResetError):
                template._process.wait()  # its end of the socket is closed, so it is about to be gone
                socket.send_fds(cls._living()._control, [SPAWN], [connection, cells, status])

    def stop(self) -> None:
        self._control.close()
        if self._owner == os.getpid():
            self._process.wait()
        else:  # a forked child has no say over its parent's child
            self._process.returncode = 0


@atexit.register
def shut_down() -> None:
    """End the template process, as at exit. It starts again when it is needed."""
    with Template._lock:
        template, Template._current = Template._current, None
        if template is not None:
            template.stop()


def _forget() -> None:
    """In a forked child: the template belongs to the parent, and must see the end of the parent's socket only."""
    Template._lock = threading.Lock()
    template, Template._current = Template._current, None
    if template is not None:
        template.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _shared_memory(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("atonce-cells")
    else:
        fd, path = tempfile.mkstemp(prefix="atonce-")
        os.unlink(path)
    os.ftruncate(fd, size)
    return fd
