"""`python -m bench.faults`: twenty calls, one of which goes wrong, with each tool; writes the tables of docs/faults.md.

Each tool and fault is a process of its own, which is killed after LIMIT seconds. What was delivered until then counts. All that
it starts carries a mark in its environment, so that what is left behind is found whoever its parent is by then.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from . import machine
from .survivors import SURVIVORS, Survivor
from .twenty import BAD, FAULTS, ITEMS

__all__ = ["Ending", "main"]

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
MARK = "ATONCE_BENCH_FAULT"
# Seconds from when a tool is up until it is killed; seconds it may take to come up; seconds for what is ending to be gone.
LIMIT, START, GRACE = 20.0, 60.0, 3.0


@dataclasses.dataclass
class Ending:
    """What came of one tool with one fault. `code` is None where it had to be killed."""

    got: set[int] = dataclasses.field(default_factory=set)
    failed: dict[int, str] = dataclasses.field(default_factory=dict)
    raised: str = ""
    seconds: float = 0.0
    code: int | None = None
    left: int = 0

    @property
    def delivered(self) -> int:
        return len(self.got - {BAD})

    @property
    def blamed(self) -> int:
        """How many that did nothing wrong were reported as failed."""
        return len(self.failed.keys() - {BAD})

    @property
    def merit(self) -> tuple[int, bool, bool, int, int, float]:
        """What is better is greater: of several runs the best one counts."""
        return len(self.got), BAD in self.failed, self.code == 0, -self.blamed, -self.left, -self.seconds

    @property
    def verdict(self) -> str:
        """In a few words."""
        words = [f"{self.delivered}/{len(ITEMS) - 1}"]
        if BAD in self.got:
            words[0] = f"{len(self.got)}/{len(ITEMS)}"
        elif self.blamed:
            words.append(f"{self.blamed + (BAD in self.failed)} blamed")
        else:
            words.append("named" if BAD in self.failed else "not named")
        words.append(f"{self.seconds:.1f} s" if self.code is not None else "does not end")
        if self.code is not None and self.code < 0:
            words[-1] = "the caller died"
        if self.left:
            words.append(f"{self.left} left")
        return ", ".join(words)

    @property
    def said(self) -> str:
        """About the guilty one, or about the whole where it is not named."""
        if BAD in self.got:
            return "nothing is wrong with it here"
        text = self.failed.get(BAD) or (f"of the run: {self.raised}" if self.raised else "nothing")
        return text if len(text) <= 110 else text[:109] + "…"


def measure(survivor: Survivor, fault: str) -> Ending:
    """One tool, one fault."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-m", "bench.survivors", survivor.name, fault]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, MARK: mark}
    )
    ending = Ending()
    lines: list[str] = []
    begun = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            begun.set()
        begun.set()

    # what a tool leaves behind may hold the pipe: the end of the process is what is waited for
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    begun.wait(START)
    started = time.monotonic()
    try:
        ending.code = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    ending.seconds = time.monotonic() - started
    ending.left = _end_what_is_left(mark)
    reader.join(GRACE)
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "got":
            ending.got.add(int(rest))
        elif word == "failed":
            item, _, text = rest.partition(" ")
            ending.failed[int(item)] = text
        elif word == "raised":
            ending.raised = rest
    return ending


def _end_what_is_left(mark: str) -> int:
    """How many processes are still there after a moment; they are killed."""
    until = time.monotonic() + GRACE
    while (left := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(left)


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def tables(endings: dict[tuple[str, str], Ending], survivors: Sequence[Survivor]) -> Iterator[str]:
    """The page's lines between the markers."""
    facts = machine.facts()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    where = f"{facts['cpus']} × {facts['cpu']}, {facts['system']}, load {facts['load']}"
    yield f"Measured {datetime.date.today()} on {where}, with {facts['python']}, {versions}."
    absent = [each.name for each in SURVIVORS if each not in survivors]
    if absent:
        yield f"Not installed there, so not measured: {', '.join(absent)}."
    for title, some in (
        ("Peers", [each for each in survivors if not each.ours]),
        ("atonce", [each for each in survivors if each.ours]),
    ):
        yield f"\n### {title}\n"
        yield from _table(["one of twenty …", *(each.name for each in some)], (
            [f"**{fault}**", *(endings[each.name, fault].verdict for each in some)] for fault in FAULTS
        ))  # fmt: skip
    for fault, what in FAULTS.items():
        yield f"\n### One {fault}\n"
        yield f"{what[0].upper()}{what[1:]}.\n"
        head = ["", "delivered", "said of the guilty one", "others blamed", "ended by itself", "seconds", "processes left"]
        yield from _table(head, (_row(each, endings[each.name, fault]) for each in survivors))
    yield "\n### How each was called\n"
    yield from _table(["", ""], ([each.name, each.how] for each in survivors))


def _row(survivor: Survivor, ending: Ending) -> list[str]:
    ended = "yes" if ending.code == 0 else "no" if ending.code is None else f"yes, exit {ending.code}"
    if ending.code is not None and ending.code < 0:
        ended = f"the caller died ({-ending.code})"
    whole = BAD in ending.got
    delivered = f"{len(ending.got)} of {len(ITEMS)}" if whole else f"{ending.delivered} of {len(ITEMS) - 1}"
    said = f"`{ending.said.replace('`', '').replace('|', '¦')}`" if ending.failed or ending.raised else ending.said
    return [survivor.name, delivered, said, str(ending.blamed or ""), ended, f"{ending.seconds:.1f}", str(ending.left or "")]


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def main(argv: list[str] | None = None) -> int:
    """0 when all could be measured, whoever did well."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description="twenty calls, one of which goes wrong")
    parser.add_argument("names", nargs="*", metavar="TOOL", help="beginnings of names (all); the page is written with all only")
    parser.add_argument("--times", type=int, default=3, help="runs of each, of which the best counts (3)")
    given = parser.parse_args(argv)
    names = tuple(given.names)
    survivors = [
        each
        for each in SURVIVORS
        if (each.package is None or importlib.util.find_spec(each.package)) and (not names or each.name.startswith(names))
    ]
    endings: dict[tuple[str, str], Ending] = {}
    for survivor in survivors:
        for fault in FAULTS:
            ending = max((measure(survivor, fault) for _ in range(given.times)), key=lambda ending: ending.merit)
            endings[survivor.name, fault] = ending
            print(f"{survivor.name}, one {fault}: {ending.verdict}; {ending.said}", flush=True)
    if not names:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        text = "\n".join(tables(endings, survivors))
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
