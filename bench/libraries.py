"""What `explain` says of functions of well-known libraries, and whether it is so: `python -m bench.libraries [NAME…]`.

Each is explained, then compared: the same items under every model, in turns. A line each; with `--json FILE` all of it is
appended, and `--page FILE` writes docs/libraries.md from that. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import atonce
from atonce.lab import Lab

from .library_functions import FUNCTIONS, Function
from .machine import facts

__all__ = ["main"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "libraries.md"
MODELS = ("sync", "threads", "processes", "hybrid", "auto")
LATENCY = 0.05

HEAD = """\
# Functions of well-known libraries

What `atonce.explain` says of functions as people call them, and what `atonce.compare` measures then: the same items under every
model, each turn in an interpreter of its own, {rounds} rounds in an order drawn anew each time. Written by
`python -m bench.libraries --page FILE`.

{machine}; {versions}.

| call | an item | it computes | with the GIL | it is said | chosen | sync | threads | processes | hybrid | auto | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
*It computes* is the share of an item's time, *with the GIL* that of its computing. The seconds of the models are medians,
start-up of workers included; `threads` and `hybrid` find themselves how many are in flight. The servers of the first two answer
after 50 ms. {own}
"""


def measure(each: Function, rounds: int) -> dict[str, Any]:
    """What both say of one function, as plain values."""
    with Lab(latency=LATENCY) if each.url else contextlib.nullcontext() as lab:
        items: list[Any] = lab.urls(each.n) if lab is not None else list(range(each.n))
        plan = atonce.explain(each.fn, items)
        found = atonce.compare(each.fn, items, models=MODELS, rounds=rounds)
    sample = plan.sample
    assert sample is not None
    return {
        "machine": facts(),
        "versions": {each.needs: _version(each.needs)} if each.needs else {},
        "name": each.fn.__name__,
        "rounds": rounds,
        "work": plan.work,
        "model": plan.model,
        "wall": sample.wall,
        "computes": min(1.0, sample.share),
        "held": None if sample.held is None or sample.share < 0.02 else min(1.0, sample.held / max(sample.total, 1e-9)),
        "why": plan.reasons,
        "hints": [hint.text for hint in plan.hints],
        "seconds": {row.model: row.seconds for row in found.rows},
        "chose": found.advised,
        "agreed": found.agreed,
        "verdict": found.verdict,
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
    """The text of docs/libraries.md, in the order of the functions."""
    last = {record["name"]: record for record in records}
    machine = records[-1]["machine"]
    about = f"{machine['python']}, {machine['cpus']} × {machine['cpu']}, {machine['system']}"
    versions = ", ".join(sorted({version for record in last.values() for version in record["versions"].values()}))
    lines = [HEAD.format(rounds=records[-1]["rounds"], machine=about, versions=versions)]
    found = [(each, last[each.fn.__name__]) for each in FUNCTIONS if each.fn.__name__ in last]
    lines += [f"| {' | '.join(_cells(*pair))} |\n" for pair in found]
    own = [f"`{each.call}` starts threads of its own." for each, record in found if _own_threads(record)]
    lines.append(TAIL.format(own=" ".join(own)).rstrip() + "\n")
    return "".join(lines)


def _own_threads(record: dict[str, Any]) -> bool:
    return any("threads of its own" in text for text in record["hints"])


def _cells(each: Function, record: dict[str, Any]) -> list[str]:
    wall = f"{record['wall'] * 1000:.3g} ms"
    held = "–" if record["held"] is None else f"{record['held']:.0%}"
    seconds = [f"{record['seconds'][model]:.2f}" if model in record["seconds"] else "–" for model in MODELS]
    verdict = {True: "right", False: "**wrong**", None: "within noise"}[record["agreed"]]
    return [f"`{each.call}`", wall, f"{record['computes']:.0%}", held, record["work"], record["model"], *seconds, verdict]


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
        PAGE.write_text(
            page([json.loads(text) for text in given.page.read_text(encoding="utf-8").splitlines()]), encoding="utf-8"
        )
        return 0
    wrong = 0
    for each in FUNCTIONS:
        if given.names and not each.fn.__name__.startswith(tuple(given.names)):
            continue
        if each.needs is not None and importlib.util.find_spec(each.needs) is None:
            print(f"{each.fn.__name__:<15} left out: {each.needs} is not installed")
            continue
        record = measure(each, given.rounds)
        wrong += record["agreed"] is False
        print(line(record), flush=True)
        if given.json is not None:
            with given.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
