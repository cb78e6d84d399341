"""The command: measures workloads, prints a line of each, appends it to a record, writes the page from a record."""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from pathlib import Path

from atonce.plan.machine import usable_cpus

from . import __doc__ as about
from .grid import Choice, Result, summary_of
from .page import append, read, write
from .turn import measure
from .workloads import WORKLOADS, Workload

HEADINGS = f"{'workload':<18} {'auto':>8}  {'it chose':<18} {'best':>8}  {'which was':<18} regret = model × width × overhead"


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 1 where a workload could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.regret", description=str(about).splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="these only, by beginnings of names")
    parser.add_argument("--list", action="store_true", help="the workloads, and nothing else")
    parser.add_argument("--quick", action="store_true", help="a quarter of the items, one round: for a look")
    parser.add_argument("--coarse", action="store_true", help="every second width, two rounds: half the time")
    parser.add_argument("--busy", action="store_true", help="do not wait until nothing else runs, repeat nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of the finalists (3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append what is measured, a line a workload")
    parser.add_argument("--page", type=Path, metavar="FILE", help="measure nothing: docs/regret.md from what was appended")
    given = parser.parse_args(argv)
    if given.page is not None:
        print(summary_of(write(read(given.page))))
        return 0
    chosen = _named(given.workloads) if given.workloads else list(WORKLOADS)
    if given.list or not chosen:
        print("\n".join(f"{each.name:<18} {each.n:>7}  {each.what}" for each in WORKLOADS))
        return 0 if given.list else 2
    return _measure(chosen, given)


def _named(beginnings: list[str]) -> list[Workload]:
    """In the order in which they are named."""
    found = (each for beginning in beginnings for each in WORKLOADS if each.name.startswith(beginning))
    return list({each.name: each for each in found}.values())


def _measure(chosen: list[Workload], given: argparse.Namespace) -> int:
    rng, rounds = random.Random(given.seed), given.rounds or (1 if given.quick else 2 if given.coarse else 3)
    results: list[Result] = []
    failed = 0
    print(HEADINGS)
    for workload in chosen:
        if workload.needs is not None and importlib.util.find_spec(workload.needs) is None:
            print(f"{workload.name:<18} left out: {workload.needs} is not installed")
            continue
        n = max(4, workload.n // 4) if given.quick else workload.n
        try:
            result = measure(workload, n, rounds, rng, usable_cpus(), quiet=not given.busy, coarse=given.coarse)
        except RuntimeError as error:
            print(f"{workload.name:<18} failed: {error}", flush=True)
            failed += 1
            continue
        results.append(result)
        print(line(result), flush=True)
        if given.json is not None:
            append(given.json, result)
    if results:
        print(summary_of(results))
    return 1 if failed else 0


def line(result: Result) -> str:
    """A workload's, for the terminal."""
    split = f"{result.model:.2f} × {result.width:.2f} × {result.overhead:.2f}"
    chosen, best = (f"{seconds:>7.3f}s  {point!s:<18}" for seconds, point in _pair(result))
    verdict = "" if result.met else "  beyond the goal"
    return f"{result.name:<18} {chosen} {best} {result.regret:6.2f} = {split}{verdict}"


def _pair(result: Result) -> tuple[tuple[float, Choice], tuple[float, Choice]]:
    return (result.auto, result.chose), (result.seconds, result.best)


if __name__ == "__main__":
    sys.exit(main())
