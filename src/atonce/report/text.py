"""The story on a terminal: `text_of`, the same facts as on the page and a timeline drawn with characters."""

from __future__ import annotations

from textwrap import wrap
from typing import Any, NamedTuple

from ..plain import line
from ..plan.plan import in_time
from .figures import failures, lane_order, percentiles, slowest
from .story import FAILED, OK, RETRIED, Story

__all__ = ["STYLES", "Glyphs", "busiest", "cells", "text_of"]

LANES = 24  # rows of the timeline at most
# pattern → style of rich, for a terminal that has colors
STYLES = {
    r"(?m)^  [\d ]+ items?: .*$": "bold",
    r"(?m)^  because": "dim",
    r"█+": "bright_blue",
    r"░+": "blue",
    r"·{2,}": "dim",
    r"(?<=[█░·×])×+|×+(?=[█░·×])": "bold red",
    r"(?m)^  [\d ]+ × \S+": "red",
}


class Glyphs(NamedTuple):
    """What the timeline is drawn with: nothing runs, waits, computes, failed."""

    idle: str = "·"
    waits: str = "░"
    computes: str = "█"
    failed: str = "×"

    @classmethod
    def plain(cls) -> Glyphs:
        return cls(".", "-", "#", "x")


def text_of(story: Story, width: int = 80, glyphs: Glyphs | None = None) -> str:
    """Lines of at most about `width` columns, and nothing in them that steers a terminal."""
    parts = [
        _verdict(story),
        _timeline(story, width, glyphs or Glyphs()),
        _times(story, width),
        _failures(story),
        _slowest(story),
    ]
    lines = [_cut(text, max(width, 200)) for part in parts if part for text in (*part, "")]
    return "\n".join(lines[:-1])


def _cut(text: str, width: int) -> str:
    """At most so wide, and as far in as it is."""
    told = text.lstrip()
    indent = len(text) - len(told)
    return text if len(text) <= width else f"{'':{indent}}{line(told, width - indent)}"


def _verdict(story: Story) -> list[str]:
    stats: dict[str, Any] = story.stats
    rate = stats["items"] / story.seconds if story.seconds else 0.0
    failed = f", {stats['failed']} failed" if stats.get("failed") else ""
    lines = [
        *([story.name] if story.name else []),
        line(str(story.plan.get("headline", ""))),
        f"  {stats.get('items', 0)} items: {stats.get('ok', 0)} ok{failed}; {in_time(story.seconds)}, {rate:.4g}/s",
    ]
    if not story.whole:
        lines.append("  the trace ends before the run does")
    return [*lines, *(f"  because {line(str(reason))}" for reason in story.plan.get("reasons") or ())]


def _timeline(story: Story, width: int, glyphs: Glyphs) -> list[str]:
    order = busiest(story, LANES)
    if not order:
        return []
    names = [f"{story.lanes[lane].worker}.{story.lanes[lane].slot}" for lane in order]
    label = max(map(len, (*names, "slot")))
    columns = max(20, width - label - 4)
    total = max(story.seconds, 1e-9)
    rows = cells(story, order, columns, total)
    scale = f"0 {'':{max(0, columns - 2 - len(in_time(total)))}}{in_time(total)}"
    drawn = ["".join(_glyph(cell, total / columns, glyphs) for cell in row) for row in rows]
    legend = f"{glyphs.computes} computes  {glyphs.waits} waits  {glyphs.failed} failed  {glyphs.idle} idle"
    lines = [f"  {'slot':<{label}}  {scale}", *(f"  {name:<{label}}  {row}" for name, row in zip(names, drawn, strict=True))]
    left = len(story.lanes) - len(order)
    more = [f"  … and {left} more slots that had less to do"] if left else []
    return [*lines, *more, f"  {'':<{label}}  {legend}"]


def busiest(story: Story, most: int) -> list[int]:
    """Positions of the lanes from top to bottom; where there are more, of those that had the most to do."""
    order = lane_order(story)
    if len(order) <= most:
        return order
    busy = [0.0] * len(order)
    for lane, start, end in zip(story.attempts.lane, story.attempts.start, story.attempts.end, strict=True):
        busy[lane] += end - start
    chosen = set(sorted(order, key=lambda lane: -busy[lane])[:most])
    return [lane for lane in order if lane in chosen]


def cells(story: Story, lanes: list[int], columns: int, total: float) -> list[list[list[float]]]:
    """For each lane and span of time: seconds of attempts, of computing, and whether one failed."""
    rows = {lane: [[0.0, 0.0, 0.0] for _ in range(columns)] for lane in lanes}
    attempts, width = story.attempts, total / columns
    for position in range(len(attempts)):
        row = rows.get(attempts.lane[position])
        if row is None:
            continue
        start, end = attempts.start[position], attempts.end[position]
        share = min(1.0, attempts.cpu[position] / (end - start)) if end > start else 0.0
        first, last = (min(columns - 1, max(0, int(at / width))) for at in (start, end))
        for column in range(first, last + 1):
            part = max(0.0, min(end, (column + 1) * width) - max(start, column * width))
            cell = row[column]
            cell[0] += part
            cell[1] += part * share
        if attempts.state[position] != OK:
            row[last][2] = 1.0
    return list(rows.values())


def _glyph(cell: list[float], width: float, glyphs: Glyphs) -> str:
    busy, computing, failed = cell
    if failed:
        return glyphs.failed
    if busy < 0.02 * width:
        return glyphs.idle
    return glyphs.computes if computing > 0.5 * busy else glyphs.waits


def _times(story: Story, width: int) -> list[str]:
    attempts = story.attempts
    found = percentiles([attempts.seconds(position) for position in range(len(attempts))])
    said = " · ".join(f"{name} {in_time(value)}".replace(" ", "\N{NO-BREAK SPACE}") for name, value in found)
    lines = wrap(f"an attempt takes: {said}", width, initial_indent="  ", subsequent_indent="    ") if found else []
    return [each.replace("\N{NO-BREAK SPACE}", " ") for each in lines]


def _failures(story: Story) -> list[str]:
    return [
        f"  {each.items} × {each.kind}{f' at {each.host}' if each.host else ''}, such as {line(each.item, 60)}: {each.message}"
        for each in failures(story)
    ]


def _slowest(story: Story) -> list[str]:
    attempts = story.attempts
    words = {OK: "", FAILED: ", failed", RETRIED: ", tried again"}
    rows = []
    for position in slowest(story, 5):
        label = attempts.labels.get(position, f"#{attempts.index[position]}")
        rows.append(f"    {in_time(attempts.seconds(position)):>8}  {line(label, 60)}{words[attempts.state[position]]}")
    return ["  the slowest:", *rows] if rows else []
