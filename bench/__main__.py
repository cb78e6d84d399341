"""`python -m bench [CASE …]`: measure, print the table, write it down."""

from __future__ import annotations

import argparse
import datetime
import json
import random
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from . import machine, table
from .case import Case
from .cases import CASES, chosen
from .runner import Result, measure

__all__ = ["main"]

# With fewer, a figure is for a look, not for quoting.
LEAST_ROUNDS = 5


def main(argv: list[str] | None = None) -> int:
    """0 when everything could be measured, whoever won; 1 when ours failed somewhere; 2 for wrong usage."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.list:
        for case in CASES:
            print(_listed(case))
        return 0
    try:
        cases = chosen(given.cases)
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, _terminated)  # so that servers and pools are ended, too
    rounds = given.rounds or (3 if given.quick else LEAST_ROUNDS)
    about = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": given.seed,
        "rounds": rounds,
        "quick": given.quick,
        "machine": machine.facts(),
    }
    _introduce(about)
    rng = random.Random(given.seed)
    results: list[Result] = []
    try:
        for case in cases:
            result = measure(case, n=case.quick_n if given.quick else case.n, rounds=rounds, rng=rng, say=_say)
            _say("")
            results.append(result)
            print(*table.rows(result), sep="\n", flush=True)
    except KeyboardInterrupt:
        _say("")
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        about["load_at_end"] = machine.load()
        if given.json is not None:
            text = json.dumps(table.as_json(results, about), indent=2, ensure_ascii=False)
            Path(given.json).write_text(text + "\n", encoding="utf-8")
    print(f"\n{table.LEGEND}\nload at the end: {about['load_at_end']}")
    return int(any(result.verdict == "failed" for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="atonce beside other tools, taking turns.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="cases, or beginnings of their names (default: all)")
    parser.add_argument("--list", action="store_true", help="print the cases and exit")
    parser.add_argument("--rounds", type=_whole, metavar="N", help=f"after the warm-up (default: {LEAST_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="fewer items, 3 rounds: for a look, not for quoting")
    parser.add_argument("--seed", type=int, default=1, help="draws the order of turns (default: 1)")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured to FILE")
    return parser


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _listed(case: Case) -> str:
    items = f"{case.n:,} items: ".replace(",", " ") if case.n > 1 else ""
    return f"{case.name:<18}{items}{case.what}"


def _introduce(about: dict[str, Any]) -> None:
    facts, rounds = about["machine"], about["rounds"]
    print(f"{facts['python']}, {facts['cpus']} × {facts['cpu']}, {facts['memory_gb']} GB, {facts['system']}")
    print(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    print(f"{rounds} rounds after a warm-up, turns drawn with seed {about['seed']}; load {facts['load']}")
    if about["quick"] or rounds < LEAST_ROUNDS:
        print("few items or rounds: for a look, not for quoting")
    print(f"\n{table.HEADER}", flush=True)


def _terminated(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def _say(text: str) -> None:
    """What is going on, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
