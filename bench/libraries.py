"""What `explain` says of functions of well-known libraries, and whether it is so: `python -m bench.libraries [NAME…]`.

Each is explained, then compared: the same items under every model, in turns, in an interpreter and with a cache of its own. A
line each; with `--json FILE` all of it is appended, a few functions at a time if one likes, and `--page FILE` writes
docs/libraries.md from that. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import atonce
from atonce.comparison import Comparison, Turn
from atonce.lab import Lab
from atonce.plan.machine import cpu_used
from atonce.plan.plan import in_time

from .library_functions import FUNCTIONS, Function
from .machine import facts

__all__ = ["main"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "libraries.md"
MODELS = ("sync", "threads", "processes", "hybrid", "auto")
LATENCY = 0.05
# Cores that other programs may use meanwhile.
OTHERS = 0.25
VERDICTS = ("right", "as good", "within noise", "wrong")

HEAD = """\
# Functions of well-known libraries

What `atonce.explain` says of {count} functions as people call them, and what `atonce.compare` measures then: the same items
under every model, each turn in an interpreter of its own, {rounds} rounds in an order drawn anew each time. Measured by
`python -m bench.libraries --json libraries.jsonl`, some at a time, and written here by
`python -m bench.libraries --page libraries.jsonl`.

{machine}; {versions}; other programs used {others:.2f} cores meanwhile, on average.

**{summary}.**

| call | items | an item | computes | with the GIL | said | chosen | sync | threads | processes | hybrid | auto | predicted | |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
*Computes* is the share of an item's time, *with the GIL* that of its computing. The seconds of the models are medians,
start-up of workers included. `threads` and `hybrid` begin with 32 in flight in a process and find out how many are best;
`auto` has chosen how many as well. *Predicted* is what `explain` foretold of what it chose and what its first items took, ÷
the seconds of `auto`. *Right*: what was chosen was the quickest. *As good*: so near (15 % or 0.2 s)
that the rule of choosing does not tell them apart. *Within noise*: the times overlap. A turn beside which other programs
used over {cores} of a core is made again, once at most.
The servers of the first two, which are other programs, answer after 50 ms.
"""


def quiet(seconds: float = 15.0) -> None:
    """Wait until other programs leave the cores alone for a moment, so many seconds at most."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = cpu_used()
        time.sleep(0.3)
        if before is None or (cpu_used() or 0.0) - before < 0.3 * OTHERS:
            return


def compared(each: Function, items: list[Any], rounds: int) -> Comparison:
    """`atonce.compare`, where a turn beside which other programs computed is made again, once at most."""
    turns: list[Turn] = []
    missing: list[str] = list(MODELS)
    for number in range(2 * rounds):
        quiet(5.0)
        found = atonce.compare(each.fn, items, models=missing, rounds=1, seed=number)
        turns += [dataclasses.replace(turn, round=number + 1) for turn in found.turns]
        # a server of ours is another program
        missing = [model for model in MODELS if sum(each.url or turn.others < OTHERS for turn in _of(model, turns)) < rounds]
        if not missing:
            break
    kept = [turn for model in MODELS for turn in _of(model, turns)[:rounds]]
    return dataclasses.replace(found, rounds=rounds, turns=tuple(kept))


def _of(model: str, turns: list[Turn]) -> list[Turn]:
    """Its turns, the least disturbed ones first."""
    return sorted((turn for turn in turns if turn.model == model), key=lambda turn: max(OTHERS, turn.others))


def measure(each: Function, rounds: int) -> dict[str, Any]:
    """What both say of one function, as plain values."""
    with Lab(latency=LATENCY) if each.url else contextlib.nullcontext() as lab:
        items: list[Any] = lab.urls(each.n) if lab is not None else list(range(each.n))
        quiet()
        plan = atonce.explain(each.fn, items)
        found = compared(each, items, rounds)
    sample = plan.sample
    assert sample is not None
    return {
        "machine": facts(),
        "versions": {each.needs: _version(each.needs)} if each.needs else {},
        "name": each.fn.__name__,
        "n": each.n,
        "rounds": rounds,
        "work": plan.work,
        "model": plan.model,
        "wall": sample.wall,
        "computes": min(1.0, sample.share),
        "held": None if sample.held is None or sample.share < 0.02 else min(1.0, sample.held / max(sample.total, 1e-9)),
        "why": plan.reasons,
        "hints": {hint.name: hint.text for hint in plan.hints},
        # those that were measured, the first of which took longer, and what is foretold of the others
        "predicted": (sample.cold or 0.0) + (plan.ran - 1) * sample.wall + (plan.seconds or 0.0),
        "seconds": {row.model: row.seconds for row in found.rows},
        "chose": found.advised,
        "agreed": found.agreed,
        "verdict": found.verdict,
        "plans": {row.model: row.plan for row in found.rows},
        "others": found.others,
        "broken": [f"{turn.model}: {turn.error}" for turn in found.turns if turn.error],
    }


def _version(module: str) -> str:
    name = next(iter(importlib.metadata.packages_distributions().get(module, (module,))))
    return f"{name} {importlib.metadata.version(name)}"


def line(record: dict[str, Any]) -> str:
    """For the terminal."""
    held = "–" if record["held"] is None else f"{record['held']:.0%}"
    seconds = "  ".join(f"{model} {record['seconds'].get(model, float('nan')):.2f}" for model in MODELS)
    about = (
        f"{record['name']:<15} {record['wall'] * 1000:8.2f} ms  {record['computes']:4.0%}  GIL {held:>4}  {record['work']:<16}"
    )
    return f"{about} → {record['model']:<10} {seconds} s  {record['verdict']}"


def page(records: list[dict[str, Any]]) -> str:
    """The text of docs/libraries.md, in the order of the functions. A later record of a function replaces an earlier one."""
    last = {record["name"]: record for record in records}
    found = [(each, last[each.fn.__name__]) for each in FUNCTIONS if each.fn.__name__ in last]
    those = [record for _, record in found]
    machine = records[-1]["machine"]
    versions = {version for record in those for version in record["versions"].values()}
    told = [f"\n`{each.call}`:\n\n{_listed(record)}" for each, record in found]
    head = HEAD.format(
        count=len(found),
        rounds=" or ".join(map(str, sorted({record["rounds"] for record in those}))),
        machine=f"{machine['python']}, {machine['cpus']} × {machine['cpu']}, {machine['system']}",
        versions=", ".join(sorted(versions)),
        others=statistics.fmean(record["others"] for each, record in found if not each.url),
        summary=_summary(those),
    )
    rows = [f"| {' | '.join(_cells(*pair))} |\n" for pair in found]
    return "".join([head, *rows, TAIL.format(cores=OTHERS), "\n## What it said\n", *told])


def _summary(records: list[dict[str, Any]]) -> str:
    found = [_verdict(record) for record in records]
    counted = [f"{found.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in found]
    return f"Of {len(records)}, {', '.join(counted)}"


def _verdict(record: dict[str, Any]) -> str:
    """One of `VERDICTS`."""
    if not record["agreed"]:
        return "within noise" if record["agreed"] is None else "wrong"
    return "right" if min(record["seconds"], key=record["seconds"].get) in (record["chose"], "auto") else "as good"


def _listed(record: dict[str, Any]) -> str:
    """The reasons and the hints, as `explain` has them."""
    texts = [*record["why"], *(f"{text} [{name}]" for name, text in record["hints"].items())]
    return "".join(f"- {text}\n" for text in texts)


def _cells(each: Function, record: dict[str, Any]) -> list[str]:
    wall = in_time(record["wall"])
    held = "–" if record["held"] is None else f"{record['held']:.0%}"
    seconds = [f"{record['seconds'][model]:.2f}" if model in record["seconds"] else "–" for model in MODELS]
    about = [f"`{each.call}`", str(record["n"]), wall, f"{record['computes']:.0%}", held, record["work"], record["chose"]]
    return [*about, *seconds, f"{_ratio(record):.2f}", _verdict(record)]


def _ratio(record: dict[str, Any]) -> float:
    """What was predicted ÷ what it took."""
    found: float = record["predicted"] / record["seconds"]["auto"]
    return found


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 1 where the advice was wrong of one of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.libraries", description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="these only, by beginnings of names")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append what is measured, a line a function")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="measure nothing: write docs/libraries.md from what was appended"
    )
    given = parser.parse_args(argv)
    if given.page is not None:
        texts = given.page.read_text(encoding="utf-8").splitlines()
        PAGE.write_text(page([json.loads(text) for text in texts]), encoding="utf-8")
        return 0
    chosen = [each for each in FUNCTIONS if not given.names or each.fn.__name__.startswith(tuple(given.names))]
    if len(chosen) > 1:
        return max(_apart(each, given.rounds, given.json) for each in chosen)
    for each in chosen:
        if each.needs is not None and importlib.util.find_spec(each.needs) is None:
            print(f"{each.fn.__name__:<15} left out: {each.needs} is not installed")
            continue
        record = measure(each, given.rounds)
        print(line(record), flush=True)
        if given.json is not None:
            with given.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return int(record["agreed"] is False)
    return 0


def _apart(each: Function, rounds: int, file: Path | None) -> int:
    """One of them where nothing was imported, measured or kept before."""
    command = [sys.executable, "-m", "bench.libraries", each.fn.__name__, "--rounds", str(rounds)]
    with tempfile.TemporaryDirectory(prefix="atonce-bench-") as cache:
        more = () if file is None else ("--json", str(file))
        return subprocess.run([*command, *more], env={**os.environ, "XDG_CACHE_HOME": cache}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
