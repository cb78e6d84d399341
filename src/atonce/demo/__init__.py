"""The demo: every claim about Python's concurrency that atonce comes from, measured again on this machine.

    claims ──► measure (waiting, fetching, computing, failing) ──► frozen numbers (measured)
                                                                     ├──► judge (judges, pure) ──► Verdict ─┐
                                                                     └──► tell (telling, pure) ──► exhibits ┴──► show

Nothing leaves the machine: the servers are the lab's, on loopback, made for the run and ended with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

__all__ = ["run"]


def run(
    only: Sequence[str] | None = None,
    quick: bool = False,
    json: bool = False,
    stream: TextIO | None = None,
    report: str | None = None,
) -> int:
    """Measure the claims and print each with its numbers and a verdict to `stream` (None: stdout).

    `only` names claims ("C4"; None: all); `quick` takes small amounts and single rounds, for a look or a test; `json`
    prints one JSON document at the end instead; `report` is where an HTML page of it all is written (None: nowhere).
    Returns the exit code: 0 when every claim could be measured, whatever the verdicts; 1 when one could not; 130 after
    Ctrl-C. Raises UsageError for an unknown claim, before anything runs.
    """
    # here, not above: workers import their functions from this package, and need nothing else of it
    from .tour import tour

    return tour(only, quick=quick, as_json=json, stream=stream, report=report)
