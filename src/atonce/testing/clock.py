"""Time that moves when told, and a hub that moves it instead of sleeping."""

from __future__ import annotations

import heapq
import math
import os
from collections import deque
from collections.abc import Callable
from itertools import count

from ..engine.events import Event
from ..engine.hub import Hub

__all__ = ["FakeClock", "FakeHub", "Stuck"]

# Turns in a row of a driver that neither an event nor the time has changed anything for: it spins.
MOST_IDLE_TURNS = 10_000


class Stuck(AssertionError):
    """Nothing that is still to come would wake this run: for real it would hang, or spin, for ever."""


class FakeClock:
    """`time.monotonic` that stands still: `clock()` is the time, `advance` moves it, `call_at` is what happens then."""

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()  # what is due at the same time happens in the order in which it was said

    def __call__(self) -> float:
        return self.now

    def __repr__(self) -> str:
        return f"<FakeClock {self.now:g}, {len(self._coming)} to come>"

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._coming, (when, next(self._numbers), callback))

    @property
    def next_at(self) -> float:
        """When the next thing happens; infinite when nothing does."""
        return self._coming[0][0] if self._coming else math.inf

    def advance(self, seconds: float) -> None:
        """Move on, through everything that is due on the way."""
        self.move_to(self.now + seconds)

    def move_to(self, when: float) -> None:
        while self._coming and self._coming[0][0] <= when:
            at, _, callback = heapq.heappop(self._coming)
            self.now = max(self.now, at)
            callback()
        self.now = max(self.now, when)


class FakeHub(Hub):
    """A hub without descriptors: `wait` moves the clock to the next thing that happens, or to its own end."""

    def __init__(self, clock: FakeClock) -> None:
        # not Hub.__init__: it opens a selector and sockets, which a fake needs not
        self.clock = clock
        self.events: deque[Event] = deque()
        self.notify = None
        self._pid = os.getpid()
        self.closed = False
        self._roused = False
        self._idle_turns = 0

    def fileno(self) -> int | None:
        return None

    def post(self, event: Event) -> None:
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        self._roused = True
        if self.notify is not None:
            self.notify()

    def register(self, fd: int, ready: Callable[[int], None], *, write: bool = False) -> None:
        raise NotImplementedError("a fake hub watches no descriptors")

    def unregister(self, fd: int) -> None:
        pass

    def wait(self, timeout: float | None) -> None:
        """Raises Stuck where the real one would never return, or where the driver turns without end."""
        before = self.clock.now
        if not self.events and not self._roused:
            until = math.inf if timeout is None else before + timeout
            when = min(until, self.clock.next_at)
            if when == math.inf:
                raise Stuck("the run waits, and nothing is to come")
            self.clock.move_to(when)
        self._idle_turns = 0 if self.events or self._roused or self.clock.now > before else self._idle_turns + 1
        if self._idle_turns > MOST_IDLE_TURNS:
            raise Stuck(f"{MOST_IDLE_TURNS} turns in a row changed nothing")
        self._roused = False

    def close(self) -> None:
        self.closed = True
