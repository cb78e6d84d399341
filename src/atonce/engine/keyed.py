"""What has been read and not been given to a worker, a queue for each key: whose turn it is, and what each of them may."""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import chain, count, islice, repeat
from operator import itemgetter
from typing import Any, Literal

from ..errors import Unreachable
from ..options import Connecting, Learned, Spaced
from .ahead import Ahead
from .backlog import Backlog, Queued
from .circuit import Circuit, Refusing
from .finished import Batch, Finished
from .kinds import Kind, kind_of
from .lane import Lane
from .limit import AdaptiveLimit

__all__ = ["KeyedBacklog"]

# In flight of one key to begin with, and at most: a browser opens six connections to a host, and nobody complains.
START, MOST = 4, 1000
# Keys without items that are kept for what was learned of them, some 3 kB each; and those among them that have been promised
# to be left alone for a while.
MOST_IDLE, MOST_PROMISED = 1000, 10_000
# How many of them are looked at, to find one that may be forgotten.
LOOKED_AT = 8


class KeyedBacklog(Backlog):
    """A queue for each key, taken from in turn; a key gives nothing while it is parked or has as many in flight as it may.

    `per_key`: that number; None, no limit; else what finds it for each key: an `AdaptiveLimit` (docs/limit.md), which begins
    with `start`, or with what a `Learned` remembers. A `key` that is a `Spaced` (`atonce.options`) says how far apart the
    starts of a key are, one that is a `Connecting` which items have opened a connection. Keys that cannot give anything leave
    the turn until something changes for them, so that a thousand hosts that are parked cost nothing.
    """

    def __init__(
        self,
        key: Callable[[Any], Any],
        per_key: int | Literal["auto"] | Learned | None,
        *,
        max_wait: float = math.inf,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__()
        self._key = key
        self._spacing = key.spacing if isinstance(key, Spaced) else None
        self._opened = key.opened if isinstance(key, Connecting) else None
        self._asked = per_key if isinstance(per_key, int) else math.inf
        self._most: float = self._asked
        self._adapts = not isinstance(per_key, int) and per_key is not None
        self._memory = per_key if isinstance(per_key, Learned) else None
        self._begin = START
        self._max_wait = max_wait
        self._rng = rng or random.Random(0)
        self._lanes: dict[Any, Lane] = {}
        self._idle: dict[Any, None] = {}  # keys without items whose limit is worth keeping, the oldest first
        self._turn: deque[Lane] = deque()  # keys that may have something to give, in turn
        self._of: dict[int, Lane] = {}  # index → key, from reading to the outcome: the function is called once an item
        self._started: set[int] = set()
        self._waits: list[tuple[float, int, Lane]] = []  # a heap; what is not its lane's `wakes_at` has been superseded
        self.gave_up: set[Lane] = set()
        self._numbers = count()
        self._size = 0
        self._ahead = Ahead()
        self._troubled = False  # whether there may be a circuit, or a key that refuses: then all is heard
        self._now = -math.inf  # when something was last given out, or came back

    def __len__(self) -> int:
        return self._size

    @property
    def why(self) -> str:
        told = (lane for lane in self._lanes.values() if lane.limit or lane.spacing)
        lane = max(told, key=lambda lane: (lane.items, lane.total), default=None)
        return "" if lane is None else lane.in_words

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def extend(self, first: int, items: Sequence[Any], now: float) -> list[tuple[int, Any, BaseException]]:
        failed: list[tuple[int, Any, BaseException]] = []
        several: list[tuple[int, Any, float]] = []  # items one after another that have the same key
        last: Lane | None = None
        for index, item in enumerate(items, first):
            try:
                key = self._key(item)
                lane = self._lanes.get(key)  # hashes it
            except Exception as error:  # the user's key function: this item's fault
                failed.append((index, item, error))
                continue
            if lane is None or lane is not last:
                self._append(last, several)
                last = lane = lane or self._lanes.setdefault(key, self._new_lane(key))
                several = []
            several.append((index, item, now))
        self._append(last, several)
        self._size += len(items) - len(failed)
        return failed

    def _append(self, lane: Lane | None, several: list[Queued]) -> None:
        if lane is not None:
            if not lane.items:
                self._idle.pop(lane.key, None)
            lane.items += len(several)
            lane.total += len(several)
            lane.queue.extend(several)
            self._of.update(zip(map(itemgetter(0), several), repeat(lane)))
            self._back_in_turn(lane)

    def first(self, queued: Queued) -> None:
        lane = self._of[queued[0]]
        lane.queue.appendleft(queued)
        self._size += 1
        self._back_in_turn(lane)

    def take(self, count: int, now: float) -> list[Queued]:
        self._now = now
        taken: list[Queued] = []
        turn = self._turn
        while len(taken) < count and turn:
            lane = turn.popleft()
            if not lane.queue or (at := lane.starts_at(now, self._most)) > now:
                lane.in_turn = False
                if lane.queue:
                    self._wake(lane, at)
                continue
            if turn or not lane.is_free(now):
                queued = lane.queue.popleft()
                taken.append(queued)
                self._start(lane, queued[0], now)
            else:  # it is the only one, and nothing but a number holds it
                room = min(count - len(taken), len(lane.queue), self._most - lane.in_flight)
                several = [lane.queue.popleft() for _ in range(int(room))]
                taken += several
                lane.in_flight += len(several)
                lane.started_at = now
                self._started.update(map(itemgetter(0), several))
            if lane.queue:
                turn.append(lane)
            else:
                lane.in_turn = False
        self._size -= len(taken)
        self._ahead.started(len(taken))
        return taken

    def looks_on(self, now: float, most: float) -> bool:
        return self._ahead.more(self._size, now, most)

    @property
    def look_at(self) -> float:  # type: ignore[override]
        return self._ahead.look_at

    def slots(self, total: int) -> bool:
        # a key cannot have more in flight than there are slots: then nothing is counted, and items may wait at the worker
        before, self._most = self._most, self._asked if self._asked < total else math.inf
        if self._most > before:
            for lane in self._lanes.values():
                self._back_in_turn(lane)
        return self._adapts or self._most != math.inf or self._spacing is not None

    def start(self, indices: Sequence[int], now: float) -> bool:
        lanes = Counter(self._of[index] for index in indices)
        at = max(lane.starts_at(now, self._most + 1 - number) for lane, number in lanes.items())
        if at > now:
            for lane in lanes:
                self._wake(lane, at)
            return False
        for index in indices:
            self._start(self._of[index], index, now)
        return True

    def done(self, indices: Iterable[int]) -> None:
        mine = [index for index in indices if index in self._started]
        self._started.difference_update(mine)
        if self._adapts:
            for index in mine:
                self._of[index].left(index)
                self._back_in_turn(self._of[index])
            return
        for lane, number in Counter(map(self._of.__getitem__, mine)).items():
            lane.in_flight -= number
            self._back_in_turn(lane)

    def forget(self, outcomes: Batch) -> None:
        indices = outcomes.indices if isinstance(outcomes, Finished) else [outcome.index for outcome in outcomes]
        for lane, number in Counter(map(self._of.pop, indices, repeat(None))).items():
            if lane is not None:
                lane.items -= number
                if not lane.items:
                    self._retire(lane)

    def adapt(self, start: int, now: float) -> None:
        if self._adapts or self._asked != math.inf:
            return
        self._adapts, self._begin = True, start
        for lane in self._lanes.values():
            lane.steer(limit := self._limit_of(lane.key))
            for _ in range(lane.in_flight):
                limit.sent(now)
            self._back_in_turn(lane)

    # ── how many of a key, and when ──────────────────────────────────────────────────────────────────────────────────

    def told(self, report: Any, worker: int, now: float) -> None:
        self._now = now
        if self._spacing is not None:
            self._space(report, self._spacing)
        if not (self._adapts or self._troubled or report.failures):
            return
        ends: list[tuple[float, float, int, BaseException | None, Any]]
        ends = list(zip(report.ended, report.started, report.indices, repeat(None), report.values, strict=False))
        ends += [(failure.ended, failure.started, failure.index, failure.error, None) for failure in report.failures]
        if len(ends) > 1:
            ends.sort(key=itemgetter(0))
        # room is made when all of a report has been heard: what came back beside an item was in flight with it. What was
        # refused was not taken, so it is not.
        inside: dict[Lane, int] = {}
        for ended, started, index, error, value in ends:
            lane = self._of.get(index)
            if lane is not None and index in self._started:
                in_flight = inside.setdefault(lane, lane.in_flight)
                self._hear(lane, index, ended, started, in_flight, error, value, now)
                if error is None:
                    lane.served_by = worker
                inside[lane] -= error is not None

    def _space(self, report: Any, spacing: Callable[[Any], float | None]) -> None:
        """What came back may tell how far apart the starts of its key are to be."""
        came = chain(
            zip(report.indices, report.values, strict=True), ((failure.index, failure.error) for failure in report.failures)
        )
        for index, what in came:
            lane, seconds = self._of.get(index), spacing(what)
            if lane is None or seconds is None or seconds == lane.spacing:
                continue
            lane.spacing = seconds
            if seconds:
                self.moved.append((lane.key, 1, f"1: {lane.why}"))

    def _hear(
        self,
        lane: Lane,
        index: int,
        ended: float,
        started: float,
        in_flight: int,
        error: BaseException | None,
        value: Any,
        now: float,
    ) -> None:
        kind: Kind
        kind, after = ("ok", None) if error is None else kind_of(error)
        # refused while many are in flight: they are too many, and nobody has gone
        crowd = kind == "overload" and lane.limit is not None and in_flight > START
        # nothing that began since was answered
        gone = getattr(error, "unreachable", False) and not crowd and started > lane.answered_at
        if lane.limit is not None:
            before = lane.limit.limit
            after = after and min(after, self._max_wait)
            if gone and getattr(error, "silent", False):
                kind = "error"  # nobody is there: the circuit's affair, and not one of how many
            opened = None
            if kind == "ok" and self._opened is not None and (opened := self._opened(value)):
                lane.opened_at = max(lane.opened_at, started)
            lane.heard(index, ended, max(0.0, ended - started), max(1, in_flight), kind, after, opened)
            if getattr(error, "unserved", False) and lane.is_unserved(started, ended):
                lane.passed_over(index)
                self.has_homes = True
            if lane.limit.limit < before:
                lane.limit.took_effect(now)  # until now as many were started as before
            if lane.limit.limit != before:
                self.moved.append((lane.key, lane.limit.limit, lane.why))
        if not getattr(error, "unreachable", False):
            lane.answered_at = max(lane.answered_at, ended)
            if lane.circuit is not None:
                if lane.circuit.open and lane.limit is not None:
                    lane.steer(self._limit_of(lane.key))  # what was found out while it was down says nothing
                lane.circuit = lane.last = None
            if kind != "overload":
                lane.refusing = None
            else:
                lane.refusing, self._troubled = lane.refusing or Refusing(), True
                if lane.refusing.refused(ended):
                    self._trouble(lane, Circuit.giving_up(lane.refusing.times, now), error)
        elif gone:
            circuit = lane.circuit or Circuit()
            circuit.failed(started, now)
            self._trouble(lane, circuit, error)

    def _trouble(self, lane: Lane, circuit: Circuit, error: BaseException | None) -> None:
        lane.circuit, lane.last, self._troubled = circuit, error, True
        if circuit.given_up:
            self.gave_up.add(lane)
            self.has_news = True

    def is_hopeless(self, index: int, now: float) -> bool:
        lane = self._of[index]
        return lane in self.gave_up and now < lane.silent

    def home(self, index: int) -> int | None:
        return self._of[index].home

    def has_answered(self, index: int) -> bool:
        return self._of[index].answered_at > -math.inf

    def hopeless(self, now: float) -> list[tuple[Queued, BaseException]]:
        lost: list[tuple[Queued, BaseException]] = []
        for lane in self.gave_up:
            circuit = lane.circuit
            if circuit is not None and now < lane.silent:  # else it lives, or the next one is a probe
                lost += [(queued, Unreachable.because(lane.key, circuit.in_a_row, lane.last)) for queued in lane.queue]
                lane.queue.clear()
        self.gave_up.clear()
        self.has_news = False
        self._size -= len(lost)
        return lost

    def unpark(self, now: float) -> None:
        while self.parked_until <= now:
            lane = heappop(self._waits)[2]
            lane.wakes_at = -math.inf
            self._back_in_turn(lane)

    def park(self, index: int, until: float, now: float) -> None:
        lane = self._of[index]
        if until > max(lane.parked, now):
            self.moved.append((lane.key, 0, f"0: asked to wait for {until - now:.3g} s"))
        lane.parked = max(until, lane.parked)
        if lane.parked > lane.wakes_at:
            self._wake(lane, lane.parked)

    def parked(self, now: float) -> list[tuple[Any, float, int, bool, BaseException | None]]:
        waits = []
        for lane in list(self._lanes.values()):
            silent = lane.silent
            if max(silent, lane.parked) > now:
                waits.append((lane.key, max(silent, lane.parked), len(lane.queue), lane.parked >= silent, lane.last))
        return waits

    @property
    def unheard(self) -> int:
        lanes = list(self._lanes.values())
        return sum(1 for lane in lanes if lane.in_flight and lane.circuit is None and lane.answered_at == -math.inf)

    @property
    def parked_until(self) -> float:  # type: ignore[override]
        waits = self._waits
        while waits and waits[0][0] != waits[0][2].wakes_at:
            heappop(waits)
        return waits[0][0] if waits else math.inf

    def learned(self) -> None:
        for lane in self._lanes.values():
            self._remember(lane)

    def _start(self, lane: Lane, index: int, now: float) -> None:
        lane.started(index, now)
        self._started.add(index)

    def _back_in_turn(self, lane: Lane) -> None:
        """Something has changed for it: it is looked at again."""
        if lane.circuit is not None and lane.circuit.given_up:
            self.gave_up.add(lane)
        if lane.queue and not lane.in_turn:
            lane.in_turn = True
            self._turn.append(lane)

    def _wake(self, lane: Lane, at: float) -> None:
        if at != lane.wakes_at and at < math.inf:
            lane.wakes_at = at
            heappush(self._waits, (at, next(self._numbers), lane))

    def _new_lane(self, key: Any) -> Lane:
        return Lane(key, self._limit_of(key) if self._adapts else None, 0.0 if self._spacing is None else None)

    def _limit_of(self, key: Any) -> AdaptiveLimit:
        start = self._memory.start(key) if self._memory is not None else None
        return AdaptiveLimit(start or self._begin, MOST, rng=self._rng)

    def _retire(self, lane: Lane) -> None:
        """It has no items any more: what was learned of it is kept for a while, since a list may come back to it."""
        if lane.limit is None and lane.circuit is None and lane.parked == -math.inf and self._spacing is None:
            del self._lanes[lane.key]
            return
        self._idle[lane.key] = None
        if len(self._idle) <= MOST_IDLE:
            return
        for key in list(islice(self._idle, LOOKED_AT)):
            if self._lanes[key].promised <= self._now or len(self._idle) > MOST_PROMISED:
                del self._idle[key]
                self._remember(self._lanes.pop(key))
                return
            self._idle[key] = self._idle.pop(key)  # it is asked again later

    def _remember(self, lane: Lane) -> None:
        if self._memory is not None and lane.limit is not None and lane.limit.proven is not None:
            self._memory.learned(lane.key, lane.limit.proven)
