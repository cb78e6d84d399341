"""What a verdict is, and what counts as faster. `judges` gives them.

A demo that runs once on a busy machine must not call noise a result: the bounds are wide of what a quiet machine gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CAVEAT", "FAILS", "FASTER", "HOLDS", "MUCH", "UNKNOWN", "Verdict", "Word", "arrow", "rough"]

Word = Literal["holds", "holds with a caveat", "does not hold here", "could not be measured"]
HOLDS: Word = "holds"
CAVEAT: Word = "holds with a caveat"
FAILS: Word = "does not hold here"
UNKNOWN: Word = "could not be measured"

FASTER = 1.25  # times: what counts as faster at all
MUCH = 1.5  # times: what counts as clearly faster
BUSY = 0.8  # of a core that one thread alone got: with less, other work is in the way


@dataclass(frozen=True, slots=True)
class Verdict:
    """The `word`, a `sentence` or a few that say why, and the `figure` for the summary."""

    word: Word
    sentence: str
    figure: str = ""


def arrow(before: float, after: float) -> str:
    """`1.43 → 0.31 s`, or to a millisecond below a second."""
    digits = 2 if before >= 1 else 3
    return f"{before:.{digits}f} → {after:.{digits}f} s"


def rough(share: float, cores: int = 2, told: str = "") -> str:
    """What a reader must know to trust the times, as a sentence to add; empty when there is nothing."""
    if cores == 1:
        return " There is one core to use: nothing can compute beside it."
    if share < BUSY:
        told = told or f"one thread alone got {100 * share:.0f} % of a core"
        return f" This machine is busy, {told}: take the times as rough."
    return ""
