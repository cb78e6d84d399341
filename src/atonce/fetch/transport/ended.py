"""Connections that were ended here while libcurl still keeps them: `Ended`, one for each runner.

libcurl looks whether a connection is alive before it takes it again, but not more than once a second (curl's pull request
22169). Within that second it may send a request over one that is ended, which goes nowhere, and finds that out; six times, then
it gives up.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MOMENT", "Ended"]

# Seconds for which one is remembered: twice what libcurl takes to look by itself, and less than the system keeps its addresses
# from others (TIME_WAIT).
MOMENT = 2.0

Connection = tuple[Any, ...]  # the addresses and ports of its ends, as libcurl tells them


class Ended:
    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[Connection, float] = {}  # the first to be ended first

    def add(self, connection: Connection, now: float) -> None:
        self._forget(now)
        self._at.pop(connection, None)
        self._at[connection] = now

    def has(self, connection: Connection, now: float) -> bool:
        self._forget(now)
        return connection in self._at

    def any(self, now: float) -> bool:
        self._forget(now)
        return bool(self._at)

    def __bool__(self) -> bool:
        """Whether one may still be remembered: what costs least to ask."""
        return bool(self._at)

    def _forget(self, now: float) -> None:
        while self._at and now - self._at[first := next(iter(self._at))] > MOMENT:
            del self._at[first]
