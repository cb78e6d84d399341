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

from ..engine.events import Event, Lost
from ..engine.hub import Hub
from ..errors import PlanError
from ..worker import wire
from ..worker.channel import Inbox, Message, Outgoing, again, close_all
from ..worker.job import Cells, Job
from ..worker.memory import resident
from ..worker.template import SPAWN, STATUS
from . import Order, Placement, Worker
from .framed import FramedWorker, pack_job

__all__ = ["Child", "Process", "Template", "shut_down"]


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


class Child:
    """A worker process from outside: the socket, its cells, and the pipe that tells its pid and how it ended.

    Raises OSError where there is no descriptor for all of them; then nothing is left.
    """

    def __init__(self, slots: int) -> None:
        self.pid: int | None = None
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as undo:
            cells_fd = _shared_memory(Cells.size(slots))
            theirs.callback(os.close, cells_fd)
            self._memory = mmap.mmap(cells_fd, Cells.size(slots))
            undo.callback(self._memory.close)
            self._view = memoryview(self._memory).cast("d")
            undo.callback(self._view.release)
            self.cells = Cells(slots, self._view)
            self.cells.clear()
            self.socket, far = socket.socketpair()
            theirs.callback(far.close)
            undo.callback(self.socket.close)
            self.status, far_status = os.pipe()
            theirs.callback(os.close, far_status)
            undo.callback(os.close, self.status)
            self.socket.setblocking(False)
            os.set_blocking(self.status, False)
            self.start(far.fileno(), cells_fd, far_status)
            undo.pop_all()  # there was a descriptor for everything

    def start(self, connection: int, cells: int, status: int) -> None:
        """Have it started with these descriptors, which are its own from then on: they are closed here."""
        Template.spawn(connection, cells, status)

    def signal(self, number: int) -> None:
        """To the worker and what it has started."""
        self._read_pid()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def ended(self) -> tuple[int | None] | None:
        """(exit status,) once it has ended, None before. The status is None where nobody is left to tell it."""
        try:
            data = os.read(self.status, 2 * STATUS.size)
        except BlockingIOError:
            return None
        if data and self.pid is None:
            (self.pid,) = STATUS.unpack_from(data)
            data = data[STATUS.size :]
            if not data:
                return None
        if not data:  # the template itself is gone
            self.signal(signal.SIGKILL)
            return (None,)
        return STATUS.unpack_from(data)

    def _read_pid(self) -> None:
        """The pid is written right after the fork; a kill that early waits for it."""
        if self.pid is None:
            os.set_blocking(self.status, True)
            data = os.read(self.status, STATUS.size)
            os.set_blocking(self.status, False)
            if data:
                (self.pid,) = STATUS.unpack(data)

    def close(self) -> None:
        """Let go of it, whether it has ended or not."""
        self.socket.close()
        os.close(self.status)
        self._view.release()
        self._memory.close()

    def culprits(self) -> list[int]:
        """After its end: the items that its cells name."""
        return [index for _, index, _ in self.last_words()]

    def last_words(self) -> list[tuple[int, int, float]]:
        """After its end: its cells. While it carried items they may name a bystander: then nobody."""
        return [] if self.cells.carrying else self.cells.running()


class ProcessWorker(FramedWorker):
    def __init__(self, number: int, order: Order, hub: Hub, job: list[Message]) -> None:
        super().__init__(number, order, hub)
        hello = wire.dumps(self._hello())
        self._gone = False
        self._waiting = False  # for the socket to take more
        with contextlib.ExitStack() as undo:
            self._child = self._start(max(order.slots, order.most))
            undo.callback(self._child.close)  # it ends when nobody holds the other end of its socket
            self._socket = self._child.socket
            self._inbox, self._outgoing = Inbox(self._socket, private=True), Outgoing(self._socket)
            undo.callback(self._inbox.close)
            function = again(job)
            undo.callback(close_all, function)
            for fd, ready in ((self._socket.fileno(), self._on_socket), (self._child.status, self._on_status)):
                undo.callback(hub.unregister, fd)
                hub.register(fd, ready)
            undo.pop_all()
        self._send(wire.HELLO, hello)
        self._post(function)

    def _start(self, slots: int) -> Child:
        return Child(slots)

    def running(self) -> list[tuple[int, int, float]]:
        return [] if self._gone else self._child.cells.running()

    def memory(self) -> int:
        pid = None if self._gone else self._child.pid
        return 0 if pid is None else resident(pid)

    # ── near → far ───────────────────────────────────────────────────────────────────────────────────────────────────

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if not self._gone:
            self._child.signal(number)

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

    def _post(self, messages: list[Message]) -> None:
        """What the socket does not take now goes when it can."""
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
        if bool(self._outgoing) != self._waiting:
            self._waiting = not self._waiting
            self._hub.register(self._socket.fileno(), self._on_socket, write=self._waiting)

    # ── far → near ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, event: Event) -> None:
        self._hub.events.append(event)  # this runs inside `wait`: nobody sleeps

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
        self._hear(self._inbox)
        if not more:
            self._hub.unregister(self._socket.fileno())
        if self._inbox.garbled:
            self.kill()

    def _on_status(self, _mask: int) -> None:
        ended = self._child.ended()
        if ended is not None:
            self._read_rest()  # before anybody is blamed
            event = self._over(ended[0], self._child.culprits())
            if isinstance(event, Lost):
                event = event._replace(cells=self._child.last_words(), pid=self._child.pid)
            self._let_go()
            self._tell(event)

    def _read_rest(self) -> None:
        """All that a process which is gone ever sent is in the socket."""
        more = True
        while more:
            try:
                more = self._inbox.fill()
            except OSError:
                more = False
            self._hear(self._inbox)

    def _let_go(self) -> None:
        self._hub.unregister(self._socket.fileno())
        self._hub.unregister(self._child.status)
        self._inbox.close()
        self._outgoing.clear()
        self._child.close()
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
