"""What the probe says of the functions behind a claim: how long an item takes, what it waits for, who holds the GIL."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import atonce

from ..lab import work
from ..plan.costs import KINDS_OF_WORK
from . import workload
from .bench import Bench, bytes_for, steps_for
from .servers import Servers

__all__ = ["SUBJECTS", "Probed", "Prober"]

# Enough for the probe to think it worth while; it runs a few of them.
MANY = 200
LATENCY = 0.02


@dataclass(frozen=True, slots=True)
class Probed:
    """`work` is one of `plan.costs.KINDS_OF_WORK`, `seen` the numbers in a sentence; `items` were run."""

    name: str
    work: str
    seen: str
    items: int

    def __str__(self) -> str:
        return f"The probe of {self.name}: {self.seen}. So {KINDS_OF_WORK.get(self.work, self.work)}."


@dataclass(frozen=True, slots=True)
class Subject:
    """A function with an item of its; without one (None) its items are URLs of a server."""

    fn: Callable[..., Any]
    item: Callable[[], Any] | None = None
    setup: Callable[[], Any] | None = None


SUBJECTS = {
    "noop": Subject(work.noop, lambda: 7),
    "nap": Subject(work.nap, lambda: 0.02),
    "anap": Subject(work.anap, lambda: 0.02),
    "count": Subject(work.count, lambda: steps_for(0.02)),
    "digest": Subject(work.digest, lambda: bytes_for(0.02)),
    "read_answer": Subject(workload.read_answer, lambda: 0.02),
    "raise_at": Subject(functools.partial(workload.raise_at, -1), lambda: 0),
    "get": Subject(workload.get, setup=workload.session),
    "get_anew": Subject(workload.get_anew),
    "aget": Subject(workload.aget, setup=workload.client),
    "get_and_compute": Subject(workload.get_and_compute, setup=workload.session),
}


class Prober:
    """Probes each function once a tour, when the first claim asks for it."""

    def __init__(self) -> None:
        self._known: dict[str, Probed] = {}

    def of(self, names: Sequence[str], bench: Bench) -> list[Probed]:
        for name in names:
            if name not in self._known:
                bench.step(f"the probe of {name}")
                self._known[name] = _probe(name, SUBJECTS[name])
        return [self._known[name] for name in names]


def _probe(name: str, subject: Subject) -> Probed:
    with _items(subject) as items:
        plan = atonce.explain(subject.fn, items, setup=subject.setup)
    return Probed(name, plan.work, plan.reasons[0], plan.ran)


@contextlib.contextmanager
def _items(subject: Subject) -> Iterator[list[Any]]:
    if subject.item is not None:
        yield [subject.item()] * MANY
        return
    with Servers(1, latency=LATENCY) as servers:
        yield servers.urls(MANY)
