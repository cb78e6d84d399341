"""A closed loop in virtual time: N items, a server model, and whoever says how many may be in flight.

    dispatcher ──(in flight < limit, time ≥ gate)──► server ──answer──► limiter ──► dispatcher
        ▲───────────────── refused and failed items come back at once ◄──┘

Refused items are tried again without a pause, which is the worst a client can do: only the limiter keeps it from hammering.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from limit_servers import Server

from atonce.engine.keyed import START
from atonce.engine.kinds import Kind
from atonce.engine.lane import Lane
from atonce.engine.limit import AdaptiveLimit

__all__ = ["Aimd", "Fixed", "Limiter", "OneKey", "Result", "Simulation", "settled", "simulate"]


class Limiter(Protocol):
    @property
    def limit(self) -> int: ...
    def gate(self, now: float) -> float: ...
    def sent(self, now: float) -> None: ...
    def finished(self, now: float, latency: float, in_flight: int, kind: Kind, retry_after: float | None = None) -> None: ...


class OneKey:
    """A key as the engine has it: its limit, and the pace at which its connections are opened."""

    def __init__(self, start: int = START, *, paced: bool = True) -> None:
        self.lane = Lane("key", AdaptiveLimit(start))
        if not paced:
            self.lane.opening = None
        self._numbers = itertools.count()
        self._under_way: defaultdict[float, deque[int]] = defaultdict(deque)  # by when they started

    @property
    def limit(self) -> int:
        return int(self.lane.most)

    def gate(self, now: float) -> float:
        assert self.lane.limit is not None
        return self.lane.limit.gate(now)

    def sent(self, now: float) -> None:
        number = next(self._numbers)
        self._under_way[round(now, 6)].append(number)
        self.lane.started(number, now)

    def finished(self, now: float, latency: float, in_flight: int, kind: Kind, retry_after: float | None = None) -> None:
        number = self._under_way[since := round(now - latency, 6)].popleft()
        if not self._under_way[since]:
            del self._under_way[since]
        self.lane.heard(number, now, latency, in_flight, kind, retry_after)
        self.lane.left(number)


class Fixed:
    """The same limit from beginning to end: the oracle is the best of these."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._stopped_until = 0.0

    def gate(self, now: float) -> float:
        return max(now, self._stopped_until)

    def sent(self, now: float) -> None:
        pass

    def finished(self, now: float, latency: float, in_flight: int, kind: Kind, retry_after: float | None = None) -> None:
        self._stopped_until = max(self._stopped_until, now + (retry_after or 0.0))  # everybody obeys it


class Aimd(Fixed):
    """Additive increase, multiplicative decrease, as in TCP: one more a round trip while it is used, half off at an overload or
    where the latency, smoothed, is twice the least it was; once a round trip. It doubles until the first cut."""

    def __init__(self, start: int = 32, ceiling: int = 1000) -> None:
        super().__init__(start)
        self.exact, self.ceiling = float(start), ceiling
        self.smoothed, self.least = 0.0, float("inf")
        self.cut_at = -float("inf")
        self.slow_start = True
        self.heard = 0

    def finished(self, now: float, latency: float, in_flight: int, kind: Kind, retry_after: float | None = None) -> None:
        super().finished(now, latency, in_flight, kind, retry_after)
        if kind == "ok":
            self.heard += 1
            self.smoothed += (latency - self.smoothed) / min(self.heard, 32)
            if self.heard >= 32:
                self.least = min(self.least, self.smoothed)
        if kind == "overload" or (kind == "ok" and self.smoothed > 2 * self.least):
            if now - latency >= self.cut_at:
                self.cut_at, self.exact, self.slow_start = now, self.exact / 2, False
        elif kind == "ok" and in_flight >= 0.7 * self.limit:
            self.exact += 1.0 if self.slow_start else 1.0 / self.exact
        self.exact = min(max(1.0, self.exact), float(self.ceiling))
        self.limit = int(self.exact)


@dataclass
class Result:
    """`trace`: (time, limit) whenever it changed; `done`: when each success came, and `finished_items` which it was."""

    seconds: float = 0.0
    ok: int = 0
    sends: int = 0
    rejections: int = 0
    errors: int = 0
    high_water: int = 0
    trace: list[tuple[float, int]] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    finished_items: list[int] = field(default_factory=list)


class Simulation:
    """One run."""

    def __init__(self, limiter: Limiter, server: Server, items: int, seed: int = 0, most_seconds: float = 3600.0) -> None:
        self.now = 0.0
        self.result = Result()
        self._limiter, self._server = limiter, server
        self._todo = list(range(items - 1, -1, -1))
        self._items, self._most = items, most_seconds
        self._started: dict[int, float] = {}
        self._coming: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = itertools.count()
        self._gate_at: float | None = None
        server.attach(self, random.Random(seed))

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._coming, (self.now + seconds, next(self._count), call, args))

    def answer(self, item: int, kind: Kind, retry_after: float | None = None) -> None:
        """The server is done with an item."""
        result = self.result
        in_flight = len(self._started)
        latency = self.now - self._started.pop(item)
        self._limiter.finished(self.now, latency, in_flight, kind, retry_after)
        if kind == "ok":
            result.ok += 1
            result.done.append(self.now)
            result.finished_items.append(item)
            result.seconds = self.now
        else:
            result.rejections += kind == "overload"
            result.errors += kind == "error"
            self._todo.append(item)
        self._dispatch()

    def run(self) -> Result:
        self._dispatch()
        pop, coming = heapq.heappop, self._coming
        while self.result.ok < self._items:
            self.now, _, call, args = pop(coming)
            if self.now > self._most:
                self.result.seconds = self._most
                break
            call(*args)
        return self.result

    def _dispatch(self) -> None:
        limiter, result = self._limiter, self.result
        while self._todo and len(self._started) < limiter.limit:
            gate = limiter.gate(self.now)
            if gate > self.now:
                if self._gate_at is None or gate < self._gate_at:
                    self._gate_at = gate
                    self.after(gate - self.now, self._open)
                break
            item = self._todo.pop()
            self._started[item] = self.now
            limiter.sent(self.now)
            result.sends += 1
            result.high_water = max(result.high_water, len(self._started))
            self._server.arrive(item)
        if not result.trace or result.trace[-1][1] != limiter.limit:
            result.trace.append((self.now, limiter.limit))

    def _open(self) -> None:
        self._gate_at = None
        self._dispatch()


def simulate(limiter: Limiter, server: Server, items: int, seed: int = 0, most_seconds: float = 3600.0) -> Result:
    return Simulation(limiter, server, items, seed, most_seconds).run()


def settled(result: Result) -> tuple[int, float]:
    """Of the second half of a run: the median limit, and the share of the time in which it was more than half of that away."""
    since = result.seconds / 2
    ends = [when for when, _ in result.trace[1:]] + [result.seconds]
    spans = sorted(
        (limit, end - max(when, since)) for (when, limit), end in zip(result.trace, ends, strict=True) if end > since
    )
    total, passed, median = sum(span for _, span in spans), 0.0, 0
    for limit, span in spans:
        passed += span
        if passed >= total / 2:
            median = limit
            break
    away = sum(span for limit, span in spans if abs(limit - median) > 0.5 * median + 1)
    return median, away / total
