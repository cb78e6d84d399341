"""What the first items told: readings of single steps, and the `Sample` that they amount to. Values only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Beats", "Carriage", "Reading", "Sample", "Span", "Together"]


class Span(NamedTuple):
    """One item as its worker reported it; `queued` are the seconds its thread wanted a core and had none; one that failed (not
    `ok`) says little of what the others take."""

    started: float
    ended: float
    cpu: float
    queued: float = 0.0
    ok: bool = True

    @property
    def wall(self) -> float:
        """Seconds it would have taken on an idle machine."""
        return max(self.ended - self.started - self.queued, self.cpu, 0.0)


class Together(NamedTuple):
    """One of two threads that ran at once: `items`, in `took` seconds from when it was given them until the last ended,
    `cpu` of which it computed and `queued` it waited for a core."""

    items: int
    took: float
    cpu: float
    queued: float = 0.0

    @property
    def busy(self) -> float:
        return min(self.took, self.cpu + self.queued)

    def then(self, later: Together) -> Together:
        """This, and another time after it."""
        items, took = self.items + later.items, self.took + later.took
        return Together(items, took, self.cpu + later.cpu, self.queued + later.queued)


class Beats(NamedTuple):
    """What the heartbeat saw in `wall` seconds, with `count` naps that ended `late` by so many in all: of `cpu` seconds that
    were computed meanwhile it knows for `seen` who had the GIL, and for `held` that it was the one who computed."""

    count: int = 0  # type: ignore[assignment]  # hides tuple.count, on purpose
    late: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0
    seen: float = 0.0
    held: float = 0.0

    def plus(self, other: Beats) -> Beats:
        """Both."""
        return Beats(
            self.count + other.count,
            self.late + other.late,
            self.wall + other.wall,
            self.cpu + other.cpu,
            self.seen + other.seen,
            self.held + other.held,
        )

    @property
    def share(self) -> float:
        """Of what it has seen of computing, with the GIL held."""
        return min(1.0, self.held / self.seen) if self.seen > 0 else 0.0

    @property
    def stretch(self) -> float:
        """Seconds it was held at a time, on average."""
        return self.late / self.count if self.count else 0.0


class Carriage(NamedTuple):
    """One argument and its result pickled: bytes, and the seconds for both. `stuck` says why it cannot go, if so; `function`
    are the bytes of what goes once a worker."""

    nbytes: int = 0
    seconds: float = 0.0
    stuck: str | None = None
    function: int = 0


class Reading(NamedTuple):
    """One step: its items, the CPU of the whole process and of ended children meanwhile, heartbeat, memory, and how late
    the event loop was, if it ran in one."""

    spans: Sequence[Span] = ()
    process_cpu: float = 0.0
    children_cpu: float = 0.0
    beats: Beats | None = None
    grown: int = 0
    failed: int = 0
    error: str | None = None
    late: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one item. Times are seconds an item; None is "not measured".

    `wall`; `cpu`, of the thread that ran it; `elsewhere`, CPU in child processes and in thread pools of its own, of which
    `pool` is the latter; `held`, with the GIL; `gain`, two threads' throughput ÷ one's; `inflation`, CPU an item in that pair
    ÷ alone; `stretch`, how long the GIL was held at a time; `blocked`, the share of its time in which its event loop could do
    nothing else; `cold`, the first item's wall; `spread`, standard deviation ÷ mean; `carry`; `growth`, bytes of memory;
    `busy`, the share of the time in which it wanted a core and had none; `items` measured, of which `failed` did, with the
    last `error`; `failed_together` did while two threads ran at once, and none before; `unfinished`: it still ran when this
    was taken, so `wall` is the least it can be; `cost`, seconds that probing took beyond its items.
    """

    wall: float
    cpu: float
    stuck: str | None = None
    elsewhere: float = 0.0
    pool: float = 0.0
    held: float | None = None
    gain: float | None = None
    inflation: float = 1.0
    stretch: float = 0.0
    blocked: float | None = None
    cold: float | None = None
    spread: float = 0.0
    carry: Carriage | None = None
    growth: int = 0
    busy: float = 0.0
    items: int = 1
    failed: int = 0
    error: str | None = None
    failed_together: int = 0
    unfinished: bool = False
    cost: float = 0.0

    @property
    def total(self) -> float:
        """CPU seconds an item, wherever they were spent."""
        return self.cpu + self.elsewhere

    @property
    def share(self) -> float:
        """Of its time, it computes; over 1 with threads of its own."""
        return self.total / self.wall if self.wall > 0 else 1.0
