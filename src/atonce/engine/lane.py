"""One key: its items that wait, and what says when the next of them may start."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from .backlog import Queued
from .circuit import Circuit, Refusing
from .kinds import Kind
from .limit import AdaptiveLimit
from .opening import Opening

__all__ = ["Lane"]


# Connections are served in their order, which is that of the starts but for this part of what one has waited.
IN_LINE = 0.1


class Lane:
    """A key: its items that wait, how many of it are in flight, how many may be, and when."""

    __slots__ = (
        "answered_at",
        "circuit",
        "home",
        "in_flight",
        "in_turn",
        "items",
        "key",
        "last",
        "limit",
        "opened_at",
        "opening",
        "parked",
        "queue",
        "refusing",
        "served_by",
        "spacing",
        "started_at",
        "total",
        "wakes_at",
    )

    def __init__(self, key: Any, limit: AdaptiveLimit | None, spacing: float | None = 0.0) -> None:
        self.key = key
        self.limit = limit
        self.opening = None if limit is None else Opening(limit.start)
        self.spacing = spacing  # seconds from one start to the next, at least; None: the first to come back will tell
        self.started_at = -math.inf  # the last start
        self.answered_at = -math.inf  # the last sign of life
        self.opened_at = -math.inf  # the last start of one that has opened a connection and was answered, where that is known
        self.queue: deque[Queued] = deque()
        self.items = self.total = 0  # that were read and are not final; that were ever read
        self.in_flight = 0
        self.in_turn = False
        self.parked = -math.inf  # told to wait until then
        self.wakes_at = -math.inf  # when it is looked at again, should nothing happen before
        self.circuit: Circuit | None = None  # since the last sign of life, if something has failed
        self.last: BaseException | None = None  # that failure
        self.refusing: Refusing | None = None  # while it does nothing but refuse
        self.served_by: int | None = None  # the worker to which the last answer came
        self.home: int | None = None  # the only one that is given items of it: connections of others are not served

    @property
    def why(self) -> str:
        """In a line, how many of it may be in flight; "" where nobody finds that out."""
        if self.spacing:
            return f"one start each {self.spacing:.3g} s, as was asked for"
        if self.limit is None:
            return ""
        return f"{self.limit.why}{', connections are opened a few at a time' if self.opening and self.opening.dear else ''}"

    @property
    def in_words(self) -> str:
        """The same, of this key: `5 of example.com: refused with 6 in flight`."""
        number, _, reason = self.why.partition(": ")
        return f"{number} of {self.key}: {reason}" if number.isdecimal() else f"{self.key}: {self.why}"

    def steer(self, limit: AdaptiveLimit) -> None:
        """Find out from now on how many may be in flight."""
        self.limit, self.opening = limit, Opening(limit.start)

    def started(self, index: int, now: float) -> None:
        """This one is in flight from now on."""
        if self.limit is not None:
            self.limit.sent(now)
        if self.opening is not None:
            self.opening.started(index, self.in_flight, now)
        self.in_flight += 1
        self.started_at = now

    def heard(
        self,
        index: int,
        ended: float,
        latency: float,
        in_flight: int,
        kind: Kind,
        retry_after: float | None = None,
        opened: bool | None = None,
    ) -> None:
        """What came of one, for those who find out how many may be in flight; it counts in `in_flight` and has not `left`.
        `opened`: see `Opening.answered`."""
        if self.limit is not None:
            self.limit.finished(ended, latency, in_flight, kind, retry_after)
        if self.opening is not None and kind == "ok":
            self.opening.answered(index, latency, opened)

    def is_unserved(self, started: float, ended: float) -> bool:
        """Whether one over whose new connection nothing came is that: others were answered, and no later connection was."""
        return started < self.answered_at and self.opened_at <= started + IN_LINE * (ended - started)

    def passed_over(self, index: int) -> None:
        """This one was not served, as others were; it has not `left`."""
        self.home = self.served_by
        if self.opening is not None:
            self.opening.passed_over(index)

    def left(self, index: int) -> None:
        """This one is not in flight any more."""
        self.in_flight -= 1
        if self.opening is not None and self.opening.fresh:
            self.opening.left(index)

    def is_free(self, now: float) -> bool:
        """Whether as many may start now as the run allows a key."""
        return self.limit is None and self.spacing == 0 and self.circuit is None and self.parked <= now

    @property
    def silent(self) -> float:
        """Until when nothing of it may start, since nobody answers; the past where somebody does, or a probe is due."""
        return -math.inf if self.circuit is None else self.circuit.until

    @property
    def promised(self) -> float:
        """Until when nothing of it may start, whatever is known of it."""
        return max(self.silent, self.parked, self.started_at + (self.spacing or 0.0))

    @property
    def most(self) -> float:
        """How many may be in flight, as far as that is found out."""
        most = math.inf if self.limit is None else self.limit.limit
        return most if self.opening is None else min(most, self.opening.room)

    def starts_at(self, now: float, most: float) -> float:
        """When the next one may start: `now`, later, or infinity where only what comes back makes room."""
        limit, opening, circuit = self.limit, self.opening, self.circuit  # as `most` and `promised`, which each item would call
        if self.spacing is None or (circuit is not None and circuit.open):
            most = 1
        in_flight = self.in_flight
        if in_flight >= most or (limit is not None and in_flight >= limit.limit):
            return math.inf
        if opening is not None and in_flight >= opening.room:
            return math.inf
        at = self.promised if circuit is not None or self.spacing else self.parked
        at = max(now, at)
        return at if limit is None else max(at, limit.gate(now))
