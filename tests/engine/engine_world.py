"""A machine and a set of simulated workers that do what it commands, and watch that it keeps its promises.

Whoever drives the world decides only what happens *to* the workers: which items end, how, in what order, who dies of what. The
promises are asserted as it goes, in one place:

    each item has at most one outcome, and in the end exactly one       in order when asked
    no worker is given more than its slots when limited                 at most `per_key` of a key are given out
    what once was running when a worker died runs alone                 WorkerDied only after two deaths with the item there
    nothing is given to a worker that is gone, released or being killed reading ahead is bounded
    with a journal an outcome is kept, once, before it is given out
    never more workers have items than there are to be               no worker is given more than `max_tasks`
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from atonce.engine.events import (
    Abandon,
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
    Spawn,
    Stop,
    Succeed,
    Uncarried,
    Unreadable,
    Weighed,
)
from atonce.engine.machine import Machine, Policy
from atonce.engine.seat import MOST_AHEAD, Seat
from atonce.errors import WorkerDied
from atonce.outcome import Outcome, WorkerId
from atonce.worker.outbox import Failure, Report

__all__ = ["Fake", "World", "failures", "report"]

# Items that the source gives at a time: a source may give fewer than wanted, and worlds of ten thousands are slow.
MOST_READ = 50


def report(worker: int, rows: Sequence[tuple[int, Any, float, float]], failures: Sequence[Failure] = ()) -> Report:
    """Rows of (index, value, started, ended), in columns."""
    indices, values, started, ended = ([row[k] for row in rows] for k in range(4))
    where = WorkerId(worker, 0, 0)
    return Report(indices, values, started, ended, [0.0] * len(rows), [where] * len(rows), list(failures))


def failures(rows: Sequence[tuple[int, BaseException, float, float]]) -> list[Failure]:
    return [Failure(index, error, started, ended, 0.0, None) for index, error, started, ended in rows]


@dataclasses.dataclass
class Fake:
    """A worker: what it has to do, what runs in which slot and since when, and who was left behind in it."""

    number: int
    slots: int
    can_abandon: bool
    can_kill: bool
    ready: bool = False
    released: bool = False
    killed: bool = False
    given: int = 0
    todo: deque[int] = dataclasses.field(default_factory=deque)
    running: dict[int, tuple[int, float]] = dataclasses.field(default_factory=dict)
    ghosts: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def start(self, now: float) -> None:
        for slot in range(self.slots):
            if slot not in self.running and self.todo:
                self.running[slot] = (self.todo.popleft(), now)

    @property
    def has(self) -> list[int]:
        return [*self.todo, *(index for index, _ in self.running.values())]

    @property
    def count(self) -> int:
        return len(self.todo) + len(self.running)


class World:
    """`key` of an item is the item modulo 3; items are their own indices."""

    def __init__(
        self,
        policy: Policy,
        workers: int = 2,
        slots: int = 2,
        *,
        can_abandon: bool = False,
        can_kill: bool = True,
        items: int | None = None,
    ) -> None:
        self.policy = policy
        self.machine = Machine(policy, random.Random(0))
        self.now = 100.0
        self.slots, self.can_abandon, self.can_kill = slots, can_abandon, can_kill
        self.workers: dict[int, Fake] = {}
        self.numbers = 0
        self.parallelism = workers
        self.left = items  # in the source; None: endless
        self.items = 0
        self.outcomes: dict[int, Outcome[Any]] = {}
        self.kept: set[int] = set()  # what a journal holds
        self.out_of_order = 0
        self.at_deaths: Counter[int] = Counter()  # index → deaths at which it was with the dead worker, or running there
        self.struck: set[int] = set()  # ran when a worker died, and has no outcome yet
        self.together: set[int] = set()  # suspects of a death that nobody could pin: given out in halves
        self.stopped: BaseException | None = None
        self.most_ahead = 0
        self.at: dict[int, int] = {}  # index → the worker that has it
        self.of_key: Counter[int] = Counter()  # how many of a key are given out
        for _ in range(workers):
            self.hire()

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def hire(self, instead_of: int | None = None) -> None:
        number, self.numbers = self.numbers, self.numbers + 1
        self.workers[number] = Fake(number, self.slots, self.can_abandon, self.can_kill)
        self.machine.add(number, Seat(self.slots, can_abandon=self.can_abandon, can_kill=self.can_kill), instead_of)

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Feed():
                    self._fed(command)
                case Emit(outcomes):
                    for outcome in outcomes:
                        self._final(outcome)
                case Keep(outcomes):
                    assert self.policy.keep
                    assert self.kept.isdisjoint(outcome.index for outcome in outcomes), "kept twice"
                    self.kept.update(outcome.index for outcome in outcomes)
                    self.obey(self.machine.kept(list(outcomes), {}))
                case Spawn():
                    self.hire()
                case Succeed(number):
                    self.hire(number)
                case Abandon(number, slot, index):
                    worker = self.workers[number]
                    assert worker.can_abandon
                    running, since = worker.running.pop(slot)
                    assert running == index
                    self.gone(index)
                    self.struck.discard(index)
                    worker.ghosts.append((index, since))
                    worker.start(self.now)
                case Kill(number):
                    worker = self.workers[number]
                    assert not worker.killed, "killed twice"
                    worker.killed = True
                case Release(number):
                    worker = self.workers[number]
                    assert not worker.has, "released while it has items"
                    assert not worker.released, "released twice"
                    worker.released = True
                case Stop(error):
                    self.stopped = error
                case _:
                    raise AssertionError(f"no such command: {command}")
        self.check()

    def _fed(self, feed: Feed) -> None:
        worker = self.workers[feed.worker]
        assert worker.ready
        assert not worker.released
        assert not worker.killed
        assert len(feed.indices) == len(feed.items) > 0
        for index, item in zip(feed.indices, feed.items, strict=True):
            assert item == index
            assert index not in self.outcomes, f"{index} is final and was given out again"
            assert index not in self.at, f"{index} is at two workers"
            self.at[index] = worker.number
            self.of_key[index % 3] += 1
            worker.todo.append(index)
        worker.given += len(feed.indices)
        most = self.policy.max_tasks
        # suspects of a death that nobody could pin go in halves, however many those are
        assert most is None or worker.given <= most or feed.indices[0] in self.together, (
            f"{worker.given} items, {most} are the most"
        )
        struck = self.struck and self.struck.intersection(worker.has)
        assert not struck or worker.count == 1, f"{struck} killed a worker and is not alone: {worker.has}"
        if self.machine.shares.limited and feed.indices[0] not in self.together:
            assert worker.count <= worker.slots, "more given than there are slots, though what is given counts as started"
        worker.start(self.now)

    def gone(self, index: int) -> None:
        """It is at no worker any more."""
        del self.at[index]
        self.of_key[index % 3] -= 1

    def _final(self, outcome: Outcome[Any]) -> None:
        index = outcome.index
        assert index not in self.outcomes, f"{index} has two outcomes"
        assert outcome.item == index
        assert not self.policy.keep or index in self.kept, f"{index} is given out before it is kept"
        assert outcome.ok == (outcome.error is None)
        if self.policy.ordered:
            assert index == len(self.outcomes), "out of order"
        assert index not in self.at, f"{index} is final and still runs"
        if isinstance(outcome.error, WorkerDied):
            assert self.at_deaths[index] >= 2, f"{index} was blamed after {self.at_deaths[index]} deaths"
        self.outcomes[index] = outcome
        self.struck.discard(index)

    def check(self) -> None:
        """What must hold at any time."""
        machine, policy = self.machine, self.policy
        assert repr(machine)
        # where a key cannot have more in flight than there are slots, its limit has nothing to do: items may wait at a worker
        slots = sum(seat.slots for seat in self.machine.seats.values() if seat.before is None and not seat.through)
        if isinstance(policy.per_key, int) and policy.per_key < slots:
            most_of_key = max(self.of_key.values(), default=0)
            assert most_of_key <= policy.per_key, f"per_key={policy.per_key}, and {self.of_key}"
        busy = sum(bool(worker.has) for worker in self.workers.values())
        assert busy <= self.parallelism, f"{busy} workers have items, {self.parallelism} are the most"
        ahead = machine.read_count - machine.emitted - machine.in_flight
        self.most_ahead = max(self.most_ahead, ahead)
        seats = max(1, len(self.workers))
        most = seats * max(self.slots, MOST_AHEAD) + (1000 + self.slots * seats if policy.key is not None else 0)
        assert ahead <= most, f"{ahead} items are read that nobody runs"

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, event: Event) -> None:
        self.obey(self.machine.handle(event, self.now))

    def boot(self, worker: Fake) -> None:
        worker.ready = True
        self.handle(Ready(worker.number))

    def read(self, most: int | None = None) -> int:
        """Read as the conductor does: what the machine wants, as far as the source has it."""
        machine = self.machine
        if machine.source_ended:
            return 0
        count = machine.want(self.now)
        take = min(count, MOST_READ if most is None else most, count if self.left is None else self.left)
        if take:
            first, self.items = self.items, self.items + take
            if self.left is not None:
                self.left -= take
            self.obey(machine.read(range(first, first + take), self.now))
        if self.left == 0:
            machine.end_of_items()
        return take

    def resume(self, most: int) -> None:
        """The next items are on record."""
        count = min(most, most if self.left is None else self.left)
        if count and self.machine.want(self.now):
            first, self.items = self.items, self.items + count
            if self.left is not None:
                self.left -= count
            self.kept.update(range(first, first + count))
            self.obey(self.machine.resume([Outcome(index, index, True, -index) for index in range(first, first + count)]))

    def finish(self, worker: Fake, slots: Sequence[int], errors: Sequence[BaseException | None] = ()) -> None:
        """What runs in these slots ends, in one report; `errors[k]` is what the k-th of them raises."""
        rows, failed = [], []
        for k, slot in enumerate(slots):
            index, since = worker.running.pop(slot)
            self.gone(index)
            self.struck.discard(index)  # it has come through, be it with an exception
            error = errors[k] if k < len(errors) else None
            if error is None:
                rows.append((index, -index, since, self.now))
            else:
                failed.append((index, error, since, self.now))
        worker.start(self.now)
        self.handle(Done(worker.number, report(worker.number, rows, failures(failed))))

    def haunt(self, worker: Fake, error: BaseException | None = None) -> None:
        """A thread that was left behind comes to its end after all."""
        index, since = worker.ghosts.pop()
        rows = [] if error else [(index, -index, since, self.now)]
        failed = failures([(index, error, since, self.now)]) if error else ()
        final = index in self.outcomes
        self.handle(Done(worker.number, report(worker.number, rows, failed)))
        assert (index in self.outcomes) == final, f"what was given up has decided about {index}"

    def weigh(self, worker: Fake, nbytes: int) -> None:
        self.handle(Weighed(worker.number, nbytes))

    def die(self, worker: Fake, status: int | None = -9, *, named: int | None = None, booted: bool = True) -> None:
        """`named`: how many of its running items the cells still name; None: all."""
        running = [index for index, _ in worker.running.values()]
        names = running if named is None else running[:named]
        self.at_deaths.update(names or worker.has)
        if worker.killed:
            self.struck.difference_update(worker.has)  # it was late: that is another fault, with its own rule
        else:
            self.struck.update(names if names or worker.count > 1 else worker.has)
        if not names and not worker.killed:
            self.together.update(worker.has)
        for index in worker.has:
            self.gone(index)
        del self.workers[worker.number]
        self.handle(Lost(worker.number, status, names, booted))

    def end(self, worker: Fake) -> None:
        """It was released, and has ended."""
        assert not worker.has
        del self.workers[worker.number]
        self.handle(Ended(worker.number))

    def uncarried(self, worker: Fake, count: int) -> None:
        """Items of what it still has to do could not be pickled."""
        indices = [worker.todo.pop() for _ in range(min(count, len(worker.todo)))]
        for index in indices:
            self.gone(index)
        if indices:
            self.handle(Uncarried(worker.number, [(index, TypeError("cannot pickle")) for index in indices]))

    def unreadable(self, worker: Fake, count: int) -> None:
        indices = sorted(worker.todo.pop() for _ in range(min(count, len(worker.todo))))
        for index in indices:
            self.gone(index)
        if indices:
            self.handle(Unreadable(worker.number, indices, TypeError("cannot unpickle")))

    def wait(self, seconds: float) -> None:
        """Time passes, as far as the next thing the machine wants to do."""
        self.now = max(self.now, min(self.now + seconds, self.machine.next_at()))
        if self.now >= self.machine.next_at():
            self.tick()

    def tick(self) -> None:
        running = {
            worker.number: [(slot, index, since) for slot, (index, since) in worker.running.items()]
            for worker in self.workers.values()
        }
        self.obey(self.machine.tick(self.now, running))

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def bring_home(self) -> None:
        """From here on all goes well: every worker does its work. The run must end, with an outcome for each item."""
        if self.left is None:
            self.left = 0
        for _ in range(100_000):
            if self.stopped is not None:
                return
            if self.machine.finished:
                break
            moved = self.read() > 0
            for worker in list(self.workers.values()):
                if worker.killed:
                    self.die(worker)
                elif worker.released and not worker.has:
                    self.end(worker)
                elif not worker.ready:
                    self.boot(worker)
                elif worker.running:
                    self.finish(worker, list(worker.running))
                else:
                    continue
                moved = True
            if not moved and not self.machine.finished:
                next_at = self.machine.next_at()
                assert next_at != math.inf, f"nothing will ever happen: {self.machine}"
                self.now = max(self.now, next_at)
                self.tick()
        assert self.machine.finished, f"it does not end: {self.machine}"
        assert sorted(self.outcomes) == list(range(self.items))
        assert self.machine.emitted == self.items
        assert self.machine.failed == sum(not outcome.ok for outcome in self.outcomes.values())
