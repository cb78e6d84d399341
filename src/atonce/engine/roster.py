"""The workers of a run, as the machine sees them: who is there, who is to go, who takes over from whom."""

from __future__ import annotations

from .events import Command, Release, Succeed
from .policy import Policy
from .seat import Seat

__all__ = ["Roster"]


class Roster:
    """`seats` by the worker's number. One that is instead of another gets nothing before that one is through."""

    def __init__(self, policy: Policy) -> None:
        self.seats: dict[int, Seat] = {}
        self._policy = policy
        self.spent: list[int] = []  # have had their `max_tasks`, and no successor is on its way yet
        self._grown: dict[int, None] = {}  # over `max_memory`, and wait for their turn to be replaced: an ordered set

    @property
    def changing(self) -> bool:
        """Whether somebody is to be replaced."""
        return bool(self.spent or self._grown)

    @property
    def any_open(self) -> bool:
        return any(seat.open for seat in self.seats.values())

    @property
    def slots(self) -> int:
        """Of those that work, or will when they are ready."""
        return sum(seat.slots for seat in self.seats.values() if seat.before is None and not seat.through)

    @property
    def in_flight(self) -> int:
        return sum(len(seat.assigned) for seat in self.seats.values())

    def add(self, worker: int, seat: Seat, instead_of: int | None) -> None:
        seat.left = self._policy.max_tasks
        old = self.seats.get(instead_of) if instead_of is not None else None
        seat.before = None if old is None or old.through else instead_of
        self.seats[worker] = seat

    def ready(self, worker: int) -> list[Command]:
        """It can be fed; one that stands by for another waits for that one, which gets nothing more from now on."""
        seat = self.seats[worker]
        if seat.before is None:
            seat.ready = True
            return []
        seat.booted = True
        return [] if self.seats[seat.before].released else self.release(seat.before)

    def release(self, worker: int) -> list[Command]:
        """Give this worker nothing more."""
        seat = self.seats[worker]
        seat.released = True
        return [] if seat.assigned else self.through(worker)

    def through(self, worker: int) -> list[Command]:
        """It has nothing left: it may go, and who stands by for it takes over."""
        if self.seats[worker].through:  # a thread that was left behind in it has come to its end after all
            return []
        self.seats[worker].through = True
        self._make_room(worker)
        return [Release(worker)]

    def used_up(self, worker: int) -> None:
        """It was given the last of its `max_tasks`."""
        self.seats[worker].released = True
        self._grown.pop(worker, None)
        if not self._stood_by(worker):
            self.spent.append(worker)

    def weighed(self, worker: int, nbytes: int) -> None:
        """It holds so much memory."""
        seat, most = self.seats.get(worker), self._policy.max_memory
        if seat is None or seat.released or most is None or nbytes <= most:
            self._grown.pop(worker, None)
        elif not self._stood_by(worker):
            self._grown[worker] = None

    def replace(self) -> list[Command]:
        """Successors for those that must go.

        A worker that has had its items gets one at once, which warms up while it finishes: it can do no more anyway. Of those
        that have grown one at a time: they go on until their successor is there.
        """
        commands: list[Command] = [Succeed(worker) for worker in self.spent]
        self.spent.clear()
        if self._grown and not commands and all(seat.before is None for seat in self.seats.values()):
            worker = next(iter(self._grown))
            del self._grown[worker]
            commands.append(Succeed(worker))
        return commands

    def not_replaced(self, worker: int) -> None:
        """Its successor could not be started: one that has had its items needs another; one that has grown will tell again."""
        if worker not in self.seats or self.seats[worker].released:
            self.spent.append(worker)

    def succeeded(self, worker: int, seat: Seat) -> bool:
        """Whether another is there in the place of this one, which is gone, or need not be."""
        replaced = self._make_room(worker) or seat.released
        self._grown.pop(worker, None)
        if seat.before is not None:  # it was to take over: who did not wait for it goes on
            replaced = True
            if self.seats[seat.before].released:
                self.spent.append(seat.before)
        return replaced

    def _make_room(self, worker: int) -> bool:
        """Whether somebody stood by for it."""
        heirs = self._stood_by(worker)
        for seat in heirs:
            seat.before, seat.ready = None, seat.booted
        return bool(heirs)

    def _stood_by(self, worker: int) -> list[Seat]:
        """The one that is to take over from it, if there is one."""
        return [seat for seat in self.seats.values() if seat.before == worker]
