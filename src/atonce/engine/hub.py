"""One place where everything that can happen to a run arrives: reports, deaths, wake-ups. Nothing polls."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable

from ..errors import RunError
from .events import Event

__all__ = ["Hub"]


class Hub:
    """Events from threads (`post`) and from file descriptors (`register`), waited for together.

    `wait` is for a thread; an event loop watches `fileno()` and calls `wait(0)`: a selector is itself something that can be
    selected (epoll and kqueue; elsewhere the async driver waits in a thread).
    """

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self._asleep = False
        self._news = False
        self._woken, self._waker = socket.socketpair()
        try:
            self._selector = selectors.DefaultSelector()
        except BaseException:  # no descriptor is left: then these two are not ours to keep
            self._woken.close()
            self._waker.close()
            raise
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain)
        self.notify: Callable[[], None] | None = None  # set by a driver that does not sleep in `wait`
        self.closed = False
        self._pid = os.getpid()

    @property
    def inherited(self) -> bool:
        """Whether this is a fork's copy. What it waits in, and all it would hear of, is the parent's."""
        return os.getpid() != self._pid

    def fileno(self) -> int | None:
        """A descriptor that is readable when `wait` would return, where the platform has one."""
        fileno = getattr(self._selector, "fileno", None)
        return None if fileno is None else int(fileno())

    def post(self, event: Event) -> None:
        """From any thread."""
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        """End a `wait`, from any thread. Costs a system call only when somebody sleeps."""
        self._news = True
        if self._asleep:
            self._asleep = False
            # full: it is awake already; closed: nobody waits any more
            with contextlib.suppress(BlockingIOError, OSError):
                self._waker.send(b"\0")
        elif self.notify is not None:
            self.notify()

    def register(self, fd: int, ready: Callable[[int], None], *, write: bool = False) -> None:
        """Call `ready(mask)` in `wait` when the descriptor can be read (and, with `write`, written). Again to change it."""
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        try:
            self._selector.modify(fd, mask, ready)
        except KeyError:
            self._selector.register(fd, mask, ready)

    def unregister(self, fd: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def wait(self, timeout: float | None) -> None:
        """Return when there are events, when woken, or after `timeout` seconds (None: no limit)."""
        if self.inherited:
            raise RunError(
                f"this run is that of process {self._pid}, of which this one is a fork: its results go there",
                hint="begin another run here",
            )
        if timeout is None or timeout > 0:
            self._asleep = True
            # woken between the caller's last look and here, by somebody who saw nobody asleep
            if self._news or self.events:
                timeout = 0
        if timeout != 0 and threading.current_thread() is threading.main_thread():  # which handles signals
            ready = self._select_or_signal(timeout)
        else:
            ready = self._selector.select(timeout)
        for key, mask in ready:
            key.data(mask)
        self._asleep = False
        self._news = False  # whoever set it had something to be seen, and the caller looks next

    def _select_or_signal(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """A signal that comes after Python's last look for one and before the system call must end the wait as well.

        Python can be told to write a byte somewhere for each signal (in the main thread only). Somebody else's descriptor, an
        event loop's that runs outside, gets its bytes again afterwards. A handler may raise as soon as a call has ended, also
        the one that sets ours, which must not stay: once this hub is closed, its number is another file's.
        """
        before = -1
        try:
            before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
            return self._selector.select(timeout)
        finally:
            signal.set_wakeup_fd(before, warn_on_full_buffer=before == -1)

    def close(self) -> None:
        self.closed = True
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _drain(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
