"""Which points of the grid are tried, and what their times amount to. Pure: nothing here runs anything."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Choice", "Result", "Summary", "Widths", "finalists", "grid", "result_of", "summary_of"]

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# Points in a row that are not better than their model's best by this share: there is nothing further on in that direction.
BETTER, IN_A_ROW = 0.03, 2
# As many times as slow as the best of all: not waited for; and so near to it that it comes into the final.
FAR, NEAR = 1.5, 1.2
# Points of the final, besides the one that auto chose.
MOST = 3


class Choice(NamedTuple):
    """A point of the grid, or "auto"."""

    model: str
    parallelism: int = 1
    concurrency: int = 1

    @property
    def options(self) -> dict[str, Any]:
        """As keywords of `atonce.run`."""
        match self.model:
            case "threads" | "coroutines":
                return {"model": self.model, "concurrency": self.concurrency}
            case "processes":
                return {"model": self.model, "parallelism": self.parallelism}
            case "hybrid":
                return {"model": self.model, "parallelism": self.parallelism, "concurrency": self.concurrency}
        return {"model": self.model}

    def __str__(self) -> str:
        return self.model if self.model in ("auto", "sync") else f"{self.model} {self.parallelism}×{self.concurrency}"


AUTO = Choice("auto")


def grid(n: int, cpus: int, *, is_async: bool, coarse: bool = False) -> dict[str, list[Choice]]:
    """The points of each model, narrow to wide; `coarse`: every second width."""
    widths = [width for width in WIDTHS[:: 2 if coarse else 1] if width <= 2 * n]
    points = {
        "sync": [Choice("sync")],
        "threads": [Choice("threads", 1, width) for width in widths],
        "processes": [Choice("processes", width) for width in WIDTHS if width <= (cpus if coarse else 2 * cpus)],
        "hybrid": [Choice("hybrid", cpus, width) for width in widths if width > 1],
    }
    if is_async:
        points["coroutines"] = [Choice("coroutines", 1, width) for width in widths]
    return points


class Widths:
    """A model's points from about `start` in flight on: wider ones, then narrower ones, each way until nothing is gained.

    From where auto ended, since of what waits the narrow ones take for ever, and of what computes there may be no end of wide
    ones.
    """

    def __init__(self, points: Sequence[Choice], start: int = 1) -> None:
        first = max((n for n, point in enumerate(points) if point.parallelism * point.concurrency <= start), default=0)
        self._ways = [list(points[first:]), list(reversed(points[:first]))]
        self._best = math.inf
        self._flat = 0

    def next(self) -> Choice | None:
        """The next point to run, None when it is over."""
        while self._ways and (not self._ways[0] or self._flat >= IN_A_ROW):
            self._ways.pop(0)
            self._flat = 0
        return self._ways[0].pop(0) if self._ways else None

    def took(self, seconds: float) -> None:
        """What the last one took; infinite where it was not waited for."""
        self._flat = 0 if seconds < (1 - BETTER) * self._best else self._flat + 1
        self._best = min(self._best, seconds)


def finalists(once: Mapping[Choice, float], chosen: Choice) -> list[Choice]:
    """Who takes turns with auto: the point that it chose, and three at most of these: the best of each model, where it is near
    the best of all, and the runner-up of the best model."""
    done = {point: seconds for point, seconds in once.items() if math.isfinite(seconds)}
    if not done:
        return [chosen]
    ranked = sorted(done, key=lambda point: done[point])
    best = ranked[0]
    near = [point for point in ranked if done[point] <= NEAR * done[best]]
    of_each = {point.model: point for point in reversed(near)}.values()
    second = [point for point in near[1:] if point.model == best.model][:1]
    finals = dict.fromkeys([best, *sorted(of_each, key=lambda point: done[point]), *second])
    return list(dict.fromkeys([*list(finals)[:MOST], chosen]))


class Result(NamedTuple):
    """A workload's medians. `regret` is `auto` ÷ `seconds` of `best`, and the product of the other three; infinite where
    `auto` did not end; 1 where nothing else did. `in_line`: seconds of sync, the least there is; None where it cannot be or
    took longer than was waited for. `others`: how many cores other programs used meanwhile.
    `coarse`: of every second width."""

    name: str
    n: int
    rounds: int
    auto: float
    chose: Choice
    best: Choice
    seconds: float
    regret: float
    model: float
    width: float
    overhead: float
    in_line: float | None
    once: dict[str, float]
    turns: dict[str, list[float]]
    why: tuple[str, ...] = ()
    others: float = 0.0
    coarse: bool = False

    @property
    def loss(self) -> float:
        """Seconds."""
        return self.auto - self.seconds

    @property
    def met(self) -> bool:
        """The goal: at most 1.5 times the best or 0.2 s more, and never slower than in line by more than 5 % and 0.2 s."""
        beside = self.in_line is None or self.auto <= 1.05 * self.in_line + 0.2
        return beside and (self.regret <= 1.5 or self.loss <= 0.2)

    @property
    def kind(self) -> str:
        """What most of the regret is, where there is some."""
        if self.regret <= 1.1:
            return ""
        parts = {"wrong model": self.model, "wrong width": self.width, "overhead": self.overhead}
        return max(parts, key=lambda part: parts[part])


def result_of(
    name: str,
    n: int,
    chosen: Choice,
    once: Mapping[Choice, float],
    turns: Mapping[Choice, Sequence[float]],
    why: Sequence[str] = (),
    others: float = 0.0,
) -> Result:
    """What single runs (`once`) and the final's turns of a workload amount to. Only the final counts: the best of many single
    runs would be the luckiest one."""
    medians = {point: statistics.median(seconds) for point, seconds in turns.items()}
    auto = medians.pop(AUTO)
    best = min(medians, key=lambda point: medians[point])
    same = min((point for point in medians if point.model == chosen.model), key=lambda point: medians[point])
    sync = min((seconds[Choice("sync")] for seconds in (once, medians) if Choice("sync") in seconds), default=math.inf)
    return Result(
        name,
        n,
        len(turns[AUTO]),
        auto,
        chosen,
        best,
        medians[best],
        _ratio(auto, medians[best]),
        _ratio(medians[same], medians[best]),
        _ratio(medians[chosen], medians[same]),
        _ratio(auto, medians[chosen]),
        sync if math.isfinite(sync) else None,
        {str(point): seconds for point, seconds in once.items()},
        {str(point): list(seconds) for point, seconds in turns.items()},
        tuple(why),
        others,
    )


def _ratio(one: float, other: float) -> float:
    """1 where neither ended."""
    return 1.0 if math.isinf(one) and math.isinf(other) else one / max(other, 1e-9)


class Summary(NamedTuple):
    """Over all workloads."""

    count: int  # type: ignore[assignment]  # hides tuple.count, on purpose
    geomean: float
    p90: float
    worst: float
    missed: tuple[str, ...]

    @property
    def met(self) -> bool:
        return self.geomean <= 1.1 and self.p90 <= 1.3 and not self.missed

    def __str__(self) -> str:
        text = f"geomean {self.geomean:.2f}, p90 {self.p90:.2f}, worst {self.worst:.2f}, of {self.count}"
        return text + (f"; beyond the goal: {', '.join(self.missed)}" if self.missed else "")


def summary_of(results: Sequence[Result]) -> Summary:
    """A workload where auto beats every hand-set choice counts as 1: that is luck, and must not pay for a loss elsewhere."""
    ordered = sorted(max(1.0, result.regret) for result in results)
    p90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
    missed = tuple(result.name for result in results if not result.met)
    return Summary(len(ordered), statistics.geometric_mean(ordered), p90, ordered[-1], missed)
