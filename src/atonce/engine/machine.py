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

import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import WorkerDied, shown
from ..options import Retry
from ..outcome import Outcome
from ..worker.outbox import Failure
from . import complaints
from .backlog import Backlog, Queued
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
    Resize,
    Spawn,
    Stop,
    Uncarried,
    Unreadable,
    Weighed,
    Withdraw,
)
from .finished import Batch, Finished
from .held import first_of_each
from .history import Again
from .keyed import KeyedBacklog
from .late import Doomed, Running, Stuck, grace, late
from .limit import Pressure
from .order import AsFinished, InOrder
from .pace import Pace
from .policy import Policy
from .reports import keeping, without
from .retry import pause_asked
from .roster import Roster
from .seat import Seat
from .shares import Shares
from .steering import LONG, Steering
from .suspects import Suspects
from .tries import Tries

__all__ = ["Machine", "Policy", "Seat"]

# Threads left behind before the run stops: each keeps its stack, its resource and its item.
MOST_LEFT = 32
# Workers in a row that may die before they were ready.
MOST_FALSE_STARTS = 3


class Machine:
    """The state of one run."""

    def __init__(self, policy: Policy, rng: random.Random | None = None) -> None:
        self.policy = policy
        self.roster = Roster(policy)
        self.seats = self.roster.seats
        self.shares = Shares(policy, self.seats)
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
        self.shares.limited = self._unhurried
        self._straight = policy.rate is None and policy.key is None
        self._rng = rng = rng or random.Random()
        self._max_wait = max_wait = (policy.retry or Retry()).max_wait
        self._queue: Backlog = Backlog()
        if policy.key is not None:
            self._queue = KeyedBacklog(policy.key, policy.per_key, max_wait=max_wait, rng=rng)
        self._suspects = Suspects(one_by_one=policy.key is not None)
        self._tries = Tries(policy.retry, rng)
        self.pace = Pace(policy, max_wait)
        self._false_starts = 0
        self._check_at = math.inf
        self._look_at = math.inf  # again, past what waits and may not start

    def __repr__(self) -> str:
        seats = ", ".join(f"{wid}: {len(seat.assigned)}/{seat.slots}" for wid, seat in self.seats.items())
        return (
            f"<Machine read {self.read_count}{' (all)' if self.source_ended else ''}, emitted {self.emitted}, "
            f"queued {len(self._queue)}, retrying {len(self._tries)}, suspects {len(self._suspects)}, "
            f"held {self.order.held}, workers {{{seats}}}>"
        )

    # ── workers come and go at the conductor's word ──────────────────────────────────────────────────────────────────

    def add(self, worker: int, seat: Seat, instead_of: int | None = None) -> None:
        """A worker is starting; one that is `instead_of` another gets nothing before that one is through."""
        self.roster.add(worker, seat, instead_of)
        self._count_slots()

    def _count_slots(self) -> None:
        self.shares.limited = self._queue.slots(self.roster.slots) or self._unhurried or self.pace.steered

    def steer(self, start: int, most: int) -> None:
        """Find out how many may be in flight: `start` in all to begin with, `most` at most."""
        self.pace.steer(start, most)

    def unsteer(self) -> None:
        """It is fixed from now on."""
        self.pace.unsteer()

    @property
    def steering(self) -> Steering | None:
        return self.pace.steering

    def release(self, worker: int) -> list[Command]:
        """Give this worker nothing more."""
        return self.roster.release(worker)

    def _replace(self) -> list[Command]:
        """Successors for workers that must go, if there is or may be something for them to do."""
        more = self._queue or self._suspects or self._tries or (not self.source_ended and self.roster.any_open)
        return self.roster.replace() if more else []

    def not_replaced(self, worker: int) -> None:
        """Its successor could not be started."""
        self.roster.not_replaced(worker)

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
        return self._tries.times

    def parked(self, now: float) -> list[tuple[Any, float, int, bool, BaseException | None]]:
        """Keys of which nothing may start now: see `Backlog.parked`."""
        return self._queue.parked(now)

    @property
    def unheard(self) -> int:
        """Keys that are asked, and of which nothing has come back yet."""
        return self._queue.unheard

    def moves(self) -> list[tuple[Any, int, str]]:
        """(key, or "" for all; how many may be in flight; why) for each move of a limit since the last time."""
        moves, self._queue.moved = self._queue.moved, []
        if (move := self.pace.move()) is not None:
            moves.append(("", *move))
        return moves

    def put_off(self) -> list[Again]:
        """Items that are to be tried again, since the last time."""
        return self._tries.put_off()

    @property
    def in_flight(self) -> int:
        return self.roster.in_flight

    @property
    def _left(self) -> int:
        """Items that nobody has yet. A length can lie: a list may grow while it is read."""
        return max(0, (self.policy.total or 0) - self.read_count) + len(self._queue)

    # ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def want(self, now: float) -> int:
        """How many items to read now; 0 while workers have enough, or while too much is held back."""
        self._look_at = math.inf
        if self.source_ended:
            return 0
        if self.roster.spent and not self.roster.any_open and not (self._queue or self._suspects or self._tries):
            return 1  # tells whether successors are needed at all
        left = self._left
        needs = [need for _, need in self.shares.needs(left)]
        count = sum(needs) - len(self._queue)
        if self.policy.key is not None:
            # look past items whose key is full or parked, for others that may start
            count = 0
            if needs and self._queue.looks_on(now, self.shares.holdable):
                count = sum(needs)
            elif needs:
                self._look_at = self._queue.look_at
        if count > 0 and self.pace.gated:
            count = min(count, self.pace.allowed(now))
        if self.policy.ordered and count > 0:
            if self.shares.too_many(self.order.held):
                return 0
            window = max(128, 2 * sum(self.shares.target(seat, left) for seat in self.seats.values()))
            count = min(count, window - (self.read_count - self.order.first))
        return self.shares.readable(count)

    def read(self, items: Sequence[Any], now: float) -> list[Command]:
        """Items have come from the source."""
        first = self.read_count
        self.read_count += len(items)
        if items:
            self.shares.item(sys.getsizeof(items[-1]))
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
        for worker, share in self.shares.split(len(items), self._left):
            part = items[at : at + share]
            commands.append(self._feed(worker, range(first + at, first + at + len(part)), part, now, now))
            at += len(part)
        if at < len(items):
            self._queue.extend(first + at, items[at:], now)
        return commands + self._replace() if self.roster.spent else commands

    def carried(self, count: int, nbytes: int) -> None:
        """So many items were that many bytes on their way to a worker; `getsizeof` sees a container's shell only."""
        self.shares.item(nbytes / count)

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
                commands = self.roster.ready(worker)
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
                self.roster.weighed(worker, nbytes)
                commands = []
        return commands + self.dispatch(now)

    def tick(self, now: float, running: Running) -> list[Command]:
        """Time has come: retries start, and what ran too long (`running`: worker → (slot, index, since)) is ended."""
        commands: list[Command] = []
        if self.policy.timeout is not None and now >= self._check_at:
            commands = self._end_late_items(now, running)
        if self.pace.silent(now):
            commands += self.resize()
        return commands + self.dispatch(now)

    def next_at(self) -> float:
        """When `tick` has something to do: infinite when only an event can bring news."""
        return min(self._check_at, self.pace.next_at, self._queue.parked_until, self._look_at, self._tries.next_at)

    @property
    def limit(self) -> tuple[int | None, str]:
        """How many may be in flight where that is found out, and why, in a line; with keys, also for the busiest of them."""
        steering, keys = self.steering, self._queue.why
        if steering is None:
            return None, keys
        return steering.slots, f"{steering.slots} in all, {keys}" if keys else steering.why

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
        self.pace.passed(now)
        for queued in self._tries.due(now):
            self._queue.first(queued)
        commands: list[Command] = self._give_up(now) if self._queue.gave_up else []
        if self._suspects:
            self._dispatch_suspects(commands, now)
        if self._queue:
            count = len(self._queue)
            if self.pace.gated:
                count = min(count, self.pace.allowed(now))
            left = self._left
            # taken for all of them, then shared out: what a key has room for is not the first worker's alone
            batch = self._queue.take(min(count, self.shares.room(left)), now)
            if batch:
                self.pace.spend(len(batch), now)
            if self._queue.has_homes and len(self.seats) > 1:
                batch = self._send_home(batch, commands, now)
            at = 0
            for worker, share in self.shares.split(len(batch), left):
                commands.append(self._feed_queued(worker, batch[at : at + share], now))
                at += share
        if self.pace.gated and (self._queue or not self.source_ended) and self.shares.needs(self._left):
            self.pace.allowed(now)  # tells when the next one may start
        if self.roster.changing:
            commands += self._replace()
        return commands

    def _send_home(self, batch: list[Queued], commands: list[Command], now: float) -> list[Queued]:
        """Give those that are for one worker to it, where it is there. Returns the others."""
        homes: dict[int, list[Queued]] = {}
        others: list[Queued] = []
        for queued in batch:
            home = self._queue.home(queued[0])
            seat = None if home is None else self.seats.get(home)
            (homes.setdefault(home, []) if home is not None and seat is not None and seat.open else others).append(queued)
        commands += [self._feed_queued(worker, mine, now) for worker, mine in homes.items()]
        return others

    def _give_up(self, now: float) -> list[Command]:
        """Items of keys that do not answer any more fail without being started: nobody waits for a dead host. Those that wait
        for another try would fail one by one, as the budget of retries has their turn come."""
        if self._queue.has_news:
            for waiting in self._tries.recall(lambda index: self._queue.is_hopeless(index, now)):
                self._queue.first(waiting)
        outcomes = []
        for (index, item, queued), error in self._queue.hopeless(now):
            attempts = self._tries.given_up(index)
            outcomes.append(Outcome(index, item, False, None, error, attempts, now, now, now - queued))
        self.failed += len(outcomes)
        return self._emit(outcomes)

    def _feed(self, worker: int, indices: Sequence[int], items: Sequence[Any], read_at: Any, now: float) -> Feed:
        seat = self.seats[worker]
        seat.give(indices, items, read_at)
        if seat.left == 0 and not seat.released:
            self.roster.used_up(worker)
        self.pace.fed(now)
        if self.policy.timeout is not None:
            self._check_at = min(self._check_at, now + self.policy.timeout + grace(seat))
        return Feed(worker, indices, items)

    def _feed_queued(self, worker: int, batch: list[Queued], now: float) -> Feed:
        indices, items, read_at = zip(*batch, strict=True)
        return self._feed(worker, indices, items, read_at, now)

    def _dispatch_suspects(self, commands: list[Command], now: float) -> None:
        """One group to each worker that has nothing else: a worker that just started, or one that is drained for it."""
        for worker, seat in self.seats.items():
            if seat.ready and not (seat.released or seat.killed or seat.assigned):
                group = self._suspects.next(lambda indices: self._queue.start(indices, now))
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

    # ── how many in flight ───────────────────────────────────────────────────────────────────────────────────────────

    def _steer(self, steering: Steering, report: Any, in_flight: int, now: float) -> list[Command]:
        """What was reported tells how many may be in flight. Refusals of one key say nothing about the others."""
        steering.told(report, in_flight, now, overloads=self.policy.key is None)
        self._straight = self._straight and not self.pace.pacing
        if not self.shares.limited:
            self._queue.adapt(steering.slots, now)
            self._count_slots()
        return self.resize()  # also where a new worker came with as many slots as the plan says

    def press(self, now: float, pressure: Pressure, reason: str) -> list[Command]:
        """What this machine has to say. It never stops what has nothing in flight: nothing would ever come back then."""
        if self.steering is None:
            return []
        self.steering.press(now, "cut" if pressure == "stop" and not self.in_flight else pressure, reason)
        self._straight = self._straight and not self.pace.pacing
        return self.resize() if self.steering.awake else []

    def resize(self) -> list[Command]:
        """Share the limit out anew."""
        commands = self.pace.share(self.seats)
        if commands:
            self._count_slots()
        return commands

    def narrow(self, slots: int) -> list[Command]:
        """Each worker has so many from now on, where that is fixed."""
        commands: list[Command] = []
        for worker, seat in self.seats.items():
            if seat.slots != slots:
                seat.slots = slots
                commands.append(Resize(worker, slots))
        self._count_slots()
        return commands

    # ── what workers report ──────────────────────────────────────────────────────────────────────────────────────────

    def _done(self, worker: int, report: Any, now: float) -> list[Command]:
        seat = self.seats.get(worker)
        if seat is None:
            return []
        if seat.ghosts:
            report = without(report, seat.ghosts)
        indices = report.indices
        found = seat.assigned.take(indices) if indices else None
        if indices and found is None:
            # rows of items that it no longer has, or has told of twice
            return self._done(worker, keeping(report, first_of_each(indices, set(seat.assigned))), now)
        self._queue.told(report, worker, now)
        outcomes: Batch = ()
        if found is not None:
            seat.learn(sum(report.ended) - sum(report.started), len(indices))
            attempts = self._tries.succeeded(indices)
            items, read_at = found
            outcomes = Finished(
                indices, items, report.values, attempts, read_at, report.started, report.ended, report.cpu, report.workers
            )
            self.attempts += len(indices)
            self.cpu += sum(report.cpu)
            self._queue.done(indices)
            size = report.nbytes / len(indices) if report.nbytes else sys.getsizeof(report.values[-1])
            self.shares.value(size)
        steered: list[Command] = []
        if self.steering is not None and not seat.released:
            self.pace.heard()
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
                return self.roster.through(worker)
        return []

    def _failures(self, seat: Seat, failures: Iterable[Failure], now: float, *, may_retry: bool = True) -> list[Outcome[Any]]:
        """Failures that are final; the others are put off."""
        final = []
        for failure in failures:
            found = seat.assigned.pop_one(failure.index)
            if found is None:
                continue
            index, item, queued = found
            attempts = self._tries.failed(index)
            self.attempts += 1
            self.cpu += failure.cpu
            # where nobody was ever answered, nobody is served
            may = may_retry and (not getattr(failure.error, "unserved", False) or self._queue.has_answered(index))
            self._queue.done((index,))
            asked = pause_asked(failure.error, self._max_wait, self._rng)
            if asked:  # of the whole key, and for as long as it asked: what the budget of retries adds is this item's
                self._queue.park(index, now + asked, now)
            if may and self._tries.again(found, attempts, failure.error, asked, now):
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
        self._tries.forget(outcomes)
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
        self.shares.value(max(sys.getsizeof(outcome.value) for outcome in outcomes))
        return self._let_go(outcomes)

    # ── what ends badly ──────────────────────────────────────────────────────────────────────────────────────────────

    def _end_late_items(self, now: float, running: Running) -> list[Command]:
        timeout = self.policy.timeout
        assert timeout is not None
        found, self._check_at = late(self.seats, running, timeout, now)
        commands: list[Command] = []
        for each in found:
            seat = self.seats[each.worker]
            if isinstance(each, Doomed):
                commands += self._kill(each.worker, seat, each.items, timeout)
            else:
                commands += self._abandon(each, seat, timeout, now)
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

    def _abandon(self, stuck: Stuck, seat: Seat, timeout: float, now: float) -> list[Command]:
        worker, slot, index, since = stuck
        seat.ghosts.add((index, since))
        failure = Failure(index, complaints.late(index, seat.assigned[index], timeout), since, now, 0.0, None)
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
        replaced = self.roster.succeeded(event.worker, seat)
        if not event.booted:
            self._false_starts += 1
            if self._false_starts >= MOST_FALSE_STARTS:
                return [Stop(complaints.false_starts(event.status, self._false_starts))]
        outcomes = []
        if seat.condemned:
            late = [Failure(i, error, now, now, 0.0, None) for i, error in seat.condemned.items()]
            # one that was cancelled is not tried again, whatever `retry` says
            from asyncio import CancelledError

            again = not any(isinstance(error, CancelledError) for error in seat.condemned.values())
            outcomes = self._failures(seat, late, now, may_retry=again)
        else:
            culprits = [index for index in event.running if index in seat.assigned]
            if len(seat.assigned) == 1:
                culprits = list(seat.assigned)
            elif not culprits:
                self._suspects.among(seat.assigned.pop_all())
            for suspect in filter(None, map(seat.assigned.pop_one, culprits)):
                self.attempts += 1
                if self._tries.struck(suspect[0], alone=len(culprits) == 1):
                    outcomes.append(self._died(suspect, event.status, now))
                else:
                    self._suspects.each([suspect])
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
        waiting = self._suspects.withdraw(index) or self._tries.withdraw(index)
        if waiting is None:
            return []
        self.failed += 1
        _, item, queued_at = waiting
        attempts = self._tries.given_up(index)
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
            self._suspects.each([suspect for suspect in map(seat.assigned.pop_one, indices) if suspect is not None])
            commands = []
        return commands + self._after(worker, seat)

    def _died(self, suspect: Queued, status: int | None, now: float) -> Outcome[Any]:
        index, item, queued = suspect
        self.failed += 1
        attempts = self._tries.failed(index)
        error = WorkerDied.because(status, f"{index}: {shown(item)}")
        return Outcome(index, item, False, None, error, attempts, now, now, now - queued)
