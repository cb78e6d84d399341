"""Servers for the simulator of the in-flight limit: small models, each with an optimum that is known beforehand.

A server is told of an arrival and calls `sim.answer(item, kind, retry_after)` when it is done with it. Latencies are seconds.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limit_simulator import Simulation

__all__ = [
    "Bucket",
    "Connections",
    "Delay",
    "Draw",
    "Flaky",
    "Handshakes",
    "Queue",
    "Server",
    "Sharing",
    "bandwidth",
    "bimodal",
    "lognormal",
    "thrash",
]

Draw = Callable[[random.Random], float]


class Server:
    """`attach` is called once, `arrive` for each item that starts."""

    def attach(self, sim: Simulation, rng: random.Random) -> None:
        self.sim, self.rng = sim, rng

    def arrive(self, item: int) -> None:
        raise NotImplementedError


def lognormal(mean: float, sigma: float = 0.5) -> Draw:
    return lambda rng: mean * math.exp(rng.gauss(-sigma * sigma / 2, sigma))


def bimodal(quick: float, slow: float, share: float) -> Draw:
    return lambda rng: slow if rng.random() < share else quick


class Delay(Server):
    """Unlimited: each takes its time, whatever else there is."""

    def __init__(self, seconds: float | Draw) -> None:
        self.draw = seconds if callable(seconds) else lambda _: seconds

    def arrive(self, item: int) -> None:
        self.sim.after(self.draw(self.rng), self.sim.answer, item, "ok")


class Flaky(Delay):
    """A share of the answers are errors, or refusals, or take `late` seconds and are given up, whatever the load."""

    def __init__(
        self, seconds: float | Draw, errors: float, *, refused: float = 0.0, given_up: float = 0.0, late: float | None = None
    ) -> None:
        super().__init__(seconds)
        self.kinds, self.weights = ("error", "overload", "timeout", "ok"), (errors, refused, given_up)
        self.late = late

    def arrive(self, item: int) -> None:
        kind = self.rng.choices(self.kinds, (*self.weights, 1 - sum(self.weights)))[0]
        seconds = self.draw(self.rng)
        self.sim.after(self.late or seconds if kind == "timeout" else seconds, self.sim.answer, item, kind)


class Queue(Server):
    """First in, first out, `servers` of them (a function of the time, where it changes); `network` seconds there and back."""

    def __init__(
        self,
        servers: int | Callable[[float], int],
        seconds: Callable[[random.Random, float], float],
        network: float = 0.0,
        changes: tuple[float, ...] = (),
    ) -> None:
        self.servers = servers if callable(servers) else lambda _: servers
        self.seconds, self.network, self.changes = seconds, network, changes
        self.busy = 0
        self.waiting: deque[int] = deque()

    def attach(self, sim: Simulation, rng: random.Random) -> None:
        super().attach(sim, rng)
        for when in self.changes:
            sim.after(when, self.work)

    def arrive(self, item: int) -> None:
        self.sim.after(self.network / 2, self.enter, item)

    def enter(self, item: int) -> None:
        self.waiting.append(item)
        self.work()

    def work(self) -> None:
        now = self.sim.now
        while self.waiting and self.busy < self.servers(now):
            self.busy += 1
            self.sim.after(self.seconds(self.rng, now), self.leave, self.waiting.popleft())

    def leave(self, item: int) -> None:
        self.busy -= 1
        self.sim.after(self.network / 2, self.sim.answer, item, "ok")
        self.work()


class Bucket(Server):
    """`rate` a second, `burst` at once, the rest 429. A refusal takes `refusal` of the latency: 1 is the worst for a client."""

    def __init__(
        self, rate: float, seconds: float, burst: float = 1.0, refusal: float = 1.0, retry_after: float | None = None
    ) -> None:
        self.rate, self.seconds, self.burst = rate, seconds, burst
        self.refusal, self.retry_after = refusal, retry_after
        self.tokens, self.then = burst, 0.0

    def arrive(self, item: int) -> None:
        now = self.sim.now
        seconds = self.seconds * self.rng.uniform(0.9, 1.1)  # without it all that was refused comes back at one instant
        self.tokens, self.then = min(self.burst, self.tokens + (now - self.then) * self.rate), now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            self.sim.after(seconds, self.sim.answer, item, "ok")
        else:
            self.sim.after(seconds * self.refusal, self.sim.answer, item, "overload", self.retry_after)


class Connections(Server):
    """At most `most` at once, the rest refused."""

    def __init__(self, most: int, seconds: float | Draw, refusal: float = 0.2) -> None:
        self.most, self.refusal = most, refusal
        self.draw = seconds if callable(seconds) else lambda _: seconds
        self.busy = 0

    def arrive(self, item: int) -> None:
        seconds = self.draw(self.rng)
        if self.busy < self.most:
            self.busy += 1
            self.sim.after(seconds, self.leave, item)
        else:
            self.sim.after(seconds * self.refusal, self.sim.answer, item, "overload")

    def leave(self, item: int) -> None:
        self.busy -= 1
        self.sim.answer(item, "ok")


class Handshakes(Server):
    """Unlimited, and connections are kept; a new one costs `seconds` before its first answer, and they are let in `one_by_one`
    or each for itself."""

    def __init__(self, cost: float, seconds: float | Draw, *, one_by_one: bool = True) -> None:
        self.cost, self.one_by_one = cost, one_by_one
        self.draw = seconds if callable(seconds) else lambda rng: seconds * rng.uniform(0.95, 1.05)
        self.idle = self.opened = 0
        self.free_at = 0.0

    def arrive(self, item: int) -> None:
        wait = 0.0
        if self.idle:
            self.idle -= 1
        else:
            self.opened += 1
            self.free_at = max(self.free_at if self.one_by_one else 0.0, self.sim.now) + self.cost
            wait = self.free_at - self.sim.now
        self.sim.after(wait + self.draw(self.rng), self.leave, item)

    def leave(self, item: int) -> None:
        self.idle += 1
        self.sim.answer(item, "ok")


class Sharing(Server):
    """All that is there is worked on at once: `speed(n)` seconds of work a second, shared evenly by n items."""

    def __init__(self, speed: Callable[[int], float], work: float | Draw) -> None:
        self.speed = speed
        self.draw = work if callable(work) else lambda rng: work * rng.uniform(0.9, 1.1)
        self.done = 0.0  # work done on each of those that are there
        self.then = 0.0
        self.there: list[tuple[float, int]] = []
        self.version = 0

    def arrive(self, item: int) -> None:
        self.advance()
        heapq.heappush(self.there, (self.done + self.draw(self.rng), item))
        self.plan()

    def advance(self) -> None:
        now, n = self.sim.now, len(self.there)
        if n:
            self.done += (now - self.then) * self.speed(n) / n
        self.then = now

    def plan(self) -> None:
        self.version += 1
        if n := len(self.there):
            left = max(0.0, self.there[0][0] - self.done)
            self.sim.after(left * n / self.speed(n), self.leave, self.version)

    def leave(self, version: int) -> None:
        if version == self.version:
            self.advance()
            _, item = heapq.heappop(self.there)
            self.plan()
            self.sim.answer(item, "ok")


def bandwidth(filled_by: int) -> Callable[[int], float]:
    """One alone gets a full share, and from `filled_by` on they share what there is."""
    return lambda n: float(min(n, filled_by))


def thrash(peak: int, contention: float = 0.02) -> Callable[[int], float]:
    """The universal scalability law (Gunther 1993): n / (1 + σ(n−1) + κn(n−1)), with κ such that its peak is at `peak`."""
    kappa = (1 - contention) / peak**2
    return lambda n: n / (1 + contention * (n - 1) + kappa * n * (n - 1))
