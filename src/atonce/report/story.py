"""The story of a run as plain values: what was chosen, every attempt in its lane, what happened on the way: `Story`."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..engine.history import History
from ..plain import line

__all__ = ["FAILED", "OK", "RETRIED", "Attempts", "Failure", "Lane", "Moment", "Story"]

OK, FAILED, RETRIED = range(3)
# Attempts that have their item with them; of those after, only the ones that failed do: a page of more is an aggregate.
LABELLED = 100_000
WIDTH = 120  # characters of an item


class Lane(NamedTuple):
    """A row of the timeline: a slot of a worker, which is in a process."""

    worker: int
    slot: int
    pid: int


class Moment(NamedTuple):
    """Something that happened `at` seconds from the begin: a worker was hired, lost, …"""

    at: float
    kind: str
    text: str


class Failure(NamedTuple):
    """How many `items` failed in one way at one host ("" where items are no URLs), and what one of them was and said."""

    kind: str
    host: str
    items: int
    item: str
    message: str


class Attempts:
    """Attempts in columns: about sixty bytes each, and the item for as many as a page shows one by one.

    `start`, `end` and `cpu` are seconds; `lane` a position in `Story.lanes`; `state` one of OK, FAILED and RETRIED: failed,
    and tried again. `labels` and `errors` are by position.
    """

    def __init__(self) -> None:
        self.lane, self.index = array("l"), array("q")
        self.start, self.end, self.cpu = array("d"), array("d"), array("d")
        self.state = bytearray()
        self.labels: dict[int, str] = {}
        self.errors: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.state)

    def add(self, lane: int, index: int, start: float, end: float, cpu: float, label: str, error: str | None = None) -> int:
        """Its position."""
        position = len(self.state)
        self.lane.append(lane)
        self.index.append(index)
        self.start.append(start)
        self.end.append(max(start, end))
        self.cpu.append(max(0.0, cpu))
        self.state.append(OK if error is None else FAILED)
        if position < LABELLED or error is not None:
            self.labels[position] = line(label, WIDTH)
        if error is not None:
            self.errors[position] = line(error, 300)
        return position

    def failed(self, position: int, error: str) -> None:
        """It has turned out to be a failure."""
        self.state[position] = FAILED
        self.errors[position] = line(error, 300)

    def seconds(self, position: int) -> float:
        return self.end[position] - self.start[position]


@dataclass(slots=True)
class Story:
    """Seconds count from the begin of the run. `plan` is `Plan.as_json()` as far as known, `stats` a `Stats` as a dict; `slots`
    (at, how many might be in flight from then on); `history` what moved the limit, and memory; `elsewhere`, by index,
    (item, error) of what no attempt tells of, such as a worker's death. `whole` is false for a run whose trace does not
    have its end."""

    name: str = ""
    started: float | None = None  # time.time()
    plan: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    lanes: list[Lane] = field(default_factory=list)
    attempts: Attempts = field(default_factory=Attempts)
    moments: list[Moment] = field(default_factory=list)
    slots: list[tuple[float, int]] = field(default_factory=list)
    history: History = field(default_factory=History)
    elsewhere: dict[int, tuple[str, str]] = field(default_factory=dict)
    whole: bool = True
    last_only: bool = False  # of an item that was tried several times only the last attempt is known
    command: str = ""
    settings: dict[str, str] = field(default_factory=dict)  # options that were given, as they would be written

    @property
    def seconds(self) -> float:
        """Until the end, or until what happened last."""
        ends = max(self.attempts.end, default=0.0)
        return max(float(self.stats.get("seconds") or 0.0), ends, max((moment.at for moment in self.moments), default=0.0))
