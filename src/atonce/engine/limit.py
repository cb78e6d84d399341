"""How many items may be in flight, found while running: up while that brings more, down while it costs nothing.

             ┌── refused: as many as were accepted ──────────────┐
             │                                                   ▼  2 to 8 windows
    START ───┴── two rounds without gain ──► DOWN (÷ 2, …) ──► HOLD ──► UP (× 1.5) ──► it paid: UP again
    grows by                                                   ▲  │ ▲    │ it did not
    what comes back        refused again and again: PACED ◄────│──┘ │    ▼
                              │                                │    └── DOWN (÷ 1.25)
                              └── half a minute without need ──┘

The numbers that argue for a constant are from the simulator in `tests/engine`; docs/limit.md has its tables.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Literal

from .kinds import Kind
from .pacer import Pacer
from .ramp import GROWTH, TAU, USED, Ramp
from .refusals import TWICE, Refusals
from .window import Held, Window

__all__ = ["AdaptiveLimit", "Pressure"]

Pressure = Literal["none", "hold", "cut", "stop"]

UP, DOWN, HALF = 1.5, 1 / 1.25, 0.5
# Successes that a window needs.
WINDOW = 24
# While nothing has come back at all, up to `SILENT` times `start` go out, `start` more each `SILENCE` seconds: a fixed pool
# would send them at once. 200 items of 1 s take 2.0 times the oracle's time instead of 3.0. It costs a server that thrashes
# (1.45 instead of 1.1), and with 8 times it would cost that one 2.7.
SILENT, SILENCE = 4, 0.1
# Little's law gives the knee, throughput × latency without queueing; the exit from START and the cap leave room above it.
EXIT_GAIN, CAP_GAIN = 1.5, 3.0
CUT = 0.7
# Fewer than this, or than it began with, only where something is refused: what is below costs nothing measurable and hides
# what more would bring.
FLOOR = 4
# Windows between two probes: the fewest after something changed, the most after probes that failed (8: a server that grows is
# found 8 latencies later, in the mean).
SHORTEST_HOLD, LONGEST_HOLD = 2, 4
# The most after probes that were refused: those cost the server something.
REFUSED_HOLD = 8
# A probe that has paid so much of what it can pay, and a standard error more, is judged at once.
CLEARLY = 0.5
# Means of latencies that are kept: of 40, the least was so old that a server whose items had become dearer was never probed
# again (8.3 times the oracle's time, now 2.2).
BASES = 10
# Probes that keep failing are judged by up to so many times the successes: else a limit that is right wanders by noise
# (20 servers: outside ±50 % of its median for 30 % of the time, now 15 %).
MOST_CARE = 4
# A change of throughput (as a logarithm) at the same limit after which the server is another one: it is probed at once.
SURPRISE = 0.3
# Refusals within so many seconds, or half a latency, are one round.
SOON = 0.01
# Sums of floats are not exact: an item that started this much before a window counts as started in it.
TICK = 1e-6


class AdaptiveLimit:
    """At most `limit` items in flight, none before `gate(now)`. Pure: time is passed in.

    It climbs U(C) = ln X(C) − τ ln C, with C the limit and X the successes a second: it pays for more in flight only what they
    bring. Errors lower X and nothing else, so those that come with load lower the limit and those that come by chance do
    not. For a closed loop that wants N items done soon; not for a service that has latencies to keep.

    `start` is how many begin at once, `ceiling` how many there may ever be. `why` says in a line why the limit is what it is.
    """

    def __init__(self, start: int = 32, ceiling: int = 1000, *, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random(0)
        self._ceiling = max(1, ceiling)
        self.start = max(1, min(start, self._ceiling))
        self._floor = min(FLOOR, self.start)
        self._state = "START"
        self._c = float(min(SILENT * self.start, self._ceiling))
        self._settle()
        self._reason = f"{self.start} to begin with, more while nothing comes back"
        self._pressure: Pressure = "none"
        self._pressing = ""  # why
        self._cut_for_pressure_at = -math.inf
        self._before_cut = 0.0  # the limit, before it was cut for that
        # what was sent
        self._sent = 0
        self._first_sent = 0.0
        self._heard = False
        self._stopped_until = -math.inf
        self._pacer: Pacer | None = None
        # windows
        self._window: Window | None = None
        self._mark = -math.inf  # what started before says nothing about this limit
        self._bases: deque[float] = deque(maxlen=BASES)  # mean latencies, with their noise
        self._rates: deque[float] = deque(maxlen=10)
        self._latency = 0.0
        self._ramp = Ramp(self.start, self.limit)
        # HOLD, UP, DOWN
        self._held = Held()
        self._hold = SHORTEST_HOLD
        self._care = 1  # how many times the successes a probe is judged by
        self._step = UP
        self._paid = 0  # probes in a row that did
        self._windows = 0
        self._goal = 1.0  # the limit to be measured
        self._from = 1.0  # the limit before that
        self._halving = False
        # refusals
        self._cut_at = -math.inf
        self._refusals = Refusals()

    def __repr__(self) -> str:
        return f"<AdaptiveLimit {self._state} {self.why}>"

    @property
    def why(self) -> str:
        """One line: `24: 36 in flight brought 2 % more`."""
        return f"{self.limit}: {self._pressing or self._reason}"

    @property
    def proven(self) -> int | None:
        """The limit, less what a probe adds, where enough has come back under it to be believed another time; None where a rate
        is what holds back."""
        if self._pacer is not None or self._refusals.accepted < WINDOW:
            return None
        return int(self._from) if self._state in ("UP", "DOWN") else self.limit

    # ── asked and told ───────────────────────────────────────────────────────────────────────────────────────────────

    def gate(self, now: float) -> float:
        """The earliest time at which the next item may start; never before `now`."""
        gate = max(now, self._stopped_until)
        if self._pacer is not None:
            return max(gate, self._pacer.gate(now))
        if not self._heard and self._sent >= self.start:
            return max(gate, self._first_sent + SILENCE * (self._sent - self.start + 1) / self.start)
        return gate

    def sent(self, now: float) -> None:
        """An item started."""
        if not self._sent:
            self._first_sent = now
        self._sent += 1
        self.offer(now)
        if self._pacer is not None:
            self._pacer.sent(now)

    def offer(self, now: float) -> None:
        """What came back together has been told: from now on items start under this limit. `sent` says so, too."""
        if self._state == "START":
            self._ramp.offer(now, self.limit)

    def finished(self, now: float, latency: float, in_flight: int, kind: Kind, retry_after: float | None = None) -> None:
        """An item ended: "ok", "overload" (the server says that it is too much), "timeout" (an overload if latency had
        doubled, else an error) or "error". `in_flight` counts it; `latency` and `retry_after` are seconds."""
        if not self._heard:
            self._heard = True
            self._c = float(min(max(self.start, in_flight), self._ceiling))
            self._ramp.begin(in_flight, self._c)
            self._window = Window(self._first_sent)
            self._settle()
            self._reason = "it begins"
        slow = bool(self._bases) and latency > TWICE * min(self._bases)
        kind = self._refusals.weigh(kind, slow=slow, asked=retry_after is not None)
        if kind == "ok":
            self._ok(now, latency, in_flight)
        elif kind == "overload":
            self._overload(now, latency, in_flight, retry_after)
        elif kind == "timeout":
            self._late(now, latency)
        else:  # it failed for a reason of its own: whatever counts requests has let it through
            self._refusals.accepted += 1
            if self._pacer is not None:
                self._paced(self._pacer, now, latency)

    def took_effect(self, when: float) -> None:
        """A lower limit, or a slower pace, holds from `when` on only: what starts before is no news, if it is refused."""
        self._cut_at = max(self._cut_at, when)
        if self._pacer is not None:
            self._pacer.took_effect(when)

    def press(self, now: float, pressure: Pressure, reason: str = "") -> None:
        """What this machine has to say, at most about once a second: "hold" lets nothing grow, "cut" takes a third off,
        "stop" starts nothing until the next word. "none" takes it back."""
        self._pressure, self._pressing = pressure, reason
        if pressure == "none":
            before, self._before_cut = self._before_cut, 0.0
            if before > self._c and self._state == "HOLD":
                self._enter("HOLD", now, before)  # it was right before: back to it, with what comes back
        elif pressure == "cut" and now - self._cut_for_pressure_at >= 1.0 - TICK:
            self._cut_for_pressure_at = now
            self._before_cut = max(self._before_cut, self._c)
            self._c *= CUT
            self._enter("PACED" if self._pacer else "HOLD", now)
        elif pressure == "stop":
            self._stopped_until = max(self._stopped_until, now + 1.0)

    # ── successes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ok(self, now: float, latency: float, in_flight: int) -> None:
        self._latency += (latency - self._latency) / 16 if self._latency else latency
        self._refusals.accepted += 1
        if self._pacer is not None:
            self._paced(self._pacer, now, latency)
            return
        started = now - latency + TICK
        self._grow(latency, in_flight, started)
        window = self._window
        if window is None:
            if started >= self._mark:
                self._window = Window(now)
            return
        window.add(latency, in_flight, fresh=started >= window.since)
        if self._state == "START":
            if self._ramp.is_round(window, self._c):
                self._round(window, now)
        else:
            enough = max(WINDOW, self._c)
            if window.n < enough or now - window.since < 0.95 * window.mean:
                return
            care = 1 if self._state == "HOLD" else self._care
            if window.n >= care * enough or (self._state == "UP" and self._has_clearly_paid(window, now)):
                self._judge(window, now)

    def _grow(self, latency: float, in_flight: int, started: float) -> None:
        """What came back makes room for more: 40 more in one instant are refused by a server that would take them in their
        turn (200/s of 1.5 s: 2.0 times the oracle's time, now 1.2), and one too many is one refusal, not eight."""
        if self._pressure != "none":
            return
        if self._state == "START":
            self._c = self._ramp.grown(self._c, latency, in_flight, started)
            self._settle()
        elif self._c < self._goal:
            self._c = min(self._c + UP - 1, self._goal)
            self._settle()

    def _round(self, window: Window, now: float) -> None:
        """START: a latency has passed. It goes on while a round brings more than the one before."""
        self._bases.append(window.fresh_mean * (1 + window.noise))
        self._window = Window(now)
        ramp = self._ramp
        if not ramp.usual:
            after = ramp.first(window, self._c)
            if self._pressure == "none":
                self._c = after
                self._settle()
            return
        rate = window.rate(now)
        self._rates.append(rate)
        ramp.round(window, now, self._c)
        if ramp.grows:
            self._reason = f"growing, {rate:.3g} a second"
        if ramp.over:
            knee = EXIT_GAIN * max(self._rates) * min(self._bases)
            self._c = max(min(max(ramp.best[1], self._c * HALF), knee), min(self._floor, self._c))
            # the knee may be far below, where START had no look: halved while that costs nothing
            self._halving = True
            self._reason = f"{window.in_flight:.0f} in flight brought no more"
            self._enter("HOLD", now)
        elif self._c >= self._ceiling:
            self._reason = "the most there may be"
            self._enter("HOLD", now)

    def _judge(self, window: Window, now: float) -> None:
        """HOLD, UP or DOWN: a window at this limit is complete."""
        self._window = Window(now)
        if window.in_flight < USED * self.limit:
            return  # the source is what is slow, not the limit
        rate, held = window.rate(now), self._held
        self._bases.append(window.mean * (1 + window.noise))
        self._rates.append(rate)
        ratio, error = held.compare(window, now)
        if self._state == "HOLD":
            self._windows += 1
            if held.rate and ratio > SURPRISE + error:
                self._windows, self._hold, self._care, self._step = self._hold, SHORTEST_HOLD, 1, UP
                held.forget()
            held.add(rate, window.n)
            if self._halving:
                self._probe("DOWN", now)
            elif self._windows >= self._hold and self._c < self._ceiling and self._pressure == "none":
                self._probe("UP", now)
            return
        step = math.log(self._goal / self._from)
        if self._state == "UP":
            self._judge_up(ratio, step, error, rate, window.n, now)
        elif ratio > 0.25 * step:
            self._reason = f"as much as with {self._from:.0f}"
            held.set(rate, window.n)
            if self._halving and self._c > 1:
                self._probe("DOWN", now)
            else:
                self._enter("HOLD", now)
        else:
            self._halving = False
            self._enter("HOLD", now, self._from)

    def _has_clearly_paid(self, window: Window, now: float) -> bool:
        ratio, error = self._held.compare(window, now)
        return ratio > CLEARLY * math.log(self._goal / self._from) + error

    def _judge_up(self, ratio: float, step: float, error: float, rate: float, n: int, now: float) -> None:
        percent = 100 * math.expm1(ratio)
        if ratio > TAU * step + min(error, 0.75 * step):
            self._reason = f"{percent:.0f} % more came of more in flight"
            self._held.set(rate, n)
            self._hold = SHORTEST_HOLD
            # where nearly all of it paid, twice running, it is far from enough: twice as much next, then three times
            self._paid = self._paid + 1 if ratio > 0.75 * step else 0
            self._step = min(self._step * UP, GROWTH) if self._paid >= 2 else UP
            if self._c < self._ceiling and self._pressure == "none":
                self._probe("UP", now)
            else:
                self._enter("HOLD", now)
        else:
            change = f"{percent:.0f} % more" if percent >= 1 else f"{-percent:.0f} % less" if percent <= -1 else "no more"
            self._reason = f"{self._c:.0f} in flight brought {change}"
            self._hold, self._care = max(self._hold, min(2 * self._hold, LONGEST_HOLD)), min(2 * self._care, MOST_CARE)
            self._paid, self._step = 0, min(self._step, UP)
            self._c = self._from
            self._probe("DOWN", now)

    def _probe(self, state: Literal["UP", "DOWN"], now: float) -> None:
        self._from = self._c
        if state == "UP":
            knee = max(self._rates) * min(self._bases)
            goal = min(max(self._c * self._step, self.limit + 1.0), max(CAP_GAIN * knee + 1, self._c))
        else:
            goal = min(self._c * (HALF if self._halving else DOWN), self.limit - 1.0)
            goal = max(goal, min(float(self._floor), self._c))
        if max(1.0, goal) == self._c:
            self._halving = False
            self._enter("HOLD", now)  # nothing to probe: it is one, or the cap
        else:
            self._enter(state, now, goal)

    # ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _overload(self, now: float, latency: float, in_flight: int, retry_after: float | None) -> None:
        self._refused(now, latency, in_flight)
        if retry_after is not None and 0 < retry_after < math.inf:
            # up to 10 % more, so that those told the same do not come back together
            until = now + retry_after * (1 + 0.1 * self._rng.random())
            pause = until - max(now, self._stopped_until)
            if pause > 0:
                self._stopped_until = until
                self._refusals.paused(pause)
                if self._pacer is not None:
                    self._pacer.paused(pause, until)

    def _refused(self, now: float, latency: float, in_flight: int) -> None:
        draining = now < self._stopped_until
        if self._pacer is not None:
            if self._pacer.refused(now, latency, rare=self._refusals.rare):
                self._pace(self._pacer)
            if self._pacer.helpless:
                self._refusals.come_by_chance()
                self._unpace(now, "some are refused, however few there are")
                if not self._ramp.over:  # it was they that ended it
                    self._state, self._window = "START", Window(now)
            return
        # not one of those that were on their way when it was cut, nor the next of a burst that is refused one by one
        news = now - latency >= self._cut_at and now - self._cut_at >= max(SOON, 0.5 * self._latency)
        probing = self._state == "UP" and (self._window is None or self._window.n < self._c)
        # while nothing starts, the in flight fall by what comes back, too: then it is one fewer a refusal
        accepted = int(self._c) - 1 if draining else in_flight - 1
        if self._state == "UP":
            accepted = max(accepted, int(self._from))
        if accepted >= 0.5 * self._c:
            self._c = min(self._c, float(accepted))  # a limit on connections: exact, one refusal at a time
        elif news:
            self._c *= CUT
        if news:
            self._cut_at = now
            if self._state != "START":
                self._hold = min(2 * self._hold, REFUSED_HOLD)
            if probing:
                # It was asked for, and at once: too many connections, which is no sign against the limit that held. One that
                # comes after as many have been fine is a rate's.
                self._step = 1 + (self._step - 1) / 2
            elif self._refusals.are_a_rate(now, self._c, self._latency):
                self._pacer = Pacer(self._refusals.rate(now), now, self._latency or latency)
                self._pace(self._pacer)
                return
        self._reason = f"refused with {in_flight} in flight"
        self._settle()
        self._enter("HOLD", now)

    def _late(self, now: float, latency: float) -> None:
        """A good part of what comes back had to be given up: it takes too long with so many."""
        if self._pacer is None and now - latency >= self._cut_at:
            self._cut_at = now
            self._c *= CUT
            self._reason = "many take too long"
            self._enter("HOLD", now)

    def _paced(self, pacer: Pacer, now: float, latency: float) -> None:
        before = pacer.rate
        if self._pressure == "none":
            pacer.accepted(now, latency)
        if pacer.idle(now):
            self._refusals.forget()
            self._unpace(now, "nothing is refused any more")
        elif pacer.rate != before:
            self._pace(pacer)

    def _pace(self, pacer: Pacer) -> None:
        """The limit is a bound for safety only: what holds back is the gate."""
        self._state = "PACED"
        self._c = 2 * pacer.rate * self._latency + 2
        self._settle()
        self._reason = f"{pacer.rate:.3g} starts a second, more is refused"

    def _unpace(self, now: float, reason: str) -> None:
        self._pacer = None
        self._reason = reason
        self._enter("HOLD", now)

    # ── the limit ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _enter(self, state: str, now: float, goal: float | None = None) -> None:
        """The next thing to measure: with `goal` in flight, or with as many as now. Down at once, up with what comes back."""
        self._state = state
        self._mark = now
        self._window = None
        self._windows = 0
        if state == "HOLD":
            self._held.forget()
        self._goal = min(max(1.0, self._c if goal is None else goal), float(self._ceiling))
        self._c = min(self._c, self._goal)
        self._settle()

    def _settle(self) -> None:
        self._c = min(max(1.0, self._c), float(self._ceiling))
        self.limit = int(self._c)
