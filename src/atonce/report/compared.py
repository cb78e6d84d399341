"""From a comparison to what the page is filled with: the medians, where each model was on the two axes, small timelines."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ..plain import line
from .telling import about

if TYPE_CHECKING:
    from ..comparison import Comparison

__all__ = ["told"]


def told(comparison: Comparison, command: str = "") -> dict[str, Any]:
    """All the page says about a comparison."""
    last = {turn.model: turn for turn in comparison.turns if not turn.error}
    rows = []
    for row in comparison.rows:
        turn = last[row.model]
        drawn = {"in_each": turn.in_each, "lanes": turn.lanes, "picture": turn.picture, "picture_seconds": turn.seconds}
        rows.append({**dataclasses.asdict(row), **drawn})
    return {
        "kind": "comparison",
        "title": line(comparison.name),
        "items": comparison.items,
        "rounds": comparison.rounds,
        "winner": comparison.winner,
        "advised": comparison.advised,
        "agreed": comparison.agreed,
        "within_noise": comparison.within_noise,
        "rows": rows,
        "left_out": [[model, line(why)] for model, why in comparison.left_out.items()],
        "broken": [[turn.model, turn.round, line(turn.error)] for turn in comparison.turns if turn.error],
        "notes": [line(note) for note in comparison.notes],
        "about": about(command=command),
    }
