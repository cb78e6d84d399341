"""What to measure next of the first items, from what is known of them. Pure: the instruments are in `instruments`.

    Run(1) ──► it waits long? ── yes ──────────────────────────────► Enough: go concurrent at once
                 │ no
               too little work in all? ── yes ─────────────────────► Enough: the plain loop
                 │ no
               Run(k, beat) ──► Pair ──► Carry ────────────────────► Enough
               warm items, with a   two threads   what one item weighs
               heartbeat when they  at once       on the way to another
               compute                            process and back

Every item that is measured is an item of the run: it counts, and is never run again. What probing costs is that it does
one thing after another: it ends before it would have taken over 0.3 s or 3 % of the run, whichever is more, whatever is known
by then. Only the first item cannot be foreseen; of that, what is seen while it runs may be enough (`so_far`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from .plan import in_time
from .sample import Beats, Carriage, Reading, Sample, Span, Together

__all__ = ["FREE", "Carry", "Enough", "Pair", "Probe", "Run", "Step", "gain_of_two", "in_turns", "no_more_than"]

# ── the thresholds of the protocol ───────────────────────────────────────────────────────────────────────────────────

# Seconds after which an item that has mostly waited ends the probing (waiting one by one is the largest source of regret):
# 50 ms, less what is taken off for time without a core.
LONG_WAIT = 0.045
# Seconds of one that waits at least: what is shorter may be no wait but a switch of threads.
WAITING = 0.002
# Of an item's time, its loop could do nothing else: that is no chance. So many seconds at a time can be seen of one item alone.
BLOCKS, LONG_BLOCK = 0.8, 0.01
# CPU per wall second under which it mostly waits, and above which CPU decides.
WAITS = 0.1
COMPUTES = 0.3
# Seconds that a different model must gain to be worth it (see `advice`): with less work than that nothing need be measured.
LEAST_GAIN = 0.2
# As many times that much computing in all is worth knowing of: by whom, and with the GIL or without.
MATTERS = 2
# Probing may take so many seconds, or this share of the run.
BUDGET, BUDGET_SHARE = 0.3, 0.03
# … or, for `explain`, which has nothing to run, so many seconds.
THOROUGH = 1.0
# Warm items are measured until the standard error of their mean is under this share of it, …
STEADY = 0.25
# … or this many steps were measured.
MOST_STEPS = 5
# Seconds of items that a step with the heartbeat takes at least: the GIL changes hands each 5 ms, so that is a few beats.
STEP = 0.02
# Items in a step at most, and the share of all items: with 0.2 s of work in all that is still 10 ms.
MOST_ITEMS, ITEMS_SHARE = 1024, 0.05
# The heartbeat has seen enough of so many seconds of computing, or of this share of it where that is more than a turn: what
# it has not seen nobody knows.
PLENTY, SEEN = 0.1, 0.4
# There, of items shorter than so many seconds, the slowest one in so many is the machine's: to lose a core and get it back
# costs as much as a hundred of them, and some of that counts as CPU.
SHORT, ONE_IN = 50e-6, 20
# The GIL changes hands each 5 ms: two threads that run for less than this do not meet.
TURN = 0.006
# Pairs that `explain` has run at most, where they are in each other's way and nothing says why.
MOST_PAIRS = 4
# As many times the CPU of one alone is no chance, of so many items.
DEARER, ENOUGH_ITEMS = 1.5, 4
# Two threads that are so many times as fast as one run side by side.
FREE = 1.6
# Of its time, a thread without a core: the machine is busy. Of less than so many seconds it cannot be told.
BUSY, LEAST_BUSY = 0.15, 0.005

# ── what to do next ──────────────────────────────────────────────────────────────────────────────────────────────────


class Run(NamedTuple):
    """Run `count` items, one after another, with the heartbeat or without."""

    count: int = 1  # type: ignore[assignment]  # hides tuple.count, on purpose
    beat: bool = False


class Pair(NamedTuple):
    """Run `count` items on each of two threads, both at once."""

    count: int = 1  # type: ignore[assignment]  # hides tuple.count, on purpose


class Carry(NamedTuple):
    """Pickle one argument and one result."""


class Enough(NamedTuple):
    """Measured enough."""

    why: str


Step = Run | Pair | Carry | Enough


class Probe:
    """What is known and what to measure next. Pure: readings in, steps out.

    `left` is how many items there are besides the first, None when unknown; `cpus` and `gil` are the machine's. `in_loop`: it
    is an `async def`, the items of a step run at once in its loop, and readings say how `late` that loop was. `thorough`: the
    items are there to be measured (`explain`): little work is no reason to stop.
    """

    def __init__(self, *, left: int | None, cpus: int, gil: bool = True, in_loop: bool = False, thorough: bool = False) -> None:
        self.left, self.cpus, self.gil, self.in_loop, self.thorough = left, cpus, gil, in_loop, thorough
        self.spans: list[Span] = []
        self.steps = 0
        self.spent = 0.0
        self.beats: Beats | None = None
        self.gain: float | None = None
        self.inflation = 1.0
        self.carriage: Carriage | None = None
        self._process_cpu = self._children_cpu = 0.0
        self._apart = 0  # items whose CPU is not in these
        self._grown = 0
        self._failed = self._failed_together = 0
        self._error: str | None = None
        self._pairs = 0
        self._few: tuple[Together, Together] | None = None  # of a first pair that told too little
        self._late = 0.0
        self._watched = 0.0  # CPU of the items that ran beside the heartbeat
        # items of the pair, which say nothing of one alone; what the process has used besides them
        self._beside, self._beside_took, self._besides = 0, 0.0, 0.0

    # ── readings in ──────────────────────────────────────────────────────────────────────────────────────────────────

    def ran(self, reading: Reading, spent: float = 0.0) -> None:
        """A `Run` is done. `spent`: seconds since probing began."""
        if self.steps == 1:
            self._set_the_first_apart()
        self._note(reading, spent)
        if reading.beats is not None:
            self.beats = (self.beats or Beats()).plus(reading.beats)
            self._watched += sum(span.cpu for span in reading.spans)

    def paired(self, reading: Reading, one: Together, other: Together, spent: float = 0.0) -> None:
        """A `Pair` is done, by two threads. Whatever else slows them down says nothing, so of several pairs the best counts."""
        self._pairs += 1
        self._failed_together = reading.failed if not self._failed else 0
        beside, used, took = one.items + other.items, one.cpu + other.cpu, max(one.took, other.took)
        if self._few is not None:
            one, other = self._few[0].then(one), self._few[1].then(other)
        disturbed = one.queued + other.queued > BUSY * (one.took + other.took)
        mean = self._mean()
        gain, inflation = gain_of_two(mean, one, other)
        if one.items + other.items < ENOUGH_ITEMS and one.cpu + other.cpu > DEARER * (one.items + other.items) * mean.cpu:
            self._few = one, other  # they cost each other much, or these were dear ones: more of them tell
        elif gain is not None and gain > (self.gain or 0.0) and not (disturbed and self._seen_enough):
            self.gain, self.inflation = gain, inflation
        self._beside += beside
        self._besides += reading.process_cpu - used
        self._beside_took += took
        self._note(reading._replace(spans=()), spent)

    def carried(self, carriage: Carriage, spent: float = 0.0) -> None:
        """A `Carry` is done."""
        self.carriage = carriage
        self.spent = max(self.spent, spent)

    def _set_the_first_apart(self) -> None:
        """What only the first call does, such as to import and to start a pool of threads, says nothing of the others."""
        self._apart, self._watched, self.beats = len(self.spans), 0.0, None
        self._process_cpu = self._children_cpu = 0.0

    def _note(self, reading: Reading, spent: float) -> None:
        self.steps += 1
        self.spent = max(self.spent, spent)
        self.spans += reading.spans
        self._process_cpu += reading.process_cpu if reading.spans else 0.0
        self._children_cpu += reading.children_cpu
        if self.steps > 1:  # the first call imports
            self._grown = max(self._grown, reading.grown // max(1, len(reading.spans)))
        self._failed += reading.failed
        self._error = reading.error or self._error
        self._late += reading.late

    def so_far(
        self,
        elapsed: float,
        cpu: float,
        late: float = 0.0,
        beats: Beats | None = None,
        queued: float = 0.0,
        *,
        alone: bool = True,
    ) -> Sample | None:
        """An item still runs after `elapsed` seconds: what is known already, if that is enough, which it is when it waits, and
        when all that probing may cost has gone by and others could run beside it on threads. Not when it would be processes:
        whether its result can travel is known when it is there. Where it is not `alone` in its step, `cpu` is also that of the
        others, and the one that was measured alone did not wait: it has to wait for as long as probing may take."""
        wall = max(elapsed - queued, min(cpu, elapsed))  # what it would be on an idle machine
        if wall < LONG_WAIT or late > COMPUTES * elapsed or ((self.thorough or not alone) and elapsed < BUDGET):
            return None
        known = Sample(wall, cpu, items=len(self.spans) + 1, failed=self._failed, unfinished=True)
        if cpu <= WAITS * wall:
            return dataclasses.replace(known, blocked=0.0 if self.in_loop else None)
        if not alone or self.in_loop or self.cpus == 1 or elapsed < BUDGET or (self.gil and beats is None):
            return None
        if beats is None or not self.gil:
            return dataclasses.replace(known, held=0.0)
        if beats.wall < elapsed / 2:
            return None
        most = (beats.held + beats.cpu - beats.seen) * elapsed / beats.wall  # what it has not seen may have been
        return dataclasses.replace(known, held=min(cpu, most)) if most < cpu / (2 * self.cpus) else None

    # ── steps out ────────────────────────────────────────────────────────────────────────────────────────────────────

    def next(self) -> Step:
        """What to measure now."""
        if not self.spans:
            return Run(1) if self.steps < MOST_STEPS else Enough("nothing could be measured")
        sample = self.sample()
        left = math.inf if self.left is None else max(0, self.left - len(self.spans) + 1)
        if left == 0:
            return Enough("there are no more items")
        if self.in_loop:
            return self._next_in_loop(sample)
        if sample.share < WAITS and sample.wall > LONG_WAIT:
            return Enough("it waits, and long: better to wait for many at once")
        if not self._telling[0].ok and self.steps < MOST_STEPS:
            return Run(self._step(sample.wall, left))  # what takes long may be to succeed
        if left * sample.wall < LEAST_GAIN and not self.thorough:
            return Enough(f"all that is left takes under {LEAST_GAIN} s")
        step = self._next_alone(sample, left)
        work = left * sample.wall / self.cpus
        budget = max(THOROUGH if self.thorough else BUDGET, BUDGET_SHARE * work if work < math.inf else 0.0)
        # what only the first call does had to be done in any case
        spent = self.spent - max(0.0, self.spans[0].ended - self.spans[0].started - sample.wall)
        if isinstance(step, Run | Pair) and spent + step.count * sample.wall > budget:
            why = f"probing has taken {in_time(spent)}, and another step would take {in_time(step.count * sample.wall)}"
            return Carry() if self._needs_carry(sample) else Enough(why)
        return step

    def _next_alone(self, sample: Sample, left: float) -> Step:
        """Warm items, with the heartbeat where they compute; then two at once; then what one weighs."""
        computes = sample.cpu > COMPUTES * sample.wall or left * sample.cpu > MATTERS * LEAST_GAIN
        if not computes and sample.wall > WAITING and sample.share < WAITS:
            # one more, which is warm, tells that; how long exactly is the limit's affair
            return Run(1) if self._telling[0] is self.spans[0] and self.steps < MOST_STEPS else Enough("it waits")
        if not self._steady() and self.steps < MOST_STEPS:
            return Run(self._step(sample.wall, left), beat=computes and self.gil and self.cpus > 1)
        if computes and self.cpus > 1:
            if self.gil and not self._seen_enough and self.steps < MOST_STEPS:
                return Run(self._step(sample.wall, left), beat=True)
            # waiting items pair well in any case
            if self._pairs < self._most_pairs and left >= 4 and sample.cpu > COMPUTES * sample.wall:
                return Pair(max(1 if self._few is None else 2, self._step(sample.wall, left) // 2))
        return Carry() if self._needs_carry(sample) else Enough("enough is known")

    def _next_in_loop(self, sample: Sample) -> Step:
        """A few at once, then more, until the loop was watched for a while: what is inside a blocked loop is stuck there."""
        if self.steps > 1 and (self.spent >= LONG_WAIT or self.steps >= MOST_STEPS or sample.wall < 0.001):
            return Carry() if self._needs_carry(sample) else Enough("enough is known")
        if sample.wall > LONG_WAIT and sample.share < WAITS and (sample.blocked or 0.0) < COMPUTES:
            return Enough("it waits, and long: better to wait for many at once")
        blocks = (sample.blocked or 0.0) > BLOCKS and sample.wall > WAITING
        if blocks and self.steps > 1:
            return Carry() if self._needs_carry(sample) else Enough("enough is known")
        if blocks and sample.wall > LONG_BLOCK:
            return Run(1)  # one after another they would go by; the first call may have blocked for an import
        return Run(2 ** (self.steps + 1) if sample.wall > 0.001 else 64)

    @property
    def _seen_enough(self) -> bool:
        """Whether the heartbeat knows of enough that was computed who held the GIL."""
        return self.beats is not None and self.beats.seen >= min(PLENTY, max(TURN, SEEN * self._watched))

    @property
    def _most_pairs(self) -> int:
        """More than one, where two threads were in each other's way and nobody held the GIL: that may have been by chance."""
        free = self._seen_enough and self.beats is not None and self.beats.share < 0.5
        doubtful = free and (self.gain or 0.0) < FREE
        return (MOST_PAIRS if self.thorough else 2) if doubtful else 1

    def _needs_carry(self, sample: Sample) -> bool:
        if self.carriage is not None or self.cpus == 1:
            return False
        if self.gain is not None and sample.held is not None and sample.held * self.cpus <= sample.cpu and not self.thorough:
            return False  # threads fill the cores, processes could do no more; to load a pickler takes some 20 ms
        if sample.blocked and sample.blocked > COMPUTES and sample.wall > 0.001:
            return True
        much = self.left is None or self.left * sample.total > LEAST_GAIN or self.thorough
        return much and sample.total > WAITS * sample.wall

    def _steady(self) -> bool:
        """Whether the warm items' mean is known well enough. One step of many items is."""
        telling = self._telling
        if telling[0] is self.spans[0]:  # none since has told anything
            return False
        walls = [span.wall for span in telling]
        if len(walls) == 1:
            return walls[0] >= STEP  # a short one may have been lucky
        mean, deviation = _mean_and_deviation(walls)
        return deviation / math.sqrt(len(walls) - 1) <= STEADY * mean

    def _step(self, wall: float, left: float) -> int:
        """How many items fill a step: none may take a large share of all there are."""
        some = math.ceil(STEP / max(wall, STEP / MOST_ITEMS))
        return max(1, min(some, MOST_ITEMS, math.ceil(ITEMS_SHARE * left) if left < math.inf else MOST_ITEMS))

    @property
    def _busy(self) -> float:
        """The share of the time in which items wanted a core and had none."""
        took = sum(span.ended - span.started for span in self.spans)
        return min(1.0, sum(span.queued for span in self.spans) / max(took, LEAST_BUSY))

    # ── what it amounts to ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _telling(self) -> list[Span]:
        """The items that tell what the others will take."""
        warm, first = self.spans[1:], self.spans[:1]
        return next((some for some in ([s for s in warm if s.ok], [s for s in first if s.ok], warm) if some), first)

    def _mean(self) -> Span:
        """The mean item, of those that succeeded and are warm where there are such: (0, wall, cpu, queued)."""
        spans = self._telling
        if not spans:
            return Span(0.0, 0.0, 0.0)
        if len(spans) >= ONE_IN and self._busy > BUSY and sum(span.cpu for span in spans) < SHORT * len(spans):
            spans = sorted(spans, key=lambda span: span.cpu)[: len(spans) - len(spans) // ONE_IN]
        count = len(spans)
        wall = sum(span.ended - span.started for span in spans) / count
        return Span(0.0, wall, sum(span.cpu for span in spans) / count, sum(span.queued for span in spans) / count)

    def sample(self) -> Sample:
        """All that is known, an item."""
        mean = self._mean()
        count = max(1, len(self.spans))
        took = sum(span.ended - span.started for span in self.spans)
        spans = self.spans[self._apart :]
        pool, children = self._pool(spans), self._children_cpu / max(1, len(spans) + self._beside)
        held = self._held(mean)
        walls = [span.wall for span in self._telling]
        average, deviation = _mean_and_deviation(walls)
        spread = deviation / average if average > 0 else 0.0
        # items that share a loop delay each other: the quickest is nearest to what one takes alone
        wall = min(walls, default=0.0) if self.in_loop else mean.wall
        return Sample(
            wall=wall,
            blocked=min(1.0, self._late / (count * wall)) if self.in_loop and wall > 0 else None,
            cpu=mean.cpu,
            stuck=self.carriage.stuck if self.carriage else None,
            elsewhere=pool + children,
            pool=pool,
            held=held,
            gain=self.gain,
            inflation=self.inflation,
            stretch=self.beats.stretch if self.beats else 0.0,
            cold=self.spans[0].wall if self.spans else None,
            spread=spread,
            carry=self.carriage,
            growth=self._grown,
            busy=self._busy,
            items=len(self.spans) + self._beside,
            failed=self._failed,
            error=self._error,
            failed_together=self._failed_together,
            cost=max(0.0, self.spent - took - self._beside_took),
        )

    def _pool(self, spans: Sequence[Span]) -> float:
        """CPU seconds an item in a thread pool of its own, which show in the process's; below that much it may be our own
        overhead. It would work for two at once as well: what does not is something else, such as numpy's threads, which spin
        for 45 ms once they are started."""
        own = sum(span.cpu for span in spans)
        pool = self._process_cpu - own
        if pool <= 0.3 * own + 0.003 * self.steps + 10e-6 * len(spans):
            return 0.0
        pool /= max(1, len(spans))
        return min(pool, max(0.0, self._besides / self._beside)) if self._beside else pool

    def _held(self, mean: Span) -> float | None:
        """Seconds an item holds the GIL. The heartbeat knows; where it has not seen enough, the pair says what it can.

        Two threads whose items hold the GIL for h of their c CPU seconds finish min(2/w, 1/h) items a second, so a gain of g
        over one thread means h = w/g, as long as it is the GIL that limits them. It may be a lock of the function's own,
        memory, or other programs.
        """
        if not self.gil:
            return 0.0
        side_by_side = self.gain is not None and self.gain >= FREE and self._busy <= BUSY
        if self.beats is not None and self._seen_enough:
            beats = self.beats.share * mean.cpu
            return min(mean.cpu / 2, beats) if side_by_side else beats
        if self.gain is None:
            return None
        return mean.cpu / 2 if side_by_side else min(mean.cpu, mean.wall / max(1.0, self.gain))


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Of these alone, not of what they are a sample of. (`statistics` takes longer to import than most steps.)"""
    mean = math.fsum(values) / max(1, len(values))
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / max(1, len(values)))


def gain_of_two(alone: Span, one: Together, other: Together) -> tuple[float | None, float]:
    """(two threads' throughput ÷ one's, CPU an item ÷ alone), or (None, 1) where that cannot be told.

    A thread is computing, or waits for a core, or waits for something else; what `alone` waits for is known. The rest of the
    two threads' time is what they cost each other: nothing when they run side by side; when they take turns, at least as
    long as the one with less to do took, since one of them was waiting for the GIL meanwhile. Counted from when both were
    given work, so that a thread which cannot even begin is seen; time without a core counts as work, so that other
    programs do not count at all.
    """
    less = min(one.busy, other.busy)
    if not one.items or not other.items or alone.cpu <= 0 or less < TURN:
        return None, 1.0
    idle = max(0.0, alone.wall - alone.cpu)
    stalled = sum(max(0.0, each.took - each.busy - each.items * idle) for each in (one, other))
    # a hundred microseconds are what waking a thread takes
    gain = 2.0 - min(1.0, max(0.0, stalled - 0.0002) / less)
    inflation = (one.cpu + other.cpu) / (one.items + other.items) / alone.cpu
    inflation = inflation if inflation >= DEARER and one.items + other.items >= ENOUGH_ITEMS else 1.0
    return gain / inflation, inflation


def no_more_than(cpu: float, spans: Sequence[Span]) -> list[Span]:
    """The items of a step, which have not used more CPU than the whole process has meanwhile: where some are too short to be
    looked at one by one, what they have used is assumed to be as before, also when they begin to wait."""
    claimed = sum(span.cpu for span in spans)
    if claimed <= cpu:
        return list(spans)
    return [span._replace(cpu=span.cpu * cpu / claimed) for span in spans]


def in_turns(spans: Sequence[Span]) -> bool:
    """Whether items that were given to one event loop at once ran one after another, as they do when they block it.

    No clock is in this, so that it holds for items too short for the loop's ticker and on a busy machine. What waits has begun
    before any of them ends, even when they wait for each other. Fewer than four might do so by chance.
    """
    ordered = sorted(spans)
    return len(ordered) >= 4 and all(one.ended <= other.started for one, other in itertools.pairwise(ordered))
