"""Figures of a story: what happens over time, how long attempts take, what fails, what is slow. Pure."""

from __future__ import annotations

import heapq
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from .story import FAILED, OK, RETRIED, Failure, Story

__all__ = ["Thinned", "failures", "histogram", "lane_order", "load", "over_time", "percentiles", "slowest", "steps", "thin"]

BINS = 240  # of time: more than a pixel each on paper
KINDS = 50  # of failures told apart
_URL = re.compile(r"https?://[^\s<>'\"]+")  # also in what a Request is shown as
PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


def over_time(story: Story, bins: int | None = None) -> dict[str, list[float]]:
    """For each of equally long spans of time: items that ended well and that failed a second, attempts in flight, cores
    computing, and how many might have been in flight. `at` is the middle of a span."""
    attempts = story.attempts
    bins = bins or max(24, min(BINS, len(attempts) // 6))  # a few attempts in each, or a rate would be noise
    width = max(story.seconds, 1e-6) / bins
    ok, failed = [0.0] * bins, [0.0] * bins
    for end, state in zip(attempts.end, attempts.state, strict=True):
        counts = ok if state == OK else failed
        counts[min(bins - 1, max(0, int(end / width)))] += 1 / width
    busy = (cpu / (end - start) if end > start else 0.0 for start, end, cpu in _times(story))
    return {
        "at": [(number + 0.5) * width for number in range(bins)],
        "ok": ok,
        "failed": failed,
        "flight": load(attempts.start, attempts.end, (1.0 for _ in attempts.start), bins, width),
        "cores": load(attempts.start, attempts.end, busy, bins, width),
        "limit": _limit(story, bins, width),
    }


def _times(story: Story) -> Iterable[tuple[float, float, float]]:
    return zip(story.attempts.start, story.attempts.end, story.attempts.cpu, strict=True)


def load(starts: Sequence[float], ends: Sequence[float], weights: Iterable[float], bins: int, width: float) -> list[float]:
    """The mean over each span of the sum of the weights of what was under way: exact, by one pass."""
    part, change = [0.0] * bins, [0.0] * (bins + 1)
    last = bins - 1
    for start, end, weight in zip(starts, ends, weights, strict=True):
        first, final = min(last, max(0, int(start / width))), min(last, max(0, int(end / width)))
        if first == final:
            part[first] += weight * (end - start)
        else:
            part[first] += weight * ((first + 1) * width - start)
            part[final] += weight * (end - final * width)
            change[first + 1] += weight
            change[final] -= weight
    under_way, means = 0.0, []
    for number in range(bins):
        under_way += change[number]
        means.append(max(0.0, under_way + part[number] / width))
    return means


def steps(story: Story) -> list[tuple[float, int]]:
    """(at, how many might be in flight from then on): as the limit moved, else as workers got slots, else as was planned. Empty
    where it adapted and nobody knows how."""
    slots = int(story.plan.get("parallelism") or 0) * int(story.plan.get("concurrency") or 0)
    moves = [(move.at, move.limit) for move in story.history.moves if not move.key]
    if moves:
        return [(0.0, slots), *moves] if slots else moves
    if story.slots:
        return story.slots
    return [(0.0, slots)] if slots and story.plan.get("most") is None else []


def _limit(story: Story, bins: int, width: float) -> list[float]:
    found = steps(story)
    times = [at for at, _ in found]
    return [float(found[max(0, bisect_right(times, (number + 0.5) * width) - 1)][1]) for number in range(bins)] if found else []


def percentiles(values: Sequence[float]) -> list[tuple[str, float]]:
    """(name, seconds), by nearest rank; none of nothing."""
    if not values:
        return []
    ranked = sorted(values)
    found = [(f"p{share:g}", ranked[max(0, math.ceil(share / 100 * len(ranked)) - 1)]) for share in PERCENTILES]
    return [("min", ranked[0]), *found, ("max", ranked[-1]), ("mean", math.fsum(ranked) / len(ranked))]


def histogram(values: Sequence[float], bins: int = 40) -> dict[str, list[float]]:
    """How many values are in each of spans that grow by a factor; `edges` is one longer than `counts`."""
    if not values:
        return {"edges": [], "counts": []}
    low, high = max(1e-7, min(values)), max(1e-7, max(values))
    if high / low < 1.2:  # all alike: a single bar says so, if it is not as wide as the picture
        low, high = low / 1.5, high * 1.5
    step = math.log(high / low) / bins
    counts = [0.0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(math.log(max(value, 1e-7) / low) / step)))] += 1
    return {"edges": [low * math.exp(number * step) for number in range(bins + 1)], "counts": counts}


def failures(story: Story) -> list[Failure]:
    """By class and host, the most frequent first; rare kinds beyond `KINDS` are counted together."""
    attempts = story.attempts
    found: dict[tuple[str, str], list[Any]] = {}
    told = [
        (attempts.labels.get(position, str(attempts.index[position])), error)
        for position, error in attempts.errors.items()
        if attempts.state[position] == FAILED
    ]
    told += story.elsewhere.values()
    for item, text in told:
        kind, _, message = text.partition(":")
        key = (kind.strip().removeprefix("atonce.errors."), _host(item))
        if key not in found and len(found) >= KINDS:
            key = ("other", "")
        found.setdefault(key, [0, item, message.strip()])[0] += 1
    rows = (Failure(kind, host, *rest) for (kind, host), rest in found.items())
    return sorted(rows, key=lambda failure: -failure.items)


def _host(item: str) -> str:
    found = _URL.search(item)
    try:
        return urlsplit(found[0]).hostname or "" if found else ""
    except ValueError:
        return ""


def slowest(story: Story, count: int = 12) -> list[int]:
    """Positions of the attempts that took longest."""
    return heapq.nlargest(count, range(len(story.attempts)), key=story.attempts.seconds)


def lane_order(story: Story) -> list[int]:
    """Positions of the lanes from top to bottom: worker by worker, slot by slot."""
    return sorted(range(len(story.lanes)), key=lambda lane: story.lanes[lane])


class Thinned:
    """What the timeline draws, by lane and start: each attempt, or, where `thinned`, spans in which a lane was hardly idle."""

    def __init__(self, thinned: bool) -> None:
        self.thinned = thinned
        self.lane: list[int] = []
        self.start: list[float] = []
        self.end: list[float] = []
        self.cpu: list[float] = []
        self.wall: list[float] = []  # seconds of attempts in it: less than end - start where it was idle between two
        self.state: list[int] = []
        self.count: list[int] = []
        self.position: list[int] = []  # of the (first) attempt


def thin(story: Story, room: int = 100_000) -> Thinned:
    """All attempts while there is room for them; beyond that, runs of neighbours of a lane as one, down to a span of time
    that leaves no more than `room`. A failure is never hidden in a span of successes: a span has the worst of its states."""
    attempts, order = story.attempts, lane_order(story)
    rank = {lane: number for number, lane in enumerate(order)}
    ranked = sorted(range(len(attempts)), key=lambda position: (rank[attempts.lane[position]], attempts.start[position]))
    whole = len(ranked) <= room
    span = 0.0 if whole else story.seconds / max(20, room // (2 * max(1, len(order))))
    found = Thinned(thinned=not whole)
    worst = {OK: 0, RETRIED: 1, FAILED: 2}
    for position in ranked:
        lane, start, end = rank[attempts.lane[position]], attempts.start[position], attempts.end[position]
        if (
            span
            and found.lane
            and found.lane[-1] == lane
            and end - found.start[-1] <= span
            and worst[found.state[-1]] >= worst[attempts.state[position]]
        ):
            found.end[-1] = max(found.end[-1], end)
            found.cpu[-1] += attempts.cpu[position]
            found.wall[-1] += end - start
            found.count[-1] += 1
            continue
        found.lane.append(lane)
        found.start.append(start)
        found.end.append(end)
        found.cpu.append(attempts.cpu[position])
        found.wall.append(end - start)
        found.state.append(attempts.state[position])
        found.count.append(1)
        found.position.append(position)
    return found
