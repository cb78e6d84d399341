"""From reports to the number of slots: feeds an `AdaptiveLimit` what workers tell, and shares it out among them.

    report ──► told ──► AdaptiveLimit ──► share: the slots of each worker
                                     └──► allowed, next_at: where it paces

It sleeps while items are short: a limit matters where items wait, and what it costs is about a microsecond an item.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from .kinds import Kind, kind_of
from .limit import SILENCE, AdaptiveLimit, Pressure
from .room import Room

__all__ = ["LONG", "Steering"]

# Seconds an item from which on it is steered. From then on an item given to a worker is an item started, so that what is in
# flight is known exactly; that costs an item up to 1 ms of waiting for the near side, a tenth of it here. Shorter ones are
# bound by this machine: 64 slots of 10 ms are 6 400 items a second.
LONG = 0.01


class Steering:
    """One run's limit. `start` slots in all to begin with, `most` at most; `max_wait` caps what a refusal asks for; `cores` are
    what the workers share, 0 where nobody knows. Pure: time is passed in."""

    def __init__(self, start: int, most: int, *, max_wait: float = math.inf, cores: int = 0) -> None:
        self._max_wait = max_wait
        self._room = Room(cores)
        self._pressed = self._crowded = False  # by this machine; by its own items
        self._limit = AdaptiveLimit(start, most)
        self._start = start
        self.slots = start  # in all, now
        self._slots_taken = start  # at most: there may have been more of them, which still run what they had
        self.awake = False
        self.pacing = False  # from the first refusal on: the limit may have a gate

    @property
    def most_unheard(self) -> int:
        """Slots while nothing has come back, at most."""
        return self.slots if self.awake else self._limit.limit

    @property
    def why(self) -> str:
        return self._limit.why if self.awake else f"{self.slots}: items are too short for it to matter"

    def told(self, report: Any, in_flight: int, now: float, *, overloads: bool = True) -> None:
        """What a worker finished; it and all others had `in_flight` before that. `overloads`: whether refusals count here."""
        limit = self._limit
        # while items were short, more were given to a worker than it runs: not in flight before there are slots for them
        self._slots_taken = self.slots if in_flight <= self.slots else max(self._slots_taken, self.slots)
        in_flight = min(in_flight, self._slots_taken)
        if not self.awake:
            self.awake = True
            first = min(report.started, default=now)
            for _ in range(min(in_flight, self.slots)):
                limit.sent(first)
        before = limit.limit
        self._room.told(report, in_flight, now)
        rows: list[tuple[float, float, Kind, float | None]]
        rows = [(ended, started, "ok", None) for ended, started in zip(report.ended, report.started, strict=True)]
        for failure in report.failures:
            kind, after = kind_of(failure.error)
            if not overloads and kind != "error":
                kind, after = "error", None
            self.pacing = self.pacing or kind == "overload"
            rows.append((failure.ended, failure.started, kind, after and min(after, self._max_wait)))
        rows.sort(key=operator.itemgetter(0))
        # room is made when all of a report has been heard: what came back beside an item was in flight with it; what failed
        # was not, or not to the end
        for ended, started, kind, after in rows:
            if self._crowded != (limit.limit >= self._room.most):
                self._crowd(now)
            limit.finished(ended, max(0.0, ended - started), max(1, in_flight), kind, after)
            in_flight -= kind != "ok"
        limit.offer(now)
        if limit.limit < before:
            limit.took_effect(now)  # until now as many were given out as before
        self.slots = limit.limit

    def nothing_came(self, since: float, now: float) -> None:
        """Items run since `since` and none has come back: some more may start (see `AdaptiveLimit.gate`)."""
        if not self.awake:
            self.slots = min(self._limit.limit, round(self._start * (1 + max(0.0, now - since) / SILENCE)))

    def press(self, now: float, pressure: Pressure, reason: str) -> None:
        """What this machine has to say (see `atonce.engine.pressure`)."""
        if not self.awake:
            return
        limit, before = self._limit, self._limit.limit
        self._pressed = pressure != "none"
        if self._crowded and not self._pressed:
            pressure, reason = "hold", self._room.why
        limit.press(now, pressure, reason)
        if limit.limit < before:
            limit.took_effect(now)
        self.pacing = self.pacing or pressure == "stop"
        self.slots = limit.limit

    def _crowd(self, now: float) -> None:
        """The cores have no room for more, or have again; what the machine has to say goes before."""
        self._crowded = not self._crowded
        if not self._pressed:
            self._limit.press(now, *(("hold", self._room.why) if self._crowded else ("none", "")))

    # ── as a gate, beside the rate that the user asked for ───────────────────────────────────────────────────────────

    def allowed(self, now: float) -> int | float:
        """How many may start now."""
        return (1 if self._limit.gate(now) <= now else 0) if self.pacing else math.inf

    def next_at(self, now: float) -> float:
        return self._limit.gate(now)

    def spend(self, count: int, now: float) -> None:
        if self.pacing:
            for _ in range(count):
                self._limit.sent(now)

    def share(self, workers: int) -> list[int]:
        """Slots of each of so many workers: at least one."""
        whole, rest = divmod(self.slots, workers)
        return [max(1, whole + (number < rest)) for number in range(workers)]
