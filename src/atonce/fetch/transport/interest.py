"""Which sockets libcurl waits for: told by its callback, kept with the system's poller.

libcurl drops its interest in a socket when a transfer ends and takes it up again when the next transfer uses that
connection, most often before anything has been waited for in between. So what it says is only noted, and settled once
before each wait: no system call for a transfer whose connection was there, instead of two. Descriptors may have been
closed and their numbers given anew meanwhile, to a connection or to a look-up of a name: each is told (`opened`), and
then the poller's own state is the truth again, and it is asked.
"""

from __future__ import annotations

import os
import select
import selectors
import socket

import pycurl

__all__ = ["Interest", "interest"]

# Whether libcurl says when it is about to look up a name.
TOLD_OF_ALL = hasattr(pycurl, "RESOLVER_START_FUNCTION")

READ: int = pycurl.CSELECT_IN  # 1 and 2, as POLL_IN and POLL_OUT are
WRITE: int = pycurl.CSELECT_OUT


class Interest:
    """Any system: through `selectors`, which has epoll, kqueue or select underneath.

    `ended`: whether a socket that was waited for has been ended by its other side with nothing more to read, so that libcurl,
    when it is told, loses what it sent. True from the start where the system does not tell.
    """

    ended = True

    def __init__(self) -> None:
        self._said: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()

    def note(self, what: int, fd: int, multi: object, data: object) -> None:
        """libcurl's M_SOCKETFUNCTION."""
        self._said[fd] = what

    def waits_for(self, fd: int) -> bool:
        """Whether libcurl waits for a socket: some transfer has it."""
        said = self._said.get(fd)
        return self._waited_for(fd) if said is None else said != pycurl.POLL_REMOVE

    def opened(self) -> None:
        """There is about to be a new descriptor, perhaps under the number of one that was closed unnoticed."""

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """(descriptor, READ and WRITE bits) of what is ready, at most `seconds` from now."""
        if self._said:
            for fd, what in self._said.items():
                self._settle(fd, what & (READ | WRITE) if what != pycurl.POLL_REMOVE else 0)
            self._said.clear()
        return self._ready(seconds)

    def close(self) -> None:
        self._selector.close()

    def _waited_for(self, fd: int) -> bool:
        return fd in self._selector.get_map()

    def _settle(self, fd: int, bits: int) -> None:
        try:
            self._selector.unregister(fd)
        except (KeyError, ValueError, OSError):
            pass
        if bits:
            self._selector.register(fd, bits)  # EVENT_READ and EVENT_WRITE are 1 and 2 as well

    def _ready(self, seconds: float) -> list[tuple[int, int]]:
        return [(key.fd, bits) for key, bits in self._selector.select(seconds)]


def interest() -> Interest:
    return _EpollInterest() if hasattr(select, "epoll") else Interest()


if hasattr(select, "epoll"):

    class _EpollInterest(Interest):
        """Linux, without what `selectors` costs an event (2 of the 30 µs of a request)."""

        def __init__(self) -> None:
            self._said = {}
            self.ended = False
            self._poller = select.epoll()
            self._kept: set[int] = set()
            self._sure: dict[int, int] = {}  # what the poller waits for, as libcurl said it, where nothing else can be

        def opened(self) -> None:
            self._sure.clear()

        def wait(self, seconds: float) -> list[tuple[int, int]]:
            said, sure = self._said, self._sure
            if said:
                for fd, what in said.items():
                    if sure.get(fd) != what:
                        self._settle(fd, what & (READ | WRITE) if what != pycurl.POLL_REMOVE else 0)
                        if TOLD_OF_ALL:
                            sure[fd] = what
                said.clear()
            return self._ready(seconds)

        def close(self) -> None:
            self._poller.close()

        def _waited_for(self, fd: int) -> bool:
            return fd in self._kept

        def _settle(self, fd: int, bits: int) -> None:
            if not bits:
                if fd in self._kept:
                    self._kept.discard(fd)
                    try:
                        self._poller.unregister(fd)
                    except OSError:  # closed, which took it out
                        pass
                return
            events = select.EPOLLRDHUP | (select.EPOLLIN if bits & READ else 0) | (select.EPOLLOUT if bits & WRITE else 0)
            if fd in self._kept:
                try:
                    self._poller.modify(fd, events)
                    return
                except FileNotFoundError:  # closed, and another one has the number now
                    pass
            self._kept.add(fd)
            self._poller.register(fd, events)

        def _ready(self, seconds: float) -> list[tuple[int, int]]:
            return [(fd, READ if events == _IN else self._seen(fd, events)) for fd, events in self._poller.poll(seconds)]

        def _seen(self, fd: int, events: int) -> int:
            if events & _ENDS and not self.ended:
                self.ended = _is_empty(fd, events)
            return WRITE if events == _OUT else READ | WRITE if events & _OUT else READ

    _IN: int = select.EPOLLIN
    _OUT: int = select.EPOLLOUT
    _ENDS: int = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

    def _is_empty(fd: int, events: int) -> bool:
        """Whether a socket whose other side has ended has nothing more to read. Of one with an error nothing is: it would be
        gone."""
        if events & select.EPOLLERR:
            return True
        try:
            with socket.socket(fileno=os.dup(fd)) as ended:
                return not ended.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return True
