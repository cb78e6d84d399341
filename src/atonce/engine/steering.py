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

__all__ = ["LONG", "Steering"]

# Seconds an item from which on it is steered. From then on an item given to a worker is an item started, so that what is in
# flight is known exactly; that costs an item up to 1 ms of waiting for the near side, a tenth of it here. Shorter ones are
# bound by this machine: 64 slots of 10 ms are 6 400 items a second.
LONG = 0.01


class Steering:
    """One run's limit. `start` slots in all to begin with, `most` at most; `max_wait` caps what a refusal asks for. Pure: time
    is passed in."""

    def __init__(self, start: int, most: int, *, max_wait: float = math.inf) -> None:
        self._max_wait = max_wait
        self._limit = AdaptiveLimit(start, most)
        self._start = start
        self.slots = start  # in all, now
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
        """What a worker finished; `in_flight` were running before that. `overloads`: whether refusals count here."""
        limit = self._limit
        if not self.awake:
            self.awake = True
            first = min(report.started, default=now)
            for _ in range(min(in_flight, self.slots)):
                limit.sent(first)
        before = limit.limit
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
        limit.press(now, pressure, reason)
        if limit.limit < before:
            limit.took_effect(now)
        self.pacing = self.pacing or pressure == "stop"
        self.slots = limit.limit

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
