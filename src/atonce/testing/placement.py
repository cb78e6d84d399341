"""Workers that obey: each item takes the time it is told to, and ends as its function says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..engine.events import Done, Ended, Lost, Ready
from ..engine.hub import Hub
from ..engine.seat import Seat
from ..outcome import WorkerId
from ..placement import PLACEMENTS, Order, Placement, Worker
from ..worker.outbox import Failure, Report
from .clock import FakeHub

__all__ = ["Dies", "FakePlacement", "FakeWorker", "Hangs"]


class Dies(BaseException):
    """A simulated function raises it to end its worker with this exit status (negative: a signal)."""

    def __init__(self, status: int | None = -9) -> None:
        super().__init__(status)
        self.status = status


class Hangs(BaseException):
    """A simulated function raises it to never come back."""


class FakePlacement(Placement):
    """Hires `FakeWorker`s on the clock of the run's hub, which is a `FakeHub`.

    `seconds`: what an item takes, a number or a function of the item. `boot`: seconds until a worker is ready.
    `can_kill`, `can_abandon`: what its workers can do with an item that is late. `workers`: all that were hired.
    """

    needs_pickling = False
    can_kill = True
    survives_death = True

    def __init__(
        self,
        seconds: float | Callable[[Any], float] = 0.0,
        *,
        boot: float = 0.0,
        can_kill: bool = True,
        can_abandon: bool = False,
    ) -> None:
        self.seconds = seconds if callable(seconds) else lambda _: seconds
        self.boot = boot
        self.kills = can_kill
        self.abandons = can_abandon
        self.workers: list[FakeWorker] = []

    def hire(self, number: int, order: Order, hub: Hub) -> Worker:
        assert isinstance(hub, FakeHub), "a fake worker lives in fake time: give the conductor a FakeHub"
        self.workers.append(FakeWorker(self, number, order, hub))
        return self.workers[-1]

    @contextmanager
    def installed(self, name: str = "fake") -> Iterator[FakePlacement]:
        """Within, a plan whose placement has this name gets this one."""
        before, PLACEMENTS[name] = PLACEMENTS.get(name), f"{__name__}:_installed[{name}]"
        _installed[name] = self
        globals()[f"_installed[{name}]"] = lambda: self
        try:
            yield self
        finally:
            del _installed[name], globals()[f"_installed[{name}]"]
            if before is None:
                del PLACEMENTS[name]
            else:
                PLACEMENTS[name] = before


_installed: dict[str, FakePlacement] = {}


class FakeWorker(Worker):
    """`fed`: every item it ever got, by index; `high_water`: how many it ran at once at most."""

    def __init__(self, placement: FakePlacement, number: int, order: Order, hub: FakeHub) -> None:
        self.number = number
        self.fed: list[int] = []
        self.high_water = 0
        self.dead = self.released = False
        self._placement, self._order, self._hub = placement, order, hub
        self._most = order.slots
        self._todo: deque[tuple[int, Any]] = deque()
        self._slots: dict[int, tuple[int, float]] = {}  # slot → (index, since)
        hub.clock.call_at(hub.clock() + placement.boot, self._ready)

    def __repr__(self) -> str:
        return f"<FakeWorker {self.number}: runs {len(self._slots)}/{self._most}, {len(self._todo)} to do>"

    def seat(self) -> Seat:
        return Seat(self._order.slots, can_kill=self._placement.kills, can_abandon=self._placement.abandons)

    def feed(self, indices: Sequence[int], items: Sequence[Any]) -> None:
        assert not self.released
        self.fed += indices
        if self.dead:  # nobody knows it yet: its death is posted, and says whose fault it was
            return
        self._todo.extend(zip(indices, items, strict=True))
        self._start()

    def running(self) -> list[tuple[int, int, float]]:
        return [(slot, index, since) for slot, (index, since) in self._slots.items()]

    def resize(self, slots: int) -> None:
        self._most = slots
        self._start()

    def abandon(self, slot: int, index: int) -> None:
        assert self._slots[slot][0] == index
        del self._slots[slot]
        self._start()

    def kill(self) -> None:
        self.die(-9)

    def release(self) -> None:
        self.released = True
        self._end_if_done()

    def close(self, *, cancel: bool) -> None:
        if cancel:
            self._todo.clear()
        self.dead = True

    def gone(self) -> bool:
        return True

    def die(self, status: int | None = -9) -> None:
        """End now, as a process that was killed."""
        if not self.dead:
            self.dead = True
            self._hub.post(Lost(self.number, status, [index for index, _ in self._slots.values()], booted=True))

    def _ready(self) -> None:
        if not self.dead:
            self._hub.post(Ready(self.number))

    def _start(self) -> None:
        clock = self._hub.clock
        while self._todo and len(self._slots) < self._most and not self.dead:
            slot = next(number for number in range(self._most) if number not in self._slots)
            index, item = self._todo.popleft()
            self._slots[slot] = running = (index, clock())
            self.high_water = max(self.high_water, len(self._slots))
            value: Any = None
            error: BaseException | None = None
            try:
                value = self._order.job.fn(item)
            except Hangs:
                continue
            except BaseException as raised:
                error = raised
            clock.call_at(clock() + self._placement.seconds(item), partial(self._finish, slot, running, value, error))

    def _finish(self, slot: int, running: tuple[int, float], value: Any, error: BaseException | None) -> None:
        if self.dead or self._slots.get(slot) != running:
            return  # killed or left behind meanwhile
        if isinstance(error, Dies):
            self.die(error.status)
            return
        del self._slots[slot]
        (index, started), ended = running, self._hub.clock()
        where = WorkerId(-1 - self.number, 0, slot)
        if error is None:
            report = Report([index], [value], [started], [ended], [0.0], [where])
        else:
            report = Report(failures=[Failure(index, error, started, ended, 0.0, where)])
        self._hub.post(Done(self.number, report))
        self._start()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.released and not self._slots and not self._todo and not self.dead:
            self.dead = True
            self._hub.post(Ended(self.number))
