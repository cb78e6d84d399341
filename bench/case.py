"""What is measured: a case is a row of the table, a contender one program that does the case's work.

A contender is a generator function of the number of items: it imports and warms what it needs, then yields a function
that does the work once and returns how many results came, or what counts them when the clock has stopped. What follows
the `yield` is cleaning up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Literal

__all__ = ["OURS", "Case", "Contender", "Once", "Skip", "Target", "count"]

OURS = "ours"

Once = Callable[[], int | Callable[[], int]]
Contender = Callable[[int], Iterator[Once]]
Unit = Literal["µs", "ms", "s", "MB"]


class Skip(Exception):
    """The case cannot be measured on this machine; the text says what is missing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What decides, out of one round's figures (less is better).

    - cost: ours ÷ peer, at most `limit`
    - speed: peer ÷ ours, at least `limit`
    - extra: ours − peer, at most `limit` of the case's unit
    - most: ours alone, at most `limit`; peers are shown as ours ÷ peer
    """

    kind: Literal["cost", "speed", "extra", "most"]
    limit: float

    def figure(self, ours: float, peer: float) -> float:
        """The figure beside a peer."""
        if self.kind == "extra":
            return ours - peer
        return peer / ours if self.kind == "speed" else ours / peer

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.kind == "speed" else figure <= self.limit


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One row: `ours` beside `peers`, of which the first decides and the others are for information.

    `unit`: µs is per item, the others are for the whole. `fresh`: each turn is the first of a new process. `place`
    opens what all contenders need, such as a server, and gives environment variables that tell them about it.
    """

    name: str
    what: str
    n: int
    quick_n: int
    unit: Unit
    target: Target
    ours: Contender
    peers: dict[str, Contender]
    fresh: bool = False
    place: Callable[[], AbstractContextManager[dict[str, str]]] | None = None

    def contender(self, name: str) -> Contender:
        return self.ours if name == OURS else self.peers[name]

    @property
    def names(self) -> list[str]:
        return [OURS, *self.peers]

    def in_unit(self, measured: float, n: int) -> float:
        """From seconds, or bytes, for all `n` items."""
        if self.unit == "µs":
            return measured / n * 1e6
        return measured * {"ms": 1e3, "s": 1.0, "MB": 1e-6}[self.unit]


def count(results: Iterable[object]) -> int:
    """How many there are; each is let go at once."""
    total = 0
    for _ in results:
        total += 1
    return total
