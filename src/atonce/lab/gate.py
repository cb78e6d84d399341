"""Who is served, who waits, and when a new connection's handshake is over: decided here, without clock or socket."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from .config import Config

__all__ = ["Gate", "Verdict"]

Verdict = Literal["serve", "wait", "reset", "503"]
C = TypeVar("C")


class Gate(Generic[C]):
    """The door of one host: at most `max_connections` inside, and one handshake at a time.

    A connection that has left without having been inside (it gave up waiting, or was refused) frees no place.
    """

    def __init__(self, config: Config) -> None:
        self._limit = config.max_connections
        self._over_limit = config.over_limit
        self._cost = config.connection_cost
        self._free_at = 0.0
        self._inside: set[C] = set()
        self._waiting: dict[C, None] = {}  # a queue that can also be left from the middle

    def __repr__(self) -> str:
        return f"<Gate {len(self._inside)} inside, {len(self._waiting)} waiting, limit {self._limit}>"

    def arrive(self, who: C) -> Verdict:
        if self._limit is None or len(self._inside) < self._limit:
            self._inside.add(who)
            return "serve"
        if self._over_limit == "wait":
            self._waiting[who] = None
        return self._over_limit

    def leave(self, who: C) -> C | None:
        """`who` is gone; returns the connection to serve in its place, if one waits."""
        self._waiting.pop(who, None)
        if who not in self._inside:
            return None
        self._inside.remove(who)
        heir = next(iter(self._waiting), None)
        if heir is not None:
            del self._waiting[heir]
            self._inside.add(heir)
        return heir

    def handshake(self, now: float) -> float:
        """The time at which a connection let in at `now` may get its first answer."""
        self._free_at = max(now, self._free_at) + self._cost
        return self._free_at
