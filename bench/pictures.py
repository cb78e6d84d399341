"""`python -m bench.pictures [NAME…]`: the pictures of the concepts, into docs/images.

A picture is one function: it measures on this machine, then draws what it has measured. A busy machine draws another one.
"""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import atonce
from atonce.lab import Lab
from atonce.plan.plan import where_time_goes

from .machine import facts

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"

COMPUTING, WAITING, LINE = "#c2410c", "#93c5fd", "#1d4ed8"
ROUNDS = 3


def _compute(seconds: float) -> None:
    """Holds the GIL for so much CPU time of its thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def _request(item: int) -> tuple[float, float, float]:
    """Computes 12 ms, waits 40 ms, as a request with its parsing does; says when it began each, and ended."""
    began = time.monotonic()
    _compute(0.012)
    waits = time.monotonic()
    time.sleep(0.04)
    return began, waits, time.monotonic()


async def _request_async(item: int) -> tuple[float, float, float]:
    began = time.monotonic()
    _compute(0.012)
    waits = time.monotonic()
    await asyncio.sleep(0.04)
    return began, waits, time.monotonic()


def two_axes(plt: Any) -> Any:
    """The same twenty-four items at four points of the two axes, a bar for each item in the slot that ran it."""
    points: list[tuple[str, Callable[[int], Any], dict[str, Any]]] = [
        ("1 × 1  sync", _request, {"model": "sync"}),
        ("1 × 4  coroutines: one thread switches", _request_async, {"model": "coroutines", "concurrency": 4}),
        ("2 × 1  processes: two at the same time", _request, {"model": "processes", "parallelism": 2}),
        ("2 × 4  hybrid: both", _request_async, {"model": "hybrid", "parallelism": 2, "concurrency": 4}),
    ]
    runs = [(title, atonce.run(fn, range(24), **options)) for title, fn, options in points]
    figure, axes = plt.subplots(len(runs), sharex=True, figsize=(9, 6), layout="constrained")
    for axis, (title, run) in zip(axes, runs, strict=True):
        slots = sorted({outcome.worker for outcome in run.outcomes}, key=lambda worker: (worker.pid, worker.slot))
        zero = min(outcome.value[0] for outcome in run.outcomes)
        for outcome in run.outcomes:
            began, waits, ended = (mark - zero for mark in outcome.value)
            row = slots.index(outcome.worker)
            axis.barh(row, waits - began, left=began, height=0.7, color=COMPUTING)
            axis.barh(row, ended - waits, left=waits, height=0.7, color=WAITING)
        took = max(outcome.value[2] for outcome in run.outcomes) - zero
        axis.set_title(f"{title}: {took:.2f} s", loc="left", fontsize=10)
        axis.set(yticks=[], ylim=(len(slots) - 0.4, -0.6), ylabel=f"{len(slots)} slot{'s' if len(slots) > 1 else ''}")
    axes[-1].set_xlabel("seconds since the first item began · orange: computing · blue: waiting")
    return figure


def _loop(item: int) -> int:
    return sum(number * number for number in range(200_000))


def _digest(item: int) -> bytes:
    return hashlib.sha256(bytes(8_000_000)).digest()


def _nap(item: int) -> None:
    time.sleep(0.01)


def gil(plt: Any) -> Any:
    """How much faster two threads and two processes are than one after another, for three kinds of work."""
    kinds = [("computes in Python\n(holds the GIL)", _loop), ("sha256\n(releases it)", _digest), ("waits", _nap)]
    ways = [("2 threads", {"model": "threads", "concurrency": 2}), ("2 processes", {"model": "processes", "parallelism": 2})]
    figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for number, (_, fn) in enumerate(kinds):
        alone = _median_of(lambda fn=fn: _span(fn, {"model": "sync"}))
        for place, (name, options) in enumerate(ways):
            gain = alone / _median_of(lambda fn=fn, options=options: _span(fn, options))
            bar = axis.bar(number + place * 0.36 - 0.18, gain, 0.32, color=(WAITING, COMPUTING)[place], label=name)
            axis.bar_label(bar, [f"{gain:.2f} ×"], fontsize=9)
    axis.axhline(1, color="0.6", linewidth=1)
    axis.set_xticks(range(len(kinds)), [name for name, _ in kinds])
    axis.set(ylabel="as fast as sync", ylim=(0, 2.4))
    axis.legend(*[each[: len(ways)] for each in axis.get_legend_handles_labels()], loc="upper left")
    return figure


def _span(fn: Callable[[int], Any], options: dict[str, Any]) -> float:
    """Seconds from the start of the first item to the end of the last: what starting workers costs is another picture."""
    outcomes = atonce.run(fn, range(100), **options).outcomes
    return max(outcome.ended for outcome in outcomes) - min(outcome.started for outcome in outcomes)


def _median_of(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def _child(item: int) -> None:
    subprocess.run([sys.executable, "-S", "-c", "sum(range(3_000_000))"], check=True)


def _mixed(item: int) -> None:
    _compute(0.01)
    time.sleep(0.03)


def measured(plt: Any) -> Any:
    """Where an item's time goes, as the probe has it, for five functions."""
    functions = [
        ("a loop in Python", _loop),
        ("sha256 of 8 MB", _digest),
        ("10 ms loop + 30 ms sleep", _mixed),
        ("a program of its own", _child),
        ("time.sleep", _nap),
    ]
    figure, axis = plt.subplots(figsize=(9, 3), layout="constrained")
    colours = {"with the GIL": COMPUTING, "outside": "#a78bfa", "children": "#fbbf24", "waiting": WAITING}
    named: set[str] = set()
    for number, (_, fn) in enumerate(functions):
        sample = atonce.explain(fn, range(400)).sample
        left = 0.0
        for what, share, _bar in where_time_goes(sample):
            colour = next(colour for word, colour in colours.items() if word in what)
            axis.barh(number, share, left=left, height=0.65, color=colour, label=None if what in named else what)
            named.add(what)
            left += share
    axis.set_yticks(range(len(functions)), [name for name, _ in functions])
    axis.set(xlim=(0, 1), xlabel="share of an item's time", ylim=(len(functions) - 0.4, -0.6))
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.22), ncols=2, frameon=False)
    return figure


def littles_law(plt: Any) -> Any:
    """Replies that take 50 ms, by how many are in flight: throughput is in flight ÷ seconds, until something else is full."""
    latency, widths = 0.05, (1, 2, 4, 8, 16, 32, 64, 128, 256)
    with Lab(hosts=1, latency=latency) as lab:
        found = [_throughput(lab, width, max(40, 20 * width), "/") for width in widths]
    figure, axis = plt.subplots(figsize=(9, 3.8), layout="constrained")
    axis.plot(widths, [width / latency for width in widths], "--", color="0.5", label="Little's law: in flight ÷ 0.05 s")
    axis.plot(widths, found, "o-", color=LINE, label="measured")
    axis.set(xscale="log", yscale="log", xlabel="requests in flight", ylabel="requests a second")
    axis.legend()
    axis.grid(which="major", color="0.92")
    return figure


def limits(plt: Any) -> Any:
    """A server that gets slower the more it has to do: what more in flight brings, and where the limit settled."""
    path, widths = "/brownout?each=0.004", (1, 2, 4, 8, 16, 32, 64, 128)
    with Lab(hosts=1) as lab:
        rates = [_throughput(lab, width, 400, path) for width in widths]
        pages = list(atonce.fetch(lab.urls(1500, path), remember=False))
    settled = _in_flight([(page.started_at, page.total_s) for page in pages[len(pages) // 2 :]])
    figure, axis = plt.subplots(figsize=(9, 3.8), layout="constrained")
    axis.plot(widths, rates, "o-", color=LINE, label="requests a second")
    waits = axis.twinx()
    each = [1000 * width / rate for width, rate in zip(widths, rates, strict=True)]  # Little's law
    waits.plot(widths, each, "s--", color=COMPUTING, label="ms a request")
    axis.axvline(settled, color="0.4", linewidth=1)
    axis.annotate(f"  found by itself: {settled:.0f}", (settled, 0.06), xycoords=("data", "axes fraction"))
    axis.set(xscale="log", xlabel="requests in flight", ylabel="requests a second", ylim=(0, None))
    waits.set(ylabel="ms a request", ylim=(0, None))
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _throughput(lab: Lab, width: int, count: int, path: str) -> float:
    began = time.perf_counter()
    pages = list(atonce.fetch(lab.urls(count, path), concurrency=width, per_key=width, remember=False))
    assert all(page.ok for page in pages), next(page.error for page in pages if not page.ok)
    return count / (time.perf_counter() - began)


def _in_flight(spans: Sequence[tuple[float, float]]) -> float:
    """How many of (start, seconds) went on at once, on average."""
    took = max(start + seconds for start, seconds in spans) - min(start for start, _ in spans)
    return sum(seconds for _, seconds in spans) / took


PICTURES = {
    "two-axes": two_axes,
    "gil": gil,
    "measured": measured,
    "littles-law": littles_law,
    "limits": limits,
}


def main(names: list[str]) -> int:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "atonce", "font.family": "sans-serif"})
    import matplotlib.pyplot as plt

    about = facts()
    where = f"{about['python']}, {about['cpus']} cores, load {about['load']}"
    for name in names or PICTURES:
        figure = PICTURES[name](plt)
        figure.supxlabel(where, fontsize=7, color="0.5", x=0.99, ha="right")
        path = IMAGES / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(path.relative_to(IMAGES.parents[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
