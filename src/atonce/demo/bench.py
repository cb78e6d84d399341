"""How things are measured: runs that must succeed, rounds in turn, medians, peaks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import atonce

from ..outcome import Outcome, Run
from .machine import Machine

__all__ = ["Bench", "busy", "bytes_for", "medians", "peak", "steps_for", "timed", "wall", "warm"]

# What the environment (ATONCE_PARALLELISM, …) may say about other runs must not reach these.
_NEUTRAL: Mapping[str, Any] = {"parallelism": "auto", "concurrency": "auto", "timeout": None}
_MOST_HANDS = 4  # so that a machine with 64 cores does not spend the minute on starting 64 processes


@dataclass(frozen=True, slots=True)
class Bench:
    """What a measure function is given. `step` says what goes on now; `quick` asks for the smallest amounts."""

    machine: Machine
    step: Callable[[str], None]
    quick: bool = False

    @property
    def hands(self) -> int:
        """Threads or processes that compute at the same time: a core each, but two at least and not too many."""
        return max(2, min(self.machine.cores, _MOST_HANDS))

    def rounds(self, wanted: int) -> int:
        return 1 if self.quick else wanted

    def amount(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def warm() -> None:
    """Pay now for what only the first use of something costs: imports, an event loop, the process that starts workers."""
    import aiohttp  # noqa: F401
    import requests  # noqa: F401

    from ..lab import work

    for model in ("sync", "threads", "coroutines", "processes"):
        # what cannot be started here is told by the claims that need it
        with contextlib.suppress(Exception):
            wall(work.anoop if model == "coroutines" else work.noop, [0], model=model)


def timed(fn: Callable[..., Any], items: Iterable[Any], **options: Any) -> tuple[float, Run[Any]]:
    """Seconds that `atonce.run` took, and what it gave. Raises an item's error: half a measurement is none."""
    begin = time.perf_counter()
    run = atonce.run(fn, items, **{**_NEUTRAL, **options})
    seconds = time.perf_counter() - begin
    for failure in run.failures:
        failure.unwrap()
    return seconds, run


def wall(fn: Callable[..., Any], items: Iterable[Any], **options: Any) -> float:
    return timed(fn, items, **options)[0]


def busy(fn: Callable[..., Any], items: Iterable[Any], **options: Any) -> tuple[float, float]:
    """Seconds that `atonce.run` took, and how many cores this process kept busy meanwhile."""
    cpu = time.process_time()
    seconds = wall(fn, items, **options)
    return seconds, (time.process_time() - cpu) / seconds


def medians(rounds: int, *ways: Callable[[], float]) -> tuple[float, ...]:
    """The median of each way over `rounds` rounds. A round has all of them, so a busy moment meets each alike."""
    taken = [[way() for way in ways] for _ in range(rounds)]
    return tuple(median(times) for times in zip(*taken, strict=True))


def peak(outcomes: Iterable[Outcome[Any]]) -> int:
    """How many of these were in flight at once, at most."""
    # at the same instant an end comes before a start (False before True): one after another is not at once
    edges = sorted(edge for outcome in outcomes for edge in ((outcome.started, True), (outcome.ended, False)))
    now = most = 0
    for _, starts in edges:
        now += 1 if starts else -1
        most = max(most, now)
    return most


def steps_for(seconds: float) -> int:
    """The n for which `work.count(n)` takes about this long here: the best of a few tries, nobody else's pauses."""
    from ..lab.work import count

    n = 100_000
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        count(n)
        best = min(best, time.perf_counter() - begin)
    return max(1, int(n * seconds / best))


def bytes_for(seconds: float) -> int:
    """Bytes for which `work.digest` takes about this long here, likewise."""
    from ..lab.work import digest

    n = 4_000_000
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        digest(n)
        best = min(best, time.perf_counter() - begin)
    return int(n * seconds / best)
