"""The result as text for a terminal and as JSON for the record."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from .case import OURS, Case
from .runner import Result

__all__ = ["HEADER", "LEGEND", "as_json", "cells", "rows"]

_WIDTHS = (17, 42, 9, 20, 10)

LEGEND = """\
Times are µs an item, or s and ms for all; MB are how far the calling process grew. All are medians over the rounds.
The ratio is ours ÷ peer where the target is an upper limit (≤ 0.5); peer ÷ ours, that is speed, where it is a lower one
(≥ 2.5); ours − peer where the target has a plus. It is the median of the rounds' own ratios; the least and the greatest
follow in brackets. The first peer of a row decides, the others are for information."""


def _line(*cells: str) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return " ".join([*padded, *cells[len(_WIDTHS) :]]).rstrip()


HEADER = _line("what", "peer", "ours", "ratio", "target", "verdict")


def rows(result: Result) -> Iterator[str]:
    """The lines of one case: the peer that decides beside ours, the other peers below."""
    for row in cells(result):
        yield _line(*row)
    if result.skipped is not None:
        yield f"  {result.skipped}"
    for who, why in result.failed.items():
        yield f"  {who}: {why}"


def cells(result: Result) -> Iterator[tuple[str, str, str, str, str, str]]:
    """What, peer, ours, ratio, target and verdict; beside the second and further peers only what is theirs."""
    case = result.case
    ours = result.median(OURS)
    ours_text = "failed" if ours is None else _quantity(ours, case)
    target, verdict = _target(case), result.verdict
    if result.skipped is not None or not case.peers:
        yield case.name, "", "" if result.skipped else ours_text, "", target, verdict
    for number, peer in enumerate(case.peers if result.skipped is None else ()):
        theirs = result.median(peer)
        peer_text = f"{peer} {'failed' if theirs is None else _quantity(theirs, case)}"
        ratio = _ratio(result.figures(peer), case)
        if number == 0:
            yield case.name, peer_text, ours_text, ratio, target, verdict
        else:
            yield "", peer_text, "", ratio, "", ""


def as_json(results: Sequence[Result], about: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, round by round."""
    return {**about, "results": [_record(result) for result in results]}


def _record(result: Result) -> dict[str, Any]:
    case = result.case
    figures = result.deciding
    return {
        "name": case.name,
        "what": case.what,
        "n": result.n,
        "unit": case.unit,
        "target": {"kind": case.target.kind, "limit": case.target.limit, "peer": next(iter(case.peers), None)},
        "figure": statistics.median(figures) if figures else None,
        "spread": [min(figures), max(figures)] if figures else None,
        "verdict": result.verdict,
        "skipped": result.skipped,
        "failed": result.failed,
        "rounds": result.values,
    }


def _target(case: Case) -> str:
    kind, limit = case.target.kind, f"{case.target.limit:g}"
    if kind in ("cost", "speed"):
        return f"{'≤' if kind == 'cost' else '≥'} {limit}"
    return f"≤ {'+' if kind == 'extra' else ''}{limit} {case.unit}"


def _ratio(figures: Sequence[float], case: Case) -> str:
    if not figures:
        return ""
    sign = "+" if case.target.kind == "extra" else ""
    middle, least, most = (_number(f(figures)) for f in (statistics.median, min, max))
    return f"{sign}{middle} ({least}–{most})"


def _quantity(value: float, case: Case) -> str:
    return f"{_number(value)} {case.unit}"


def _number(value: float) -> str:
    """Three figures."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
