"""What a run amounted to, in a few lines: `Tally` counts while it runs, `Summary` is what is shown."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..markdown import code, table

if TYPE_CHECKING:
    from .hosts import HostTally, HostTime

__all__ = ["KINDS", "Failures", "Summary", "Tally", "grouped", "in_words"]

KINDS = 20  # of failures told apart; the rest are counted together, so that a tally stays small
_WIDTH = 200  # characters of an example


class Failures(NamedTuple):
    """How many items failed in one way, and what one of them was and said."""

    kind: str
    count: int  # type: ignore[assignment]  # hides tuple.count, on purpose
    example: str


class Summary(NamedTuple):
    """Items that ended in this run, and those `before` that an earlier one had recorded in the same output. Of those that
    ended `unchanged` were found so, and `repeated` not run, being the same as one before. `hosts`: where they came from.
    `unwritten` have ended and are in no output; they run again. `ended`: why, if before all were done; `command` goes on then,
    or runs again what failed."""

    ok: int
    failed: int
    seconds: float
    failures: tuple[Failures, ...] = ()
    before: int = 0
    failed_before: int = 0
    output: str | None = None
    unchanged: int = 0
    repeated: int = 0
    hosts: HostTally | None = None
    unwritten: int = 0
    ended: str | None = None
    command: str | None = None

    @property
    def rate(self) -> float:
        """Items a second."""
        return (self.ok + self.failed) / self.seconds if self.seconds > 0 else 0.0

    def as_markdown(self, name: str) -> str:
        """For a CI's job summary, which is appended to."""
        lines = [f"**{code(name)}**", "", *self._sums()]
        if slowest := self._slowest():
            rows = ([grouped(each.items), grouped(each.failed), in_words(each.seconds), code(each.host)] for each in slowest)
            lines += ["", *table(("items", "failed", "mean", "of the slowest hosts"), rows, numbers=3)]
        if self.failures:
            rows = ([grouped(each.count), code(each.kind), code(each.example)] for each in self.failures)
            lines += ["", *table(("failed", "class", "such as"), rows, numbers=1)]
        if self.output is not None:
            lines += ["", f"in {code(self.output)}"]
        if self.ended is not None:
            lines += ["", code(self.ended)]
        return "\n".join([*lines, "", ""])

    def lines(self) -> list[str]:
        """For people."""
        lines = self._sums()
        lines += [f"  {grouped(each.count)} × {each.kind}, such as {each.example}" for each in self.failures]
        if slowest := self._slowest():
            lines.append(f"  slowest of {grouped(len(self.hosts or ()))} hosts: {', '.join(map(str, slowest))}")
        if self.output is not None:
            lines.append(f"in {self.output}")
        return lines

    def _sums(self) -> list[str]:
        count = self.ok + self.failed
        lines = []
        if count or not self.before:
            failed = f", {grouped(self.failed)} failed" if self.failed else ""
            unchanged = f", {grouped(self.unchanged)} of them unchanged" if self.unchanged else ""
            repeated = f", {grouped(self.repeated)} the same as one before" if self.repeated else ""
            repeated += f", {grouped(self.unwritten)} more could not be written" if self.unwritten else ""
            items = f"{grouped(count)} {'item' if count == 1 else 'items'}"
            size = f", {self.hosts.amount}" if self.hosts else ""
            took = f"{in_words(self.seconds)}, {grouped(self.rate)}/s{size}"
            lines.append(f"{items}: {grouped(self.ok)} ok{unchanged}{failed}{repeated}; {took}")
        if self.before:
            failed = f", {grouped(self.failed_before)} of them failed" if self.failed_before else ""
            lines.append(f"{grouped(self.before)} were already done{failed}")
        return lines

    def _slowest(self) -> tuple[HostTime, ...]:
        """Of several hosts."""
        return self.hosts.slowest() if self.hosts is not None and len(self.hosts) > 1 else ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 3),
            "failures": [{"kind": f.kind, "count": f.count, "example": f.example} for f in self.failures],
            "unchanged": self.unchanged,
            "repeated": self.repeated,
            "unwritten": self.unwritten,
            "ended": self.ended,
            "command": self.command,
            "before": self.before,
            "failed_before": self.failed_before,
            "output": self.output,
            "bytes": 0 if self.hosts is None else self.hosts.size,
            "hosts": 0 if self.hosts is None else len(self.hosts),
            "slowest_hosts": [host._asdict() for host in self.hosts.slowest(10)] if self.hosts else [],
        }


class Tally:
    """Counts outcomes, with one example for each kind of failure: the first. Of those that are not simply fine it keeps the
    indices, in four bytes, to say later which of them an output holds."""

    __slots__ = ("_examples", "_kinds", "_repeated", "_unchanged", "failed", "ok")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self._unchanged = array("I")
        self._repeated = array("I")
        self._kinds: dict[str, array[int]] = {}
        self._examples: dict[str, str] = {}

    @property
    def count(self) -> int:
        return self.ok + self.failed

    @property
    def unchanged(self) -> int:
        return len(self._unchanged)

    @property
    def repeated(self) -> int:
        return len(self._repeated)

    def succeed(self, index: int, *, unchanged: bool = False) -> None:
        self.ok += 1
        if unchanged:
            self._unchanged.append(index)

    def fail(self, index: int, kind: str, example: str) -> None:
        """Count a failure; `example` says which item it was and what was wrong."""
        self.failed += 1
        if kind not in self._kinds and len(self._kinds) >= KINDS:
            kind = "other"
        if kind not in self._kinds:
            self._kinds[kind], self._examples[kind] = array("I"), _short(example)
        self._kinds[kind].append(index)

    def repeat(self, index: int) -> None:
        """It is the same as one before, beside how it ended."""
        self._repeated.append(index)

    @property
    def failures(self) -> tuple[Failures, ...]:
        """The most frequent first."""
        kinds = (Failures(kind, len(indices), self._examples[kind]) for kind, indices in self._kinds.items())
        return tuple(sorted(kinds, key=lambda each: -each.count))

    def only(self, count: int, holds: Callable[[int], bool], *, failures: bool = True) -> Tally:
        """Of the `count` of them that an output holds; and of all that failed, unless it holds `failures`."""
        held = Tally()
        held._unchanged, held._repeated = (array("I", filter(holds, each)) for each in (self._unchanged, self._repeated))
        for kind, indices in self._kinds.items():
            left = array("I", filter(holds, indices)) if failures else indices
            if left:
                held._kinds[kind], held._examples[kind] = left, self._examples[kind]
                held.failed += len(left)
        held.ok = count - held.failed if failures else count
        return held


def grouped(number: float) -> str:
    """1234567 as `1 234 567`; numbers below 10 that are not whole with a decimal."""
    text = f"{number:,.1f}" if number < 10 and number != int(number) else f"{number:,.0f}"
    return text.replace(",", " ")


def in_words(seconds: float) -> str:
    """`0.25 s`, `12 s`, `3:05 min`, `2:03:05 h`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole:02} h"
    return f"{minutes}:{whole:02} min" if minutes else f"{whole} s"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
