"""An output in a process of its own, with a GIL of its own: `Apart`.

    the thread that writes ── bodies into shared memory, all else as a message ──► a fork: make rows, write them
                 ▲──────────────────── an answer: done, or what was raised ◄──────────────────┘

Making rows of many small pages, hashing them and giving each a file takes about as much as getting them, some thirty turns of
the GIL a page: in one process both wait for each other more than they work. A fork has the output as it was opened, so nothing
of it has to travel, and ends with the process that made it, however that ends. One batch may wait while another is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any

from atonce.errors import OutputError
from atonce.worker.parent import end_with_parent

from .base import Sink
from .row import Made, Make, Raw, rows_of

__all__ = ["Apart", "can_fork"]

ROOM = 8 << 20  # bytes of shared memory: half for each of two messages; a body that is larger than that goes in one
HELPED = 16  # bodies that are hashed between two looks
_LENGTH = struct.Struct("<Q")
_COMMIT, _END = "commit", "end"
# what asks a command to end
_ASKS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def can_fork() -> bool:
    """Whether a fork of this process is safe, since nobody else can hold a lock in it, and ends with this one."""
    try:
        return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class Apart:
    """The near side. For one thread, but `start`, which is for the main thread: the fork ends with the thread that made it."""

    def __init__(self, sink: Sink, make: Make) -> None:
        self._sink, self._make = sink, make
        self._waiting = 0  # messages without an answer
        self._half = 0

    def start(self) -> bool:
        """False where the system has no room for another process."""
        self._memory = mmap.mmap(-1, ROOM)
        self._near, far = socket.socketpair()
        parent = os.getpid()
        # one that came before the fork ignores them would end it, in the middle of the caller's own handling
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKS)
        try:
            self._pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._near.close()
            far.close()
            return False
        if self._pid == 0:
            try:
                self._near.close()
                _end_with(parent)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                _serve(far, self._memory, self._sink, self._make)
            finally:
                os._exit(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        far.close()
        return True

    def write(self, batch: Sequence[Made]) -> None:
        """Raises what an earlier batch raised."""
        while batch:
            if self._waiting > 1:
                batch = self._hashed(batch)
            while self._waiting > 1:  # the half that is next has been read
                self._hear()
            placed = self._placed(batch)
            self._send([placed])
            batch = batch[len(placed) :]

    def commit(self) -> None:
        self._send(_COMMIT)
        while self._waiting:
            self._hear()

    def end(self) -> None:
        """Once nothing more is to be written. A second call does nothing."""
        if self._pid:
            with contextlib.suppress(OSError):
                self._near.send(_framed(_END))
            self._near.close()
            os.waitpid(self._pid, 0)
            self._pid = 0
            self._memory.close()

    def _hashed(self, batch: Sequence[Made]) -> list[Made]:
        """The other side is behind: until it says something, bodies are hashed here, a fifth of what it does for one."""
        helped = [*batch]
        for number, each in enumerate(helped):
            if type(each) is Raw and each.body:
                helped[number] = each._replace(sha256=hashlib.sha256(each.body).hexdigest())
            if number % HELPED == 0 and select.select([self._near], [], [], 0)[0]:
                break
        return helped

    def _placed(self, batch: Sequence[Made]) -> list[Any]:
        """As many as there is room for, as they travel: (place, length, fields, sha256) of what lies in the memory."""
        self._half = ROOM // 2 - self._half
        at, end, memory = self._half, self._half + ROOM // 2, self._memory
        placed: list[Any] = []
        for each in batch:
            size = len(each.body) if type(each) is Raw else 0
            if type(each) is not Raw or size > ROOM // 2:
                placed.append(each)
            elif at + size > end:
                break
            else:
                memory[at : at + size] = each.body
                placed.append((at, size, each.fields, each.sha256))
                at += size
        return placed

    def _send(self, message: Any) -> None:
        try:
            self._near.sendall(_framed(message))
        except OSError:
            self._hear()  # what it said last, or that it is gone
            raise self._gone() from None
        self._waiting += 1

    def _hear(self) -> None:
        answer = _received(self._near)
        if answer is None:
            raise self._gone()
        self._waiting -= 1
        if answer[0] is not None:
            raise answer[0]

    def _gone(self) -> OutputError:
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return OutputError(
            f"the process that writes the output has ended ({os.waitstatus_to_exitcode(status)})",
            causes=("somebody has killed it, or the system has, for want of memory",),
            hint="run the same command again: it goes on",
        )


def _end_with(parent: int) -> None:
    """Signals to end are for the parent to obey; when that is gone, nothing more is written: another run may be at it."""
    for number in _ASKS:
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    if os.getppid() != parent:
        os._exit(0)


def _serve(far: socket.socket, memory: mmap.mmap, sink: Sink, make: Make) -> None:
    """The far side: writes until it is told to end, or nobody is there to tell it. Nothing is tried after an error."""
    view = memoryview(memory)
    error: BaseException | None = None
    while (message := _received(far)) is not None and message != _END:
        if error is None:
            try:
                if message == _COMMIT:
                    sink.commit()
                else:
                    [batch] = message
                    sink.write(rows_of([_taken(each, view) for each in batch], make))
            except BaseException as raised:
                error = raised
        far.sendall(_framed((error,) if _travels(error) else (OutputError(f"{type(error).__name__}: {error}"),)))
    if message == _END:
        sink.commit()  # what was written before an error


def _taken(each: Any, view: memoryview) -> Made:
    if type(each) is not tuple:
        made: Made = each
        return made
    at, size, *rest = each
    return Raw(view[at : at + size], *rest)


def _travels(error: BaseException | None) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _framed(message: Any) -> bytes:
    pickled = pickle.dumps(message, 5)
    return _LENGTH.pack(len(pickled)) + pickled


def _received(sock: socket.socket) -> Any:
    """The next message; None where the other side is gone."""
    head = _exactly(sock, _LENGTH.size)
    body = None if head is None else _exactly(sock, _LENGTH.unpack(head)[0])
    return None if body is None else pickle.loads(body)


def _exactly(sock: socket.socket, size: int) -> bytearray | None:
    got = bytearray(size)
    view, at = memoryview(got), 0
    while at < size:
        try:
            count = sock.recv_into(view[at:])
        except ConnectionError:
            return None
        if not count:
            return None
        at += count
    return got
