"""The engine: events in, commands out. No thread, no clock, no socket; time is passed in.

    source ──read──► queue ──Feed──► seats (one a worker) ──Done──► order ──Emit──► outcomes
                       ▲                │ Lost: who ran it?
                       ├── requeued ◄───┤   neighbours: nobody's fault
                       ├── suspects ◄───┤   one at a time, alone, in a fresh worker
                       └── retries  ◄───┘   failures, after a pause

An item is in exactly one of these places: the queue, a seat's `assigned`, the suspects, the retries, or emitted. Every
report is checked against `assigned`, so a result that comes twice, or too late, is dropped: that is what makes it exactly
one outcome an item, whatever the workers do.

The hot path is `read` and `done`: both work on whole batches with C-level iterators. All else is rare.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
import sys
from asyncio import CancelledError
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import Any, Literal

from ..errors import WorkerDied, shown
from ..options import Learned, Rate, Retry
from ..outcome import Outcome
from ..worker.job import CARRYING
from ..worker.outbox import Failure
from . import complaints
from .backlog import Backlog, Queued
from .bucket import TokenBucket
from .events import (
    Abandon,
    Broken,
    Cancel,
    Command,
    Done,
    Emit,
    Ended,
    Event,
    Feed,
    Keep,
    Kill,
    Lost,
    Ready,
    Release,
    Resize,
    Spawn,
    Stop,
    Succeed,
    Uncarried,
    Unreadable,
    Weighed,
    Withdraw,
)
from .finished import Batch, Finished
from .held import first_of_each
from .history import Again
from .keyed import KeyedBacklog
from .limit import SILENCE, Pressure
from .order import AsFinished, InOrder
from .retry import Backoff, pause_asked
from .seat import FINEST, Seat
from .steering import LONG, Steering

__all__ = ["Machine", "Policy", "Seat"]

# Bytes of items before the workers, and of outcomes held back for their order, at most (estimated from samples).
MOST_BYTES = 64 << 20
# Threads left behind before the run stops: each keeps its stack, its resource and its item.
MOST_LEFT = 32
# Workers in a row that may die before they were ready.
MOST_FALSE_STARTS = 3
# Seconds after which the near side acts where the runner should have ended a late item and did not (a blocked loop).
BACKSTOP = 2.5


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What the machine is to hold, out of the options. `total` is the number of items when it is known, `most_ahead`
    how many a slot may have before it at most: 0 keeps an item back until it can start at once. With `keep` an outcome is
    emitted when it has been recorded. `max_tasks` items, or more than `max_memory` bytes, and a worker is replaced."""

    ordered: bool = False
    retry: Retry | None = None
    timeout: float | None = None
    rate: Rate | None = None
    key: Any = None
    per_key: int | Literal["auto"] | Learned | None = None
    total: int | None = None
    most_ahead: float = math.inf
    keep: bool = False
    max_tasks: int | None = None
    max_memory: int | None = None


class Machine:
    """The state of one run."""

    def __init__(self, policy: Policy, rng: random.Random | None = None) -> None:
        self.policy = policy
        self.seats: dict[int, Seat] = {}
        self.order = InOrder() if policy.ordered else AsFinished()
        self.source_ended = False
        self.read_count = 0
        self.emitted = 0
        self.failed = 0
        self.resumed = 0
        self.attempts = 0
        self.cpu = 0.0
        self.workers_lost = 0
        self.threads_left = 0
        # an item given is an item started: nothing may wait at a worker
        self._unhurried = policy.rate is not None or policy.most_ahead == 0
        self.limited = self._unhurried
        self._straight = policy.rate is None and policy.key is None
        self._rng = rng = rng or random.Random()
        self._max_wait = (policy.retry or Retry()).max_wait
        self._queue: Backlog = Backlog()
        if policy.key is not None:
            self._queue = KeyedBacklog(policy.key, policy.per_key, max_wait=self._max_wait, rng=rng)
        self._suspects: deque[list[Queued]] = deque()
        self._retries: list[tuple[float, int, Queued]] = []
        self._put_off: list[Again] = []  # since `put_off` was asked last
        self._tries: dict[int, int] = {}
        self._struck: set[int] = set()
        self._cut_short: dict[int, int] = {}  # how many of an item's tries a death ended: those are not `retry`'s to count
        self._backoff = Backoff(policy.retry, rng) if policy.retry is not None else None
        self._bucket = TokenBucket(policy.rate) if policy.rate is not None else None
        self.steering: Steering | None = None
        self._fed_at = math.inf  # while nothing has come back
        self._steer_at = math.inf
        self._told = -1  # the limit that `moves` has given last
        self._false_starts = 0
        self._spent: list[int] = []  # have had their `max_tasks`, and no successor is on its way yet
        self._grown: dict[int, None] = {}  # over `max_memory`, and wait for their turn to be replaced: an ordered set
        self._check_at = math.inf
        self._rate_at = math.inf
        self._item_bytes = 0.0
        self._value_bytes = 0.0

    def __repr__(self) -> str:
        seats = ", ".join(f"{wid}: {len(seat.assigned)}/{seat.slots}" for wid, seat in self.seats.items())
        return (
            f"<Machine read {self.read_count}{' (all)' if self.source_ended else ''}, emitted {self.emitted}, "
            f"queued {len(self._queue)}, retrying {len(self._retries)}, suspects {len(self._suspects)}, "
            f"held {self.order.held}, workers {{{seats}}}>"
        )

    # ── workers come and go at the conductor's word ──────────────────────────────────────────────────────────────────

    def add(self, worker: int, seat: Seat, instead_of: int | None = None) -> None:
        """A worker is starting; one that is `instead_of` another gets nothing before that one is through."""
        seat.left = self.policy.max_tasks
        old = self.seats.get(instead_of) if instead_of is not None else None
        seat.before = None if old is None or old.through else instead_of
        self.seats[worker] = seat
        self._count_slots()

    def _count_slots(self) -> None:
        slots = sum(seat.slots for seat in self.seats.values() if seat.before is None and not seat.through)
        steered = self.steering is not None and self.steering.awake
        self.limited = self._queue.slots(slots) or self._unhurried or steered

    def steer(self, start: int, most: int) -> None:
        """Find out how many may be in flight: `start` in all to begin with, `most` at most."""
        self.steering = Steering(start, most, max_wait=self._max_wait)
        self._fed_at = math.inf

    def release(self, worker: int) -> list[Command]:
        """Give this worker nothing more."""
        seat = self.seats[worker]
        seat.released = True
        return [] if seat.assigned else self._through(worker)

    def _through(self, worker: int) -> list[Command]:
        """It has nothing left: it may go, and who stands by for it takes over."""
        if self.seats[worker].through:  # a thread that was left behind in it has come to its end after all
            return []
        self.seats[worker].through = True
        self._make_room(worker)
        return [Release(worker)]

    def _make_room(self, worker: int) -> bool:
        """Whether somebody stood by for it."""
        heirs = self._stood_by(worker)
        for seat in heirs:
            seat.before, seat.ready = None, seat.booted
        return bool(heirs)

    def _stood_by(self, worker: int) -> list[Seat]:
        """The one that is to take over from it, if there is one."""
        return [seat for seat in self.seats.values() if seat.before == worker]

    def _replace(self) -> list[Command]:
        """Successors for those that must go, if there is or may be something for them to do.

        A worker that has had its items gets one at once, which warms up while it finishes: it can do no more anyway. Of those
        that have grown one at a time: they go on until their successor is there.
        """
        more = self._queue or self._suspects or self._retries or (not self.source_ended and self._any_open())
        if not more:
            return []
        commands: list[Command] = [Succeed(worker) for worker in self._spent]
        self._spent.clear()
        if self._grown and not commands and all(seat.before is None for seat in self.seats.values()):
            worker = next(iter(self._grown))
            del self._grown[worker]
            commands.append(Succeed(worker))
        return commands

    def not_replaced(self, worker: int) -> None:
        """Its successor could not be started: one that has had its items needs another; one that has grown will tell again."""
        if worker not in self.seats or self.seats[worker].released:
            self._spent.append(worker)

    def _any_open(self) -> bool:
        return any(seat.open for seat in self.seats.values())

    @property
    def finished(self) -> bool:
        return self.source_ended and self.emitted == self.read_count

    @property
    def queued(self) -> int:
        """Read, and not given to a worker."""
        return len(self._queue) + len(self._suspects)

    @property
    def retries(self) -> list[float]:
        """When those start that wait for another try."""
        return [at for at, _, _ in list(self._retries)]

    def parked(self, now: float) -> list[tuple[Any, float, int, bool]]:
        """Keys of which nothing may start now: see `Backlog.parked`."""
        return self._queue.parked(now)

    def moves(self) -> list[tuple[Any, int, str]]:
        """(key, or "" for all; how many may be in flight; why) for each move of a limit since the last time."""
        moves, self._queue.moved = self._queue.moved, []
        steering = self.steering
        if steering is not None and steering.awake and steering.slots != self._told:
            self._told = steering.slots
            moves.append(("", steering.slots, steering.why))
        return moves

    def put_off(self) -> list[Again]:
        """Items that are to be tried again, since the last time."""
        put_off, self._put_off = self._put_off, []
        return put_off

    @property
    def in_flight(self) -> int:
        return sum(len(seat.assigned) for seat in self.seats.values())

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def want(self, now: float) -> int:
        """How many items to read now; 0 while workers have enough, or while too much is held back."""
        if self.source_ended:
            return 0
        if self._spent and not self._any_open() and not (self._queue or self._suspects or self._retries):
            return 1  # tells whether successors are needed at all
        needs = [need for _, need in self._needs()]
        count = sum(needs) - len(self._queue)
        if self.policy.key is not None:
            # look past items whose key is full or parked, for others that may start
            count = sum(needs) if needs and len(self._queue) < self._queue.look_ahead else 0
        if count > 0 and self._gated:
            count = min(count, self._allowed(now))
        if self.policy.ordered and count > 0:
            window = max(128, 2 * sum(self._target(seat) for seat in self.seats.values()))
            if self.order.held * self._value_bytes > MOST_BYTES:
                return 0
            count = min(count, window - (self.read_count - self.order.first))
        if self._item_bytes * count > MOST_BYTES:
            count = max(1, int(MOST_BYTES / self._item_bytes))
        return max(0, count)

    def read(self, items: Sequence[Any], now: float) -> list[Command]:
        """Items have come from the source."""
        first = self.read_count
        self.read_count += len(items)
        if items:
            self._item_bytes = _moving(self._item_bytes, sys.getsizeof(items[-1]))
        if self._straight and not self._queue and not self._suspects:
            return self._read_straight(first, items, now)
        failures = self._queue.extend(first, items, now)
        self.failed += len(failures)
        commands = self._emit(
            [Outcome(index, item, False, None, error, 0) for index, item, error in failures] if failures else []
        )
        return commands + self.dispatch(now)

    def _read_straight(self, first: int, items: Sequence[Any], now: float) -> list[Command]:
        """The hot path: from the source to the workers without a queue between."""
        commands: list[Command] = []
        at = 0
        for worker, share in self._shares(len(items)):
            part = items[at : at + share]
            commands.append(self._feed(worker, range(first + at, first + at + len(part)), part, now, now))
            at += len(part)
        if at < len(items):
            self._queue.extend(first + at, items[at:], now)
        return commands + self._replace() if self._spent else commands

    def carried(self, count: int, nbytes: int) -> None:
        """So many items were that many bytes on their way to a worker; `getsizeof` sees a container's shell only."""
        self._item_bytes = _moving(self._item_bytes, nbytes / count)

    def end_of_items(self) -> None:
        self.source_ended = True

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, event: Event, now: float) -> list[Command]:
        """One event's consequences."""
        match event:
            case Done(worker, report):
                commands = self._done(worker, report, now)
            case Ready(worker):
                self._false_starts = 0
                commands = self._ready(self.seats[worker])
            case Uncarried(worker, errors):
                seat = self.seats[worker]
                failures = [Failure(index, error, now, now, 0.0, None) for index, error in errors]
                commands = self._emit(self._failures(seat, failures, now, may_retry=False))
                commands += self._after(worker, seat)
            case Unreadable(worker, indices, error):
                commands = self._unreadable(worker, indices, error, now)
            case Broken(_, error):
                commands = [Stop(error)]
            case Lost():
                commands = self._lost(event, now)
            case Ended(worker):
                self.seats.pop(worker, None)
                commands = []
            case Cancel(index, error):
                commands = self._cancel(index, error, now)
            case Weighed(worker, nbytes):
                self._weighed(worker, nbytes)
                commands = []
        return commands + self.dispatch(now)

    def _ready(self, seat: Seat) -> list[Command]:
        if seat.before is None:
            seat.ready = True
            return []
        seat.booted = True
        return [] if self.seats[seat.before].released else self.release(seat.before)

    def _weighed(self, worker: int, nbytes: int) -> None:
        seat, most = self.seats.get(worker), self.policy.max_memory
        if seat is None or seat.released or most is None or nbytes <= most:
            self._grown.pop(worker, None)
        elif not self._stood_by(worker):
            self._grown[worker] = None

    def tick(self, now: float, running: dict[int, list[tuple[int, int, float]]]) -> list[Command]:
        """Time has come: retries start, and what ran too long (`running`: worker → (slot, index, since)) is ended."""
        commands: list[Command] = []
        if self.policy.timeout is not None and now >= self._check_at:
            commands = self._end_late_items(now, running)
        if now >= self._steer_at:
            assert self.steering is not None
            self.steering.nothing_came(self._fed_at, now)
            self._steer_at = now + SILENCE if self.steering.slots < self.steering.most_unheard else math.inf
            commands += self.resize()
        return commands + self.dispatch(now)

    def next_at(self) -> float:
        """When `tick` has something to do: infinite when only an event can bring news."""
        soonest = min(self._check_at, self._rate_at, self._queue.parked_until, self._steer_at)
        return min(soonest, self._retries[0][0]) if self._retries else soonest

    @property
    def limit(self) -> tuple[int | None, str]:
        """How many may be in flight where that is found out, and why, in a line; with keys, also for the busiest of them."""
        steering, keys = self.steering, self._queue.why
        if steering is None:
            return None, keys
        return steering.slots, f"{steering.why}; {keys}" if keys else steering.why

    def learned(self) -> None:
        """The run is over: what was found out about keys may be remembered."""
        self._queue.learned()

    def held(self) -> Sequence[Outcome[Any]]:
        """What is final and still waits for its turn: a run that is cut short keeps it."""
        return self.order.rest()

    # ── dispatch ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def dispatch(self, now: float) -> list[Command]:
        """Give work to every worker that needs some."""
        self._queue.unpark(now)
        if now >= self._rate_at:
            self._rate_at = math.inf
        while self._retries and self._retries[0][0] <= now:
            self._queue.first(heapq.heappop(self._retries)[2])
        commands: list[Command] = self._give_up(now) if self._queue.gave_up else []
        if self._suspects:
            self._dispatch_suspects(commands, now)
        if self._queue:
            count = len(self._queue)
            for worker, share in self._shares(min(count, self._allowed(now)) if self._gated else count):
                batch = self._queue.take(share, now)
                if not batch:
                    break  # what is queued may not start yet: its keys are full or parked
                if self._bucket is not None:
                    self._bucket.spend(len(batch))
                if self.steering is not None:
                    self.steering.spend(len(batch), now)
                commands.append(self._feed_queued(worker, batch, now))
        if self._gated and (self._queue or not self.source_ended) and self._needs():
            self._allowed(now)  # tells when the next one may start
        if self._spent or self._grown:
            commands += self._replace()
        return commands

    def _give_up(self, now: float) -> list[Command]:
        """Items of keys that do not answer any more fail without being started: nobody waits for a dead host."""
        outcomes = []
        for (index, item, queued), error in self._queue.hopeless(now):
            self._struck.discard(index)
            attempts = self._tries.pop(index, 0)
            outcomes.append(Outcome(index, item, False, None, error, attempts, now, now, now - queued))
        self.failed += len(outcomes)
        return self._emit(outcomes)

    def _needs(self) -> list[tuple[int, int]]:
        """(worker, items) of those that run low: below half of their look-ahead, so that batches stay large."""
        needs = []
        for worker, seat in self.seats.items():
            if not seat.open:
                continue
            target = self._target(seat)
            need = target - len(seat.assigned)
            if need > 0 and need >= (target - seat.slots) // 2:
                needs.append((worker, need))
        return needs

    def _shares(self, count: int) -> list[tuple[int, int]]:
        """(worker, items) for `count` items: first one for each free slot, emptiest worker first, then look-ahead evenly."""
        needs = self._needs()
        total = sum(need for _, need in needs)
        if count >= total:
            return needs
        needs.sort(key=lambda pair: len(self.seats[pair[0]].assigned) / self.seats[pair[0]].slots)
        free = [min(need, max(0, self.seats[worker].slots - len(self.seats[worker].assigned))) for worker, need in needs]
        shares = _spread(count, free)
        left = count - sum(shares)
        if left:
            more = _spread(left, [need - had for (_, need), had in zip(needs, shares, strict=True)])
            shares = [had + extra for had, extra in zip(shares, more, strict=True)]
        return [(worker, share) for (worker, _), share in zip(needs, shares, strict=True) if share]

    def _target(self, seat: Seat) -> int:
        if self.limited:
            return min(seat.slots, seat.target(math.inf))  # given is started: nothing may wait at the worker
        share = self.policy.most_ahead
        if self.policy.total is not None and len(self.seats) > 1:
            # a length can lie: a list may grow while it is read
            left = max(0, self.policy.total - self.read_count) + len(self._queue)
            share = min(share, max(left / (4 * len(self.seats) * seat.slots), FINEST / seat.mean))
        # what it has before it is held twice where it was carried, comes back as values, and may have to wait for the reader
        most = max(self._item_bytes, self._value_bytes)
        if most > 0:
            share = min(share, MOST_BYTES / (most * len(self.seats) * seat.slots))
        return seat.target(share)

    def _feed(self, worker: int, indices: Sequence[int], items: Sequence[Any], read_at: Any, now: float) -> Feed:
        seat = self.seats[worker]
        seat.give(indices, items, read_at)
        if seat.left == 0 and not seat.released:
            seat.released = True
            self._grown.pop(worker, None)
            if not self._stood_by(worker):
                self._spent.append(worker)
        if self._fed_at == math.inf:
            self._fed_at = now
            if self.steering is not None:
                self._steer_at = now + SILENCE
        if self.policy.timeout is not None:
            grace = BACKSTOP if seat.enforces_timeout else 0.0
            self._check_at = min(self._check_at, now + self.policy.timeout + grace)
        return Feed(worker, indices, items)

    def _feed_queued(self, worker: int, batch: list[Queued], now: float) -> Feed:
        indices, items, read_at = zip(*batch, strict=True)
        return self._feed(worker, indices, items, read_at, now)

    def _dispatch_suspects(self, commands: list[Command], now: float) -> None:
        """One group to each worker that has nothing else: a worker that just started, or one that is drained for it."""
        for worker, seat in self.seats.items():
            if seat.ready and not (seat.released or seat.killed or seat.assigned):
                group = self._next_suspects(now)
                if group is None:
                    return
                seat.alone = True
                commands.append(self._feed_queued(worker, group, now))
        if self._suspects and not any(seat.alone for seat in self.seats.values()):
            # nobody is free: the next worker that can is drained
            for seat in self.seats.values():
                if seat.ready and not seat.released:
                    seat.alone = True
                    return

    def _next_suspects(self, now: float) -> list[Queued] | None:
        """The first group whose keys have room."""
        for _ in range(len(self._suspects)):
            group = self._suspects.popleft()
            if self._queue.start([index for index, _, _ in group], now):
                return group
            self._suspects.append(group)
        return None

    def _allowed(self, now: float) -> int:
        """How many may start now by the rate that was asked for, and by the one that was found out."""
        allowed, self._rate_at = sys.maxsize, math.inf
        if self._bucket is not None:
            allowed = self._bucket.allowed(now)
            if not allowed:
                self._rate_at = self._bucket.next_at(now)
        if self.steering is not None and self.steering.pacing and not self.steering.allowed(now):
            allowed = 0
            self._rate_at = max(self.steering.next_at(now), self._rate_at if self._rate_at < math.inf else 0.0)
        return allowed

    @property
    def _gated(self) -> bool:
        return self._bucket is not None or (self.steering is not None and self.steering.pacing)

    # ── how many in flight ───────────────────────────────────────────────────────────────────────────────────────────

    def _steer(self, steering: Steering, report: Any, in_flight: int, now: float) -> list[Command]:
        """What was reported tells how many may be in flight. Refusals of one key say nothing about the others."""
        steering.told(report, in_flight, now, overloads=self.policy.key is None)
        self._straight = self._straight and not steering.pacing
        if not self.limited:
            self._queue.adapt(steering.slots, now)
            self._count_slots()
        return self.resize()  # also where a new worker came with as many slots as the plan says

    def press(self, now: float, pressure: Pressure, reason: str) -> list[Command]:
        """What this machine has to say. It never stops what has nothing in flight: nothing would ever come back then."""
        if self.steering is None:
            return []
        self.steering.press(now, "cut" if pressure == "stop" and not self.in_flight else pressure, reason)
        self._straight = self._straight and not self.steering.pacing
        return self.resize() if self.steering.awake else []

    def resize(self) -> list[Command]:
        """Share the limit out anew."""
        assert self.steering is not None
        seats = [
            (worker, seat)
            for worker, seat in self.seats.items()
            if not (seat.released or seat.killed or seat.before is not None)
        ]
        commands: list[Command] = []
        for (worker, seat), slots in zip(seats, self.steering.share(len(seats)), strict=True) if seats else ():
            if slots != seat.slots:
                seat.slots = slots
                commands.append(Resize(worker, slots))
        if commands:
            self._count_slots()
        return commands

    # ── what workers report ──────────────────────────────────────────────────────────────────────────────────────────

    def _done(self, worker: int, report: Any, now: float) -> list[Command]:
        seat = self.seats.get(worker)
        if seat is None:
            return []
        if seat.ghosts:
            report = _without(report, seat.ghosts)
        indices = report.indices
        found = seat.assigned.take(indices) if indices else None
        if indices and found is None:
            # rows of items that it no longer has, or has told of twice
            return self._done(worker, _keeping(report, first_of_each(indices, set(seat.assigned))), now)
        self._queue.told(report, now)
        outcomes: Batch = ()
        if found is not None:
            seat.learn(sum(report.ended) - sum(report.started), len(indices))
            attempts: Iterable[int] = repeat(1)
            if self._tries:
                attempts = [self._tries.pop(index, 0) + 1 for index in indices]
            if self._struck:
                self._struck.difference_update(indices)
            items, read_at = found
            outcomes = Finished(
                indices, items, report.values, attempts, read_at, report.started, report.ended, report.cpu, report.workers
            )
            self.attempts += len(indices)
            self.cpu += sum(report.cpu)
            self._queue.done(indices)
            size = report.nbytes / len(indices) if report.nbytes else sys.getsizeof(report.values[-1])
            self._value_bytes = _moving(self._value_bytes, size)
            if self._backoff is not None:
                self._backoff.started(len(indices))
        steered: list[Command] = []
        if self.steering is not None and not seat.released:
            self._steer_at = math.inf  # something came back
            if seat.mean >= LONG:
                steered = self._steer(self.steering, report, self.in_flight + len(indices), now)
        if report.failures:
            outcomes = [*outcomes, *self._failures(seat, report.failures, now)]
        return steered + self._emit(outcomes) + self._after(worker, seat)

    def _after(self, worker: int, seat: Seat) -> list[Command]:
        if not seat.assigned:
            if seat.alone and not self._suspects:
                seat.alone = False
            if seat.released:
                return self._through(worker)
        return []

    def _failures(self, seat: Seat, failures: Iterable[Failure], now: float, *, may_retry: bool = True) -> list[Outcome[Any]]:
        """Failures that are final; the others are put off."""
        final = []
        for failure in failures:
            found = seat.assigned.pop_one(failure.index)
            if found is None:
                continue
            index, item, queued = found
            attempts = self._tries.pop(index, 0) + 1
            self.attempts += 1
            self.cpu += failure.cpu
            self._queue.done((index,))
            self._struck.discard(index)
            asked = pause_asked(failure.error, self._max_wait, self._rng)
            if asked:  # of the whole key, and for as long as it asked: what the budget of retries adds is this item's
                self._queue.park(index, now + asked, now)
            if self._backoff is not None and may_retry:
                self._backoff.started(1)
                again = self._backoff.again_at(failure.error, attempts - self._cut_short.get(index, 0), now, asked)
                if again is not None:
                    self._tries[index] = attempts
                    heapq.heappush(self._retries, (again, index, found))
                    self._put_off.append(Again(now, index, attempts, again))
                    continue
            waited = failure.started - queued
            self.failed += 1
            final.append(
                Outcome(
                    index,
                    item,
                    False,
                    None,
                    failure.error,
                    attempts,
                    failure.started,
                    failure.ended,
                    waited,
                    failure.cpu,
                    failure.worker,
                )
            )
        return final

    def _emit(self, outcomes: Batch) -> list[Command]:
        if not outcomes:
            return []
        self.emitted += len(outcomes)
        self._queue.forget(outcomes)
        if self._cut_short:
            for outcome in outcomes:
                self._cut_short.pop(outcome.index, None)
        return [Keep(list(outcomes))] if self.policy.keep else self._let_go(outcomes)

    def _let_go(self, outcomes: Batch) -> list[Command]:
        ready = self.order.take(outcomes)
        return [Emit(ready)] if ready else []

    # ── what a journal keeps, and what it held ───────────────────────────────────────────────────────────────────────

    def kept(self, outcomes: list[Outcome[Any]], refused: Mapping[int, Outcome[Any]]) -> list[Command]:
        """These were recorded; at the positions in `refused`, a failure instead of a value that cannot be."""
        for position, failure in refused.items():
            outcomes[position] = failure
        self.failed += len(refused)
        return self._let_go(outcomes)

    def resume(self, outcomes: Sequence[Outcome[Any]]) -> list[Command]:
        """The next items have come from the source, and these outcomes of theirs were on record: nobody runs them."""
        self.read_count += len(outcomes)
        self.emitted += len(outcomes)
        self.resumed += len(outcomes)
        self.failed += sum(not outcome.ok for outcome in outcomes)
        self._value_bytes = _moving(self._value_bytes, max(sys.getsizeof(outcome.value) for outcome in outcomes))
        return self._let_go(outcomes)

    # ── what ends badly ──────────────────────────────────────────────────────────────────────────────────────────────

    def _end_late_items(self, now: float, running: dict[int, list[tuple[int, int, float]]]) -> list[Command]:
        timeout = self.policy.timeout
        assert timeout is not None
        commands: list[Command] = []
        self._check_at = math.inf
        for worker, seat in self.seats.items():
            if not seat.assigned or seat.killed:
                continue
            limit = timeout + (BACKSTOP if seat.enforces_timeout else 0.0)
            soonest = now + limit
            late: list[int] = []
            for slot, index, since in running.get(worker, ()):
                if slot == CARRYING and now - since >= timeout + BACKSTOP:
                    commands += self._kill(worker, seat, list(seat.assigned)[:1] * (len(seat.assigned) == 1), timeout)
                    break
                if index not in seat.assigned:
                    continue  # finished, its report is under way
                if now - since < limit:
                    soonest = min(soonest, since + limit)
                    continue
                if seat.can_abandon:
                    error = complaints.late(index, seat.assigned[index], timeout)
                    commands += self._abandon(worker, seat, slot, index, since, now, error)
                else:
                    late.append(index)
            if late and not seat.killed:
                commands += self._kill(worker, seat, late, timeout)
            else:
                self._check_at = min(self._check_at, soonest)
        return commands

    def _kill(self, worker: int, seat: Seat, late: list[int], timeout: float) -> list[Command]:
        """End a worker for its late item. Of several in a blocked loop one blocks the others: all are tried again, alone."""
        seat.killed = True
        if len(late) == 1:
            seat.condemned[late[0]] = complaints.late(late[0], seat.assigned[late[0]], timeout)
        commands: list[Command] = [Kill(worker)]
        return commands if seat.can_kill else commands + self._leave_behind()

    def _leave_behind(self) -> list[Command]:
        self.threads_left += 1
        if self.threads_left <= MOST_LEFT:
            return []
        return [Stop(complaints.too_many_stuck(self.threads_left))]

    def _abandon(
        self, worker: int, seat: Seat, slot: int, index: int, since: float, now: float, error: BaseException
    ) -> list[Command]:
        seat.ghosts.add((index, since))
        failure = Failure(index, error, since, now, 0.0, None)
        commands: list[Command] = [Abandon(worker, slot, index)]
        commands += self._emit(self._failures(seat, (failure,), now))
        return commands + self._after(worker, seat) + self._leave_behind()

    def _lost(self, event: Lost, now: float) -> list[Command]:
        """Whose fault was it? The condemned ones' if we killed it; else the one that ran; else everybody is a suspect."""
        seat = self.seats.pop(event.worker, None)
        if seat is None:
            return []
        self.workers_lost += not seat.killed
        self._queue.done(seat.assigned)
        replaced = self._make_room(event.worker) or seat.released
        self._grown.pop(event.worker, None)
        if seat.before is not None:  # it was to take over: who did not wait for it goes on
            replaced = True
            if self.seats[seat.before].released:
                self._spent.append(seat.before)
        if not event.booted:
            self._false_starts += 1
            if self._false_starts >= MOST_FALSE_STARTS:
                return [Stop(complaints.false_starts(event.status, self._false_starts))]
        outcomes = []
        if seat.condemned:
            late = [Failure(i, error, now, now, 0.0, None) for i, error in seat.condemned.items()]
            # one that was cancelled is not tried again, whatever `retry` says
            again = not any(isinstance(error, CancelledError) for error in seat.condemned.values())
            outcomes = self._failures(seat, late, now, may_retry=again)
        else:
            culprits = [index for index in event.running if index in seat.assigned]
            if len(seat.assigned) == 1:
                culprits = list(seat.assigned)
            elif not culprits:
                self._suspects.extend(self._apart(seat.assigned.pop_all()))
            for suspect in filter(None, map(seat.assigned.pop_one, culprits)):
                index, item, queued = suspect
                self.attempts += 1
                if index in self._struck and len(culprits) == 1:
                    outcomes.append(self._died(index, item, queued, event.status, now))
                else:
                    self._struck.add(index)
                    self._tries[index] = self._tries.get(index, 0) + 1
                    self._cut_short[index] = self._cut_short.get(index, 0) + 1
                    self._suspects.append([suspect])
        # the rest were waiting their turn, or ran beside it: in their old order, before what has not been read yet
        for queued_item in reversed(seat.assigned.pop_all()):
            self._queue.first(queued_item)
        needed = not self.finished and not replaced
        return self._emit(outcomes) + ([Spawn(event.worker)] if needed else [])

    def _cancel(self, index: int, error: BaseException, now: float) -> list[Command]:
        """An item that runs is cancelled by its runner, or costs its worker; one that waits to be tried again is dropped."""
        for worker, seat in self.seats.items():
            if index in seat.assigned:
                if seat.can_cancel:
                    return [Withdraw(worker, index)]
                if seat.killed or not seat.can_kill:
                    return []
                seat.killed = True
                seat.condemned[index] = error
                return [Kill(worker)]
        waiting = [group[0] for group in self._suspects if group[0][0] == index and len(group) == 1]
        waiting += [queued for _, _, queued in self._retries if queued[0] == index]
        if not waiting:
            return []
        self._suspects = deque(group for group in self._suspects if group[0] is not waiting[0])
        self._retries = [entry for entry in self._retries if entry[2] is not waiting[0]]
        heapq.heapify(self._retries)
        self._struck.discard(index)
        self.failed += 1
        _, item, queued_at = waiting[0]
        attempts = self._tries.pop(index, 0)
        return self._emit([Outcome(index, item, False, None, error, attempts, now, now, now - queued_at)])

    def _unreadable(self, worker: int, indices: Sequence[int], error: BaseException, now: float) -> list[Command]:
        """A batch or a report that cannot be unpickled: one item fails; of several nobody knows which, so each goes alone."""
        seat = self.seats.get(worker)
        if seat is None:
            return []
        if len(indices) == 1:
            failure = Failure(indices[0], error, now, now, 0.0, None)
            commands = self._emit(self._failures(seat, (failure,), now, may_retry=False))
        else:
            self._queue.done(indices)
            self._suspects.extend([suspect] for suspect in map(seat.assigned.pop_one, indices) if suspect is not None)
            commands = []
        return commands + self._after(worker, seat)

    def _apart(self, group: list[Queued]) -> list[list[Queued]]:
        """Nobody knows which item it was: halves, each alone, until one is left, which then gets its second try.

        One by one where keys are counted: half a group may be more of one key than may run at once.
        """
        half = 1 if self.policy.key is not None else max(1, (len(group) + 1) // 2)
        return [group[at : at + half] for at in range(0, len(group), half)]

    def _died(self, index: int, item: Any, queued: float, status: int | None, now: float) -> Outcome[Any]:
        self._struck.discard(index)
        self.failed += 1
        attempts = self._tries.pop(index, 0) + 1
        error = WorkerDied.because(status, f"{index}: {shown(item)}")
        return Outcome(index, item, False, None, error, attempts, now, now, now - queued)


def _spread(count: int, rooms: list[int]) -> list[int]:
    """`count` things over rooms, in proportion to their size, the first rooms getting the remainder; at most what fits."""
    total = sum(rooms)
    if count >= total:
        return list(rooms)
    shares = []
    for room in rooms:
        share = min(room, math.ceil(room * count / total)) if total else 0
        shares.append(share)
        count, total = count - share, total - room
    return shares


def _without(report: Any, ghosts: set[tuple[int, float]]) -> Any:
    """The report less the attempts (index, start) that were given up before: their items may be running again."""
    attempts = list(zip(report.indices, report.started, strict=True))
    failed = [(failure.index, failure.started) for failure in report.failures]
    stale = ghosts.intersection([*attempts, *failed])
    if not stale:
        return report
    ghosts -= stale
    report = report._replace(failures=[f for f in report.failures if (f.index, f.started) not in stale])
    return _keeping(report, [attempt not in stale for attempt in attempts])


def _keeping(report: Any, keep: list[bool]) -> Any:
    """The rows of a report for which `keep` is true."""
    columns = [list(compress(column, keep)) for column in report[:6]]
    return type(report)(*columns, report.failures, report.nbytes)


def _moving(old: float, new: float) -> float:
    """A mean that follows growth at once and shrinks slowly: it bounds memory."""
    return max(new, old + (new - old) / 8)
