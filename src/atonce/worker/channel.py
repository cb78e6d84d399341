"""A socket that carries frames, each with its large buffers before it: by descriptor where it can be, else in the stream.

    BUFFER + descriptor ──► BUFFER + descriptor ──► the frame they belong to (or WRAPPED + descriptor: its payload is large)

A descriptor travels with the first byte of its own small frame, so that the receiver has one at a time, maps it and closes
it at once. What a dead process had sent stays readable; what nobody reads ends with the socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from . import buffers, wire

__all__ = ["Frames", "Inbox", "Message", "Outgoing", "close_all", "pack"]

BUFFER, INLINE, WRAPPED = 101, 102, 103

Message = tuple[Any, int]  # bytes, and the descriptor that goes with the first of them, or -1


def pack(kind: int, payload: bytes | Sequence[bytes] = b"", large: Sequence[Any] = (), *, shared: bool = True) -> list[Message]:
    """A frame and its large buffers, ready to go. What is not sent must be closed (`close_all`).

    Not `shared`: to another machine, where a descriptor means nothing; all goes in the stream.
    """
    parts = [payload] if isinstance(payload, bytes) else payload
    messages: list[Message] = []
    # what is under way is open here: some, never so many that others find none left
    most = min(256, buffers.open_files() // 8) if large and shared else 0
    try:
        for buffer in large:
            fd = -1
            if len(messages) < most and (fd := buffers.kept(buffer)) < 0:
                fd = buffers.share([buffer])
            messages.append((wire.frame(BUFFER), fd) if fd >= 0 else (wire.frame(INLINE, bytes(buffer)), -1))
        fd = buffers.share(parts) if shared and sum(map(len, parts)) >= buffers.LEAST else -1
        if fd >= 0:
            messages.append((wire.frame(WRAPPED, bytes([kind])), fd))
        else:
            messages.append((wire.frame(kind, b"".join(parts)), -1))
    except BaseException:
        close_all(messages)
        raise
    return messages


def close_all(messages: Sequence[Message]) -> None:
    for _, fd in messages:
        if fd >= 0:
            os.close(fd)


def again(messages: Sequence[Message]) -> list[Message]:
    """The same messages, to be sent once more: to another worker."""
    copies: list[Message] = []
    try:
        for data, fd in messages:
            copies.append((data, os.dup(fd) if fd >= 0 else -1))
    except BaseException:
        close_all(copies)
        raise
    return copies


class Outgoing:
    """Messages on their way into a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._queue: deque[Message] = deque()

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, messages: Sequence[Message]) -> None:
        self._queue.extend((memoryview(data), fd) for data, fd in messages)

    def send(self, what: bytes | Sequence[Message]) -> None:
        """A frame, or what `pack` gave, and wait until the socket has taken it, which must be one that blocks."""
        self.add([(what, -1)] if isinstance(what, bytes) else what)
        try:
            self.flush()
        finally:
            self.clear()

    def flush(self) -> None:
        """Send all. Raises BlockingIOError where the socket does not block and takes no more now."""
        queue = self._queue
        while queue:
            data, fd = queue[0]
            if fd < 0:
                sent = self._socket.send(data)
            else:
                try:
                    sent = self._socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))])
                except OSError as error:
                    if error.errno != errno.ETOOMANYREFS:  # more under way than one user may have: the bytes go instead
                        raise
                    queue[0] = (memoryview(_unshared(data, fd)), -1)
                    os.close(fd)
                    continue
                queue[0] = (data, -1)
                os.close(fd)
            if sent == len(data):
                queue.popleft()
            else:
                queue[0] = (data[sent:], -1)

    def clear(self) -> None:
        close_all(self._queue)
        self._queue.clear()


def _unshared(data: memoryview, fd: int) -> bytes:
    """The frame that needs no descriptor."""
    ((kind, payload),) = wire.Decoder().feed(bytes(data))
    content = bytes(buffers.contents(fd))
    return wire.frame(INLINE, content) if kind == BUFFER else wire.frame(payload[0], content)


class Frames:
    """Frames out of bytes, however those were cut. `large` are the buffers that came with the frame given out last."""

    def __init__(self) -> None:
        self.large: list[Any] = []
        self._decoder = wire.Decoder()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._coming: list[Any] = []
        self._segments: deque[Any] = deque()

    def feed(self, data: bytes) -> None:
        """These bytes have come."""
        self._frames += self._decoder.feed(data)

    @property
    def garbled(self) -> bool:
        """Whether what came cannot have been sent by us: an item has written to a descriptor that is not its own."""
        return self._decoder.garbled

    def frames(self) -> Iterator[tuple[int, Any]]:
        """The frames that are whole now. Each is taken off before anybody looks into it, which may raise."""
        while self._frames:
            kind, payload = self._frames.popleft()
            if kind in (BUFFER, WRAPPED) and not self._segments:
                self._decoder.garbled = True
                return
            if kind == BUFFER:
                self._coming.append(self._segments.popleft())
            elif kind == INLINE:
                self._coming.append(bytearray(payload))
            else:
                self.large, self._coming = self._coming, []
                if kind == WRAPPED:
                    yield payload[0], self._segments.popleft()
                else:
                    yield kind, payload
                self.large = []

    def close(self) -> None:
        """Let go of what came and was not asked for."""
        self._frames.clear()
        self._segments.clear()
        self._coming.clear()


class Inbox(Frames):
    """Frames out of a socket, with the descriptors that came beside them.

    One descriptor is held in reserve, and let go for the moment of reading: where a process has no descriptor left, what
    comes would else be dropped by the kernel.
    """

    def __init__(self, connection: socket.socket, *, private: bool) -> None:
        super().__init__()
        self.private = private
        self._socket = connection
        self._reserve = os.dup(connection.fileno())
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def fill(self) -> bool:
        """Read what is there, 64 KiB at a time (a larger buffer is made anew for each call, which costs more than the calls).

        False at the end, or where it cannot be understood. Raises BlockingIOError where there is nothing.
        """
        data = self._read()
        self.feed(data)
        if self._frames and self._frames[-1][0] == BUFFER:
            # a frame follows its buffers, each of which ends a read: they are not worth a turn of the hub each
            with contextlib.suppress(BlockingIOError):
                while data and self._frames and self._frames[-1][0] == BUFFER:
                    data = self._read()
                    self.feed(data)
        return bool(data) and not self.garbled

    def more(self) -> bool:
        """Whether there is something to be read, be it the end."""
        return bool(self._frames) or bool(self._poll.poll(0))

    def close(self) -> None:
        """As `Frames.close`. The socket is its owner's."""
        super().close()
        self._give_up_reserve()

    def _read(self) -> bytes:
        self._give_up_reserve()
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(1 << 16, _ROOM)
            for _, _, descriptor in ancillary:
                self._segments.append(buffers.receive(array("i", descriptor)[0], private=self.private))
            if flags & _CUT_SHORT and not ancillary:
                self._segments.append(None)  # it is lost: whoever asks for it fails
            return data
        finally:
            try:
                self._reserve = os.dup(self._socket.fileno())
            except OSError:  # there is none left: the next time
                pass

    def _give_up_reserve(self) -> None:
        reserve, self._reserve = self._reserve, -1
        if reserve >= 0:
            os.close(reserve)


# a plain number: with the enumeration's member the bare `&` takes a microsecond
_CUT_SHORT = int(getattr(socket, "MSG_CTRUNC", 0))
_ROOM = socket.CMSG_SPACE(array("i").itemsize) if hasattr(socket, "CMSG_SPACE") else 0
