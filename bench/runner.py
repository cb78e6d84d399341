"""Lets the contenders of a case take turns, and keeps what they measured."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import statistics
from collections.abc import Callable

from .case import OURS, Case, Skip
from .program import Failed, Program

__all__ = ["Result", "measure"]


@dataclasses.dataclass(slots=True)
class Result:
    """`values[contender][round]` in the case's unit, for those that lasted; why the others did not."""

    case: Case
    n: int
    values: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: str | None = None

    def median(self, who: str) -> float | None:
        return statistics.median(self.values[who]) if self.values.get(who) else None

    def figures(self, peer: str) -> list[float]:
        """What the target looks at, a figure a round: both had their turn in that round, so noise mostly cancels."""
        if not self.values.get(OURS) or not self.values.get(peer):
            return []
        return [self.case.target.figure(a, b) for a, b in zip(self.values[OURS], self.values[peer], strict=True)]

    @property
    def deciding(self) -> list[float]:
        """The figures that are held against the limit."""
        if self.case.target.kind == "most":
            return self.values.get(OURS, [])
        return self.figures(next(iter(self.case.peers)))

    @property
    def verdict(self) -> str:
        """met or missed, by the median; `barely` when single rounds say otherwise."""
        if self.skipped is not None:
            return "skipped"
        figures, target = self.deciding, self.case.target
        if not figures:
            return "failed"
        met = target.met(statistics.median(figures))
        mixed = any(target.met(figure) != met for figure in figures)
        return ("met" if met else "missed") + (", barely" if mixed else "")


def measure(case: Case, *, n: int, rounds: int, rng: random.Random, say: Callable[[str], None]) -> Result:
    """One warm-up and `rounds` rounds; in each, every contender has one turn, in an order drawn anew."""
    result = Result(case, n)
    try:
        with contextlib.ExitStack() as stack:
            environment = stack.enter_context(case.place()) if case.place is not None else {}
            programs = {who: stack.enter_context(Program(case, who, n, environment)) for who in case.names}
            for number in range(rounds + 1):
                order = [who for who in case.names if who not in result.failed]
                rng.shuffle(order)
                for who in order:
                    say(f"{case.name}: {who}, " + (f"round {number} of {rounds}" if number else "warm-up"))
                    _turn(result, who, programs[who], keep=number > 0)
    except Skip as reason:
        result.skipped = str(reason)
    return result


def _turn(result: Result, who: str, program: Program, *, keep: bool) -> None:
    try:
        value = program.turn()
    except Failed as error:
        result.failed[who] = str(error)
        result.values.pop(who, None)
    else:
        if keep:
            result.values.setdefault(who, []).append(value)
