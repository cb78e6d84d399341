"""The record, a line a workload, and docs/regret.md, which is written from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..machine import facts
from .grid import Choice, Result, summary_of
from .workloads import WORKLOADS

__all__ = ["append", "page", "read", "write"]

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "regret.md"

HEAD = """\
# What choosing costs

`auto` beside the best that can be set by hand, over {count} kinds of work: measured by
`make regret BENCH="--json regret.jsonl"` and written here by `python -m bench.regret --page regret.jsonl`.

{machine}; other programs used {others:.2f} cores meanwhile, on average.

**{summary}.** Goals: geomean at most 1.10, p90 at most 1.3, each at most 1.5 or 0.2 s more than the best, and none slower
than in line by more than 5 % and 0.2 s.

| workload | auto | it ended with | best by hand | which was | in line | regret | model × width × overhead | |
|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
*Regret* is the seconds of `auto`, everything included (its probe, the start of workers), ÷ those of the best of all models
and widths. It is a product: *model* is the best of the model that was chosen ÷ the best of all; *width* the point that was
chosen, set by hand, ÷ the best of that model; *overhead* is `auto` ÷ that point set by hand. Where the limit adapts, the
point is where it ended, so that finding it is overhead. Where `auto` beats every point of the grid it counts as 1 in the
summary.

*How.* Each run is a fresh interpreter that has calibrated nothing and remembers nothing, and is timed inside it, from the
call to its return: start-up of workers counts, that of the interpreter does not. The grid is sync, threads, coroutines,
processes and hybrid × {widths}, with the engine's own chunks in all of them. Each of its points runs once; a
model's widths are tried from where auto ended, both ways, until two in a row bring nothing; what takes over 1.5 times the
best of all is not waited for (in line: –). Then the best of each model, the runner-up, the point that auto chose and auto
itself take turns, {rounds} rounds in an order drawn anew each time, and the
medians of those decide. Nothing else is to run meanwhile: a turn of the final in which other programs used over 0.15 of a core
is repeated, twice at most.

| workload | items | what it is |
|---|---|---|
"""


def append(path: Path, result: Result) -> None:
    """A line, with the machine it was measured on. A later line of a workload replaces an earlier one."""
    record = {"machine": facts(), **result._asdict()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """(the machine, the results in the order of the workloads); other machines than the last line's are left out."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    machine = records[-1]["machine"]
    about = {key: machine[key] for key in ("cpu", "cpus", "python", "system")}
    same = [record for record in records if about == {key: record["machine"][key] for key in about}]
    found = {record["name"]: _result(record) for record in same}
    return machine, [found[workload.name] for workload in WORKLOADS if workload.name in found]


def _result(record: dict[str, Any]) -> Result:
    values = {name: record[name] for name in Result._fields}
    return Result(**{**values, "chose": Choice(*values["chose"]), "best": Choice(*values["best"]), "why": tuple(values["why"])})


def write(measured: tuple[dict[str, Any], list[Result]]) -> list[Result]:
    """The page; gives the results back."""
    machine, results = measured
    PAGE.write_text(page(machine, results), encoding="utf-8")
    return results


def page(machine: dict[str, Any], results: Sequence[Result]) -> str:
    """The text."""
    where = f"{machine['python']}, {machine['cpus']} × {machine['cpu']}, {machine['system']}"
    rounds = statistics.mode(result.rounds for result in results)
    others = statistics.fmean(result.others for result in results)
    lines = [HEAD.format(count=len(results), machine=where, others=others, summary=summary_of(results))]
    lines += [f"| {' | '.join(_cells(result))} |\n" for result in results]
    widths = "{1, 4, 16, 64, 256}" if any(result.coarse for result in results) else "{1, 2, 4, … 512}"
    lines.append(TAIL.format(rounds=rounds, widths=widths))
    about = {workload.name: workload for workload in WORKLOADS}
    for result in results:
        count = f"{result.n:,}".replace(",", " ")
        lines.append(f"| `{result.name}` | {count} | {about[result.name].what} |\n")
    return "".join(lines)


def _cells(result: Result) -> tuple[str, ...]:
    in_line = "–" if result.in_line is None else f"{result.in_line:.2f} s"
    split = f"{result.model:.2f} × {result.width:.2f} × {result.overhead:.2f}"
    verdict = result.kind if result.met else f"**beyond the goal: {result.kind}**"
    times = (f"{result.auto:.2f} s", str(result.chose), f"{result.seconds:.2f} s", str(result.best), in_line)
    return (f"`{result.name}`", *times, f"{result.regret:.2f}", split, verdict)
