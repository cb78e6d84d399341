"""Reports of workers with some of their rows left out: what came twice, or too late, is nobody's."""

from __future__ import annotations

from itertools import compress
from typing import Any

__all__ = ["keeping", "without"]


def without(report: Any, ghosts: set[tuple[int, float]]) -> Any:
    """The report less the attempts (index, start) that were given up before: their items may be running again."""
    attempts = list(zip(report.indices, report.started, strict=True))
    failed = [(failure.index, failure.started) for failure in report.failures]
    stale = ghosts.intersection([*attempts, *failed])
    if not stale:
        return report
    ghosts -= stale
    report = report._replace(failures=[f for f in report.failures if (f.index, f.started) not in stale])
    return keeping(report, [attempt not in stale for attempt in attempts])


def keeping(report: Any, keep: list[bool]) -> Any:
    """The rows of a report for which `keep` is true."""
    columns = [list(compress(column, keep)) for column in report[:6]]
    return type(report)(*columns, report.failures, report.nbytes)
