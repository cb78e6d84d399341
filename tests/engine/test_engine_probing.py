"""A tenth of the way: whether it goes as predicted, from numbers that nobody measured."""

from __future__ import annotations

import dataclasses
import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from atonce import Options
from atonce.engine.probing import Probing, Review, Scales
from atonce.plan.advice import advise
from atonce.plan.calibration import ASSUMED
from atonce.plan.function import Facts
from atonce.plan.machine import Machine
from atonce.plan.plan import Plan
from atonce.plan.probe import BUDGET, Pair, Run
from atonce.plan.sample import Beats, Carriage, Reading, Sample
from atonce.worker.job import Job

MACHINE = Machine(cpus=2)
# 100 items of 10 ms, side by side on two threads
PLAN = Plan("threads", "here", "thread", 1, 2, seconds=0.5)
SAMPLE = Sample(wall=0.01, cpu=0.01, held=0.0, gain=2.0)


def engine(emitted: int, cpu: float, mean: float = 0.01) -> Any:
    return SimpleNamespace(emitted=emitted, cpu=cpu, seats={0: SimpleNamespace(mean=mean)})


def review(scales: Scales | None = None) -> Review:
    found = Review(PLAN, SAMPLE, 100, MACHINE, ASSUMED, scales or Scales(Job(len), 1e8, ()))
    found.begin(0.0, engine(5, 0.05))
    assert found.at == 15
    return found


def test_what_goes_as_predicted_is_left_alone() -> None:
    assert review().disagrees(0.05, engine(15, 0.15)) is None


@pytest.mark.parametrize("took", [0.12, 0.2])
def test_what_takes_turns_after_all_holds_the_gil(took: float) -> None:
    found = review().disagrees(took, engine(15, 0.05 + took, mean=took / 5))
    assert found is not None
    assert found.cpu == pytest.approx(took / 10)
    assert found.held == pytest.approx(found.cpu)


def test_what_threads_cost_each_other_is_seen_at_a_tenth() -> None:
    """As SQLite does, and what maps and unmaps memory: twice the CPU of one alone, and no faster."""
    found = review().disagrees(0.12, engine(15, 0.05 + 0.24, mean=0.024))
    assert found is not None
    assert (found.cpu, found.inflation, found.gain) == (0.01, pytest.approx(2.4), pytest.approx(10 / 12))
    weighed = dataclasses.replace(found, carry=Carriage(), items=15)
    assert advise(Facts("f", "sync"), Options(), MACHINE, weighed, 85, ASSUMED).model == "processes"


def test_workers_that_have_started_are_not_started_again() -> None:
    """A machine that is busy is no reason to leave them: what they would take to start once more is not what is compared."""
    holds = Sample(wall=0.01, cpu=0.01, held=0.01, cold=2.0, items=5, carry=Carriage())
    plan = Plan("processes", "process", "call", 2, 1, seconds=0.65)
    found = Review(plan, holds, 100, MACHINE, ASSUMED, Scales(Job(len), 1e8, ()))
    found.begin(0.0, engine(5, 0.05))
    seen = found.disagrees(1.0, engine(15, 0.15))
    assert seen is not None
    assert advise(Facts("f", "sync"), Options(), MACHINE, dataclasses.replace(seen, cold=2.0), 80, ASSUMED).model == "sync"
    assert advise(Facts("f", "sync"), Options(), MACHINE, seen, 80, found.calibration).model == "processes"


def test_what_an_item_weighs_is_asked_once_processes_come_into_question() -> None:
    late = review(Scales(Job(len), 1e8, ([1], threading.Lock())))
    assert "its result cannot be pickled" in str(late.weighed(SAMPLE).stuck)
    known = Sample(wall=0.01, cpu=0.01, carry=Carriage(1, 1e-6))
    assert late.weighed(known) is known


def test_where_no_item_has_ended_nothing_is_said_of_its_result() -> None:
    """An item that computes for long is known before it ends; whether its result can travel is known when there is one."""
    scales = Scales(Job(len), 1e8, ())
    assert scales.read().stuck == "no result was seen yet"
    scales.put(SimpleNamespace(indices=[], values=[]), {})
    assert scales.read().stuck == "no result was seen yet"
    scales.put(SimpleNamespace(indices=[7], values=[threading.Lock()]), {7: "an item"})
    assert "its result cannot be pickled" in str(scales.read().stuck)
    scales.put(SimpleNamespace(indices=[8], values=[1]), {8: "an item"})  # the first one will do
    assert "its result cannot be pickled" in str(scales.read().stuck)


class Seen:
    """Instruments that have seen whatever ran compute, and nobody hold the GIL; what still runs uses nothing."""

    def stop(self, start: float, end: float) -> Reading:
        return Reading((), end - start, 0.0, Beats(100, 0.0, end - start, end - start, end - start, 0.0), 0)

    def heard(self, since: float) -> None:
        return None

    def __getattr__(self, name: str) -> Any:  # start, listen, drop; busy, queued
        return lambda *_, **__: 0.0


class Measured:
    """A run that is being measured, in seconds that nobody waits for: an item takes `wall` of them, and computes."""

    def __init__(self, wall: float) -> None:
        self.now, self._wall, self._index = 1000.0, wall, 0
        self.running: list[tuple[int, float]] = []  # (worker, since)
        self.seats: list[Any] = []
        self.probing = Probing(Job(len), MACHINE, 1000, self.hire, clock=lambda: self.now)
        self.probing._instruments = Seen()  # type: ignore[assignment]
        self.probing.begin()

    def hire(self) -> Any:
        number = len(self.seats)
        self.seats.append(SimpleNamespace(only=None, slots=1))
        worker = SimpleNamespace(running=lambda: [(0, 1, since) for who, since in self.running if who == number])
        return number, self.seats[number], worker

    def until(self, kind: type) -> Any:
        """Steps that go well, until one of this kind is under way."""
        while not (isinstance(self.step, kind) and self.step.count > 1) and self.probing.sample is None:
            self.finish()
        return self.step

    @property
    def step(self) -> Any:
        return self.probing._step

    def finish(self) -> None:
        for number, seat in enumerate(self.seats):
            count, seat.only = seat.only or 0, None
            starts = [self.now + at * self._wall for at in range(count)]
            report = SimpleNamespace(
                indices=list(range(self._index, self._index + count)),
                values=[None] * count,
                started=starts,
                ended=[start + self._wall for start in starts],
                cpu=[0.9 * self._wall] * count,
                workers=[],
                failures=[],
            )
            self._index += count
            if count:
                self.probing.done(number, report, {index: index for index in report.indices})
        self.now += self._wall


@pytest.mark.parametrize(("kind", "wall"), [(Run, 0.003), (Pair, 0.004)])
def test_an_item_that_waits_among_those_that_did_not_ends_the_measuring(kind: type, wall: float) -> None:
    """One slow answer after a quick one, in a step of several: the rest of the run does not wait for it."""
    measured = Measured(wall)
    step = measured.until(kind)
    assert isinstance(step, kind)
    measured.running = [(len(measured.seats) - 1, measured.now)]
    while measured.probing.sample is None and measured.probing.check_at < math.inf:
        measured.now = measured.probing.check_at
        measured.probing.check(measured.now)
    sample = measured.probing.sample
    assert sample is not None
    assert sample.unfinished
    assert sample.share < 0.1
    assert BUDGET <= sample.wall < 10 * BUDGET
    assert advise(Facts("f", "sync"), Options(), MACHINE, sample, 990, ASSUMED).model == "threads"


def test_items_of_a_step_that_were_not_there_long_are_left_alone() -> None:
    measured = Measured(0.003)
    measured.until(Run)
    measured.running = [(0, measured.now)]
    measured.probing.check(measured.now + 0.9 * BUDGET)
    assert measured.probing.sample is None
    assert BUDGET < measured.probing.check_at - measured.now < 2 * BUDGET
    measured.probing.end()
