"""The first items of a run, measured while they run: does what `plan.probe.Probe` asks for, with workers of this process.

    conductor ── Done ──► Probing ──► one more step (feed k, a second worker, pickle) ── … ──► a Sample ──► the plan

A worker that probes is given exactly the items of a step. All of this ends with the first few items: nothing is added to
what an item costs later.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..placement import Worker
from ..plan import calibration
from ..plan.calibration import Calibration
from ..plan.instruments import Instruments, Ticker, carry
from ..plan.machine import Machine
from ..plan.plan import Plan
from ..plan.probe import (
    BUDGET,
    COMPUTES,
    DEARER,
    LONG_WAIT,
    WAITS,
    Carry,
    Enough,
    Pair,
    Probe,
    Run,
    Step,
    in_turns,
    no_more_than,
)
from ..plan.sample import Carriage, Sample, Span, Together
from ..worker.job import Job
from .machine import Machine as EngineMachine
from .seat import Seat

__all__ = ["Probing", "Review"]

# A run that is slower than this share of what was predicted is looked at again, after this share of its items.
DISAGREES, TENTH = 0.6, 0.1


class Probing:
    """One run's probing. `hire` starts one more worker like the first and says which, or None where there is no room for one;
    `sample` is set when it is over."""

    def __init__(
        self,
        job: Job,
        machine: Machine,
        left: int | None,
        hire: Callable[[], tuple[int, Seat, Worker] | None],
        *,
        thorough: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job, self._hire, self._clock = job, hire, clock
        self.machine = machine
        self.calibration: Calibration = calibration.load()
        self._probe = Probe(left=left, cpus=machine.cpus, gil=machine.gil, in_loop=job.is_async, thorough=thorough)
        self._instruments = Instruments()
        self._workers: dict[int, tuple[Seat, Worker]] = {}
        self._spans: dict[int, list[Span]] = {}
        self._queued: dict[int, float] = {}  # seconds for which a worker's thread had no core
        self._step: Step = Run(1)
        self._missing = 0  # items of this step that have not ended
        self._failed = 0
        self._error: str | None = None
        self._example: tuple[Any, ...] = ()
        self._ticker: Ticker | None = None
        self._late = 0.0
        self._begun = clock()
        self.check_at = math.inf  # when to look whether an item that still runs only waits
        self.sample: Sample | None = None

    @property
    def numbers(self) -> list[int]:
        """The workers it has."""
        return list(self._workers)

    def scales(self) -> Scales:
        """What measures later what an item weighs on its way to another process, where that was not asked yet."""
        return Scales(self._job, self.calibration.pickling, self._example)

    def begin(self) -> None:
        if (hired := self._hire()) is None:
            return  # the run ends with that
        number, seat, worker = hired
        self._workers[number] = seat, worker
        loop = getattr(worker, "loop", None)
        if self._job.is_async and loop is not None:
            self._ticker = Ticker(loop)
        self._do(Run(1))
        used = time.thread_time()
        from ..plan import advice  # noqa: F401 - 10 ms that would come between the first item and the others

        self._instruments.leave_out(time.thread_time() - used)

    def end(self) -> None:
        """Stop measuring, whatever is known."""
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None
        self._instruments.drop()
        self.check_at = math.inf

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def done(self, worker: int, report: Any, assigned: Mapping[int, Any]) -> None:
        """A report, before the machine has it: `assigned` still has the items."""
        if worker not in self._workers or self.sample is not None:
            return
        if report.indices and not self._example:
            self._example = (assigned.get(report.indices[0]), report.values[0])
        spans = self._spans.setdefault(worker, [])
        rows = [Span(*row) for row in zip(report.started, report.ended, report.cpu, strict=True)]
        rows += [Span(failure.started, failure.ended, failure.cpu, ok=False) for failure in report.failures]
        spans += rows
        idents = {who.thread for who in (*report.workers, *(f.worker for f in report.failures)) if who is not None}
        self._queued[worker] = self._queued.get(worker, 0.0) + sum(map(self._instruments.queued, idents))
        self._failed += len(report.failures)
        if report.failures:
            self._error = type(report.failures[-1].error).__name__
        self._missing -= len(rows)
        if self._missing <= 0:
            self._finish_step()

    def check(self, now: float) -> None:
        """`check_at` has come: an item that has only waited so far ends the probing; it goes on where it is."""
        used = time.thread_time()
        self._check(now)
        self._instruments.leave_out(time.thread_time() - used)

    def _check(self, now: float) -> None:
        alone, least = self._watched_alone, self._patience
        since = min((since for _, worker in self._workers.values() for _, _, since in worker.running()), default=None)
        if since is None:  # not come yet: the source is slow, or its loop has just been made
            self.check_at = now + least / 2
            return
        if now - since < least:  # it has begun later than it was given
            self.check_at = since + 1.05 * least
            return
        late = self._ticker.late - self._late if self._ticker is not None else 0.0
        used = self._instruments.busy() - (self._ticker.cpu if self._ticker is not None else 0.0)
        queued, beats = self._instruments.without_a_core(), self._instruments.heard(since)
        self.sample = self._probe.so_far(now - since, max(0.0, used), late, beats, queued, alone=alone)
        self.check_at = now + max(LONG_WAIT, now - since)
        if self.sample is not None:
            self.end()
        elif alone and self.machine.gil and self.machine.cpus > 1 and not self._job.is_async:
            self._instruments.listen()  # a long one that computes: it can be told from this one alone who holds the GIL

    @property
    def _watched_alone(self) -> bool:
        """Whether what is used in this step is one item's, or that of items in a loop."""
        return self._job.is_async or (isinstance(self._step, Run) and self._step.count == 1)

    @property
    def _patience(self) -> float:
        """Seconds that an item of this step may take before it is looked at. One of several is like those that did not wait."""
        return LONG_WAIT if self._watched_alone else BUDGET

    def give_up(self, sample: Sample | None = None) -> None:
        """No more items, or no more probing: `sample` instead, or what is known."""
        self.sample = sample or self._probe.sample()
        self.end()

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do(self, step: Step) -> None:
        self._step = step
        self._spans, self._queued = {}, {}
        self._failed, self._error = 0, None
        match step:
            case Run(count, beat):
                self._instruments.start(beat=beat)
                self._give(next(iter(self._workers)), count)
                if self.machine.load > self.machine.cpus / 2:  # it may lack a core from the first
                    self._instruments.without_a_core()
                self.check_at = self._clock() + self._patience
            case Pair(count):
                if len(self._workers) < 2:
                    if (hired := self._hire()) is None:
                        self.give_up()
                        return
                    self._workers[hired[0]] = hired[1:]
                self._instruments.start()
                for number in self._workers:
                    self._give(number, count)
                self.check_at = self._clock() + self._patience
            case Carry():
                self._probe.carried(carry(self._job, self._example, self.calibration.pickling), self._spent())
                self._do(self._probe.next())
            case Enough():
                self.sample = self._probe.sample()
                self.end()

    def _give(self, number: int, count: int) -> None:
        self._workers[number][0].only = count
        self._missing += count

    def _finish_step(self) -> None:
        self._missing = 0
        self.check_at = math.inf
        spans = [span for each in self._spans.values() for span in each]
        start, end = min(span.started for span in spans), max(span.ended for span in spans)
        reading = self._instruments.stop(start, end)._replace(failed=self._failed, error=self._error)
        if self._ticker is not None:
            late, self._late = self._ticker.late - self._late, self._ticker.late
            late = max(0.0, late - sum(self._queued.values()))
            if in_turns(spans) and all(seat.slots > 1 for seat, _ in self._workers.values()):
                late = sum(span.wall for span in spans)
            reading = reading._replace(late=late)
        if isinstance(self._step, Pair):
            one, other = (self._together(number) for number in self._workers)
            self._probe.paired(reading, one, other, self._spent())
        else:
            spans = no_more_than(reading.process_cpu, self._cleared(next(iter(self._workers))))
            self._probe.ran(reading._replace(spans=spans), self._spent())
        self._do(self._probe.next())

    def _cleared(self, number: int) -> list[Span]:
        """The items of one worker, each with its share of the time for which their thread had no core while they ran."""
        spans = sorted(self._spans.get(number, ()))
        if not spans:
            return []
        queued = self._queued.get(number, 0.0)
        took = sum(span.ended - span.started for span in spans)
        if sum(span.cpu for span in spans) < WAITS * took:
            # It waits, so a core was missing before it began rather than meanwhile. What computes is the other way round.
            queued = max(0.0, queued - max(0.0, spans[0].started - self._instruments.started))
        return [span._replace(queued=queued * (span.ended - span.started) / took) for span in spans] if took > 0 else spans

    def _together(self, number: int) -> Together:
        spans = self._spans.get(number, [])
        took = max((span.ended for span in spans), default=0.0) - self._instruments.started
        return Together(len(spans), max(0.0, took), sum(span.cpu for span in spans), self._queued.get(number, 0.0))

    def _spent(self) -> float:
        return self._clock() - self._begun


class Scales:
    """What one item and its result weigh on their way to another process: pickled only when somebody asks."""

    def __init__(self, job: Job, speed: float, example: tuple[Any, ...]) -> None:
        self._job, self._speed, self._example = job, speed, example

    def put(self, report: Any, assigned: Mapping[int, Any]) -> None:
        """A report, before the machine has it: the first result there is will do."""
        if not self._example and report.indices:
            self._example = (assigned.get(report.indices[0]), report.values[0])

    def read(self) -> Carriage:
        """Where no item has ended nobody knows whether a result can travel, and one that cannot would fail its item."""
        if not self._example:
            return Carriage(stuck="no result was seen yet")
        return carry(self._job, self._example, self._speed)


class Review:
    """Whether the first tenth went as predicted. `at`: how many outcomes that is; `found`: what was seen, in a sentence."""

    def __init__(
        self,
        plan: Plan,
        sample: Sample,
        left: int,
        machine: Machine,
        calibration: Calibration,
        scales: Scales,
    ) -> None:
        assert plan.seconds is not None
        self.scales = scales
        self.machine, self.calibration = machine, calibration
        self.at = math.inf  # not before its workers are there
        self.found = ""
        self._plan, self._sample = plan, sample
        start = 0.0
        if plan.placement not in ("here", "thread"):
            # what they took to start is spent, whatever is chosen now
            start = calibration.start
            self.calibration = dataclasses.replace(calibration, start=0.0, worker=0.0, assumed=False)
            self._sample = dataclasses.replace(sample, cold=None)
        self._rate = left / max(plan.seconds - start, 1e-6)
        self._tenth = max(2, math.ceil(TENTH * left))
        self._begun: tuple[float, int, float] | None = None

    def begin(self, now: float, engine: EngineMachine) -> None:
        """The first worker of the plan is ready."""
        if self._begun is None:
            self._begun = now, engine.emitted, engine.cpu
            self.at = engine.emitted + self._tenth

    def weighed(self, sample: Sample) -> Sample:
        """The sample with what its items weigh, which was not asked while processes were out of the question."""
        if sample.carry is not None:
            return sample
        found = self.scales.read()
        return dataclasses.replace(sample, carry=found, stuck=found.stuck)

    def disagrees(self, now: float, engine: EngineMachine) -> Sample | None:
        """None if it went about as predicted; else the sample as it should have been."""
        assert self._begun is not None
        since, emitted, cpu = self._begun
        count, took = engine.emitted - emitted, now - since
        old, each = self._sample, (engine.cpu - cpu) / max(1, count)
        slot = min((seat.mean for seat in engine.seats.values() if math.isfinite(seat.mean)), default=old.wall)
        if old.unfinished and each < WAITS * slot:
            return None  # how long it takes was not known, that it waits holds
        # the first ones come after as long as one takes
        if took <= 0 or count / self._rate + old.wall >= DISAGREES * took:
            return None
        rate = count / took
        self.found = f"the first {count} came at {rate:.3g} a second where {self._rate:.3g} were predicted"
        ratio = each / old.cpu if old.cpu > 0 else 1.0
        crowded = self._plan.placement == "here" and self._plan.concurrency > 1
        turns = crowded and 0.7 < rate * each < 1.3  # about one core in all
        if crowded and ratio > DEARER and not turns and old.share > COMPUTES and not old.unfinished:
            # the threads cost each other that, by locks and page tables, unless these are dear ones; two processes would not
            return dataclasses.replace(old, inflation=ratio, gain=min(rate * old.wall, old.gain or math.inf), busy=0.0)
        # What computes takes longer in its slot when others want the core or the GIL, which is not its own time: what it
        # waited for alone stays, what it computes is as measured now. What waits is as slow as it is seen to be.
        idle = max(0.0, old.wall - old.total)
        wall = slot if old.share < WAITS else idle + each + old.elsewhere * ratio
        held = None if old.held is None else min(each, old.held * ratio)
        if turns:
            held = each
        return dataclasses.replace(old, wall=wall, cpu=each, elsewhere=old.elsewhere * ratio, held=held, unfinished=False)
