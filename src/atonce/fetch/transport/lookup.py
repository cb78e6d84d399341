"""Names to addresses, for the transports that have no resolver of their own: `Lookups`.

Beside `socket.getaddrinfo`: those who wait for the same name wait for one lookup; each can stop waiting, which `getaddrinfo`
cannot (a name server that does not answer costs it half a minute); a few names that take long do not hold up the others, as in
the six threads of an event loop; and what was found is good for a minute.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

__all__ = ["Address", "Lookups", "lookups"]

KEPT = 60.0  # seconds; libcurl's own, and aiohttp's here
MOST = 4096  # names kept
THREADS = 64  # lookups at once: a guess


class Address(NamedTuple):
    """Where to connect to."""

    family: int
    protocol: int
    place: tuple[Any, ...]  # as `socket.connect` takes it

    @property
    def host(self) -> str:
        return str(self.place[0])


Found = Future[tuple[Address, ...]]


class Lookups:
    """`find` in any thread. Threads are started as they are needed, end when nobody waits, and hold up no exit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, int], tuple[float, Found]] = OrderedDict()
        self._todo: deque[tuple[tuple[str, int], Found]] = deque()
        self._threads = 0

    def find(self, host: str, port: int) -> Found:
        """The addresses of a host, best first, once they are there; raises what `getaddrinfo` does. Not to be cancelled."""
        name = host, port
        with self._lock:
            known = self._found.get(name)
            if known is not None and self._clock() < known[0]:
                return known[1]
            future: Found = Future()
            self._found[name] = (float("inf"), future)
            self._todo.append((name, future))
            if self._threads < THREADS:
                self._threads += 1
                threading.Thread(target=self._work, name="atonce-lookup", daemon=True).start()
        return future

    def _work(self) -> None:
        while (next := self._next()) is not None:
            name, future = next
            try:
                found = _look_up(*name)
            except Exception as error:
                self._forget(name)
                future.set_exception(error)
            else:
                self._keep(name, future)
                future.set_result(found)

    def _next(self) -> tuple[tuple[str, int], Found] | None:
        with self._lock:
            if self._todo:
                return self._todo.popleft()
            self._threads -= 1
            return None

    def _keep(self, name: tuple[str, int], future: Found) -> None:
        with self._lock:
            self._found[name] = (self._clock() + KEPT, future)
            self._found.move_to_end(name)
            while len(self._found) > MOST and next(iter(self._found.values()))[0] != float("inf"):
                self._found.popitem(last=False)

    def _forget(self, name: tuple[str, int]) -> None:
        with self._lock:
            del self._found[name]


def _look_up(host: str, port: int) -> tuple[Address, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(Address(family, protocol, place) for family, _, protocol, _, place in found)


lookups = Lookups()
