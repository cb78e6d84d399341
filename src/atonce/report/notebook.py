"""What a notebook shows of a run, a plan and a comparison: HTML of its own, without scripts, colors of either theme.

A notebook shows this inside a page that is not ours, trusted or not: so every style is inline, nothing is asked for, and what
comes from items is only ever escaped text. `html_of_run`, `html_of_plan`, `html_of_comparison`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..plain import line, plain
from ..plan.plan import Candidate, Plan, in_bytes, in_time, where_time_goes
from .figures import failures, percentiles
from .story import Story
from .text import busiest, cells

if TYPE_CHECKING:
    from ..comparison import Comparison

__all__ = ["html_of_comparison", "html_of_plan", "html_of_run"]

# Shares of the foreground's color do in both themes; these two are told apart in both.
_BLUE, _PALE, _RED = "#3b82c4", "#3b82c466", "#d14343"
_LANES, _COLUMNS = 16, 160  # of the small timeline
KINDS = 8  # of failures


def html_of_run(story: Story) -> str:
    """The verdict, a small timeline, what failed."""
    stats = story.stats
    rate = stats.get("items", 0) / story.seconds if story.seconds else 0.0
    parts = [_b(f"{stats.get('items', 0):,} items in {in_time(story.seconds)}"), f"{stats.get('ok', 0):,} ok"]
    if stats.get("failed"):
        parts.append(f'<span style="color:{_RED}">{stats["failed"]:,} failed</span>')
    parts.append(f"{rate:.4g}/s")
    body = [_p(" · ".join(parts)), _p(_text(str(story.plan.get("headline") or ""))), _why(story.plan.get("reasons") or ())]
    body.append(_timeline(story))
    attempts = story.attempts
    found = percentiles([attempts.seconds(position) for position in range(len(attempts))])
    if found:
        body.append(_dim("an attempt takes " + " · ".join(f"{name} {in_time(value)}" for name, value in found)))
    if kinds := failures(story)[:KINDS]:
        rows = (map(_text, (f"{each.items:,}", each.kind, each.host, each.item, each.message)) for each in kinds)
        body.append(_table(("failed", "class", "host", "such as", "which said"), rows, numbers=1))
    return _box(story.name or "a run", body)


def html_of_plan(plan: Plan) -> str:
    """What was chosen and why; every model's prediction; where an item's time goes; what to change."""
    body = [_p(_b(plan.headline)), _why(plan.reasons), _why(plan.warnings, "note:")]
    if plan.sample is not None:
        shares = [(_text(f"{share:.0%}"), _bar(share, 1.0), _text(what)) for what, share, _ in where_time_goes(plan.sample)]
        body.append(_table((f"an item: {in_time(plan.sample.wall)}", "", ""), shares, numbers=1))
    if plan.ranked:
        most = max((each.seconds for each in plan.ranked if math.isfinite(each.seconds)), default=0.0)
        rows = [_predicted(each, most, each.model == plan.model) for each in plan.ranked]
        body.append(_table(("predicted", "", "model", "workers × slots", ""), rows, numbers=1))
    changes = (html.escape(plain(hint.told)) for hint in plan.hints)
    body += [f'<pre style="margin:.4em 0;white-space:pre-wrap">{change}</pre>' for change in changes]
    return _box("a plan", body)


def _predicted(each: Candidate, most: float, chosen: bool) -> tuple[str, ...]:
    if not math.isfinite(each.seconds):
        return "–", "", _text(each.model), _text(each.point), _text(f"cannot be: {each.why}")
    name = _b(each.model) if chosen else _text(each.model)
    return _text(in_time(each.seconds)), _bar(each.seconds, most), name, _text(each.point), "← chosen" if chosen else ""


def html_of_comparison(comparison: Comparison) -> str:
    """Each model's median as a bar with its spread, and the verdict."""
    rows = []
    most = max((row.spread[1] for row in comparison.rows), default=0.0)
    for row in comparison.rows:
        name = f"auto → {row.chose}" if row.model == "auto" else row.model
        speedup = "" if row.speedup is None else f"{row.speedup:.2f}"
        rows.append(
            (
                _text(in_time(row.seconds)),
                _text(speedup),
                _bar(row.seconds, most, row.spread),
                _b(name) if row.model == comparison.winner else _text(name),
                _text(f"{in_time(row.spread[0])} – {in_time(row.spread[1])}"),
                _text(in_bytes(row.peak) if row.peak else ""),
                _text(f"{row.pids} × {row.threads}"),
                f'<span style="color:{_RED}">{row.failed}</span>' if row.failed else "0",
            )
        )
    head = ("seconds", "× sync", "", "model", "from – to", "memory", "processes × threads", "failed")
    body = [_p(_b(comparison.verdict)), _dim(f"{comparison.items} items, {comparison.rounds} rounds")]
    body.append(_table(head, rows, numbers=2))
    told = [f"{model} left out: {why}" for model, why in comparison.left_out.items()]
    told += [f"{turn.model}, round {turn.round}: {turn.error}" for turn in comparison.turns if turn.error]
    return _box(comparison.name, [*body, _why([*told, *comparison.notes], "note:")])


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _timeline(story: Story) -> str:
    """Rows of slots; pale is waiting, dark computing, red a failure."""
    lanes, total = busiest(story, _LANES), max(story.seconds, 1e-9)
    if not lanes:
        return ""
    high, wide, width = 9, 4, total / _COLUMNS
    drawn = []
    for number, row in enumerate(cells(story, lanes, _COLUMNS, total)):
        for column, (busy, computing, failed) in enumerate(row):
            if busy < 0.02 * width and not failed:
                continue
            tint = _RED if failed else _BLUE if computing > 0.5 * busy else _PALE
            drawn.append(f'<rect x="{column * wide}" y="{number * high}" width="{wide}" height="{high - 1}" fill="{tint}"/>')
    size = f'viewBox="0 0 {_COLUMNS * wide} {len(lanes) * high}" width="{_COLUMNS * wide}" style="max-width:100%;display:block"'
    said = f"{len(story.attempts):,} attempts in {len(story.lanes)} slots over {in_time(story.seconds)}"
    more = f", the busiest {len(lanes)} of them here" if len(lanes) < len(story.lanes) else ""
    legend = f"0 – {in_time(story.seconds)}; a row is a slot{more}; dark computes, pale waits, red failed"
    ground = f'<rect width="{_COLUMNS * wide}" height="{len(lanes) * high}" fill="currentColor" opacity=".06"/>'
    picture = f'<svg role="img" aria-label="{html.escape(said)}" {size}>{ground}{"".join(drawn)}</svg>'
    return f'<div style="margin:.5em 0">{picture}{_dim(legend)}</div>'


def _text(text: str) -> str:
    return html.escape(line(text))


def _b(text: str) -> str:
    return f"<b>{_text(text)}</b>"


def _p(markup: str) -> str:
    return f'<div style="margin:.15em 0">{markup}</div>' if markup else ""


def _dim(text: str) -> str:
    return f'<div style="opacity:.65;font-size:.9em">{_text(text)}</div>'


def _why(reasons: Iterable[Any], word: str = "because") -> str:
    return "".join(_dim(f"{word} {reason}") for reason in reasons)


def _bar(value: float, most: float, spread: tuple[float, float] | None = None) -> str:
    def share(number: float) -> str:
        return f"{100 * max(0.0, min(1.0, number / (most or 1.0))):.2f}%"

    line = ""
    if spread is not None and spread[1] > spread[0]:
        left, wide = share(spread[0]), share(spread[1] - spread[0])
        line = f'<i style="position:absolute;left:{left};width:{wide};top:5px;height:2px;background:currentColor"></i>'
    filled = f'<i style="position:absolute;left:0;width:{share(value)};top:0;bottom:0;background:{_BLUE}"></i>'
    return f'<div style="position:relative;width:140px;height:12px;background:{_PALE}">{filled}{line}</div>'


def _table(head: Sequence[str], rows: Iterable[Iterable[str]], numbers: int = 0) -> str:
    """Cells are markup."""

    def cell(tag: str, column: int, markup: str) -> str:
        side = "right" if column < numbers else "left"
        return f'<{tag} style="text-align:{side};padding:2px 12px 2px 0;max-width:28em;overflow-wrap:anywhere">{markup}</{tag}>'

    heads = "".join(cell("th", column, _text(name)) for column, name in enumerate(head))
    body = "".join(f"<tr>{''.join(cell('td', column, each) for column, each in enumerate(row))}</tr>" for row in rows)
    return f'<table style="margin:.4em 0;border-collapse:collapse"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _box(title: str, body: Iterable[str]) -> str:
    head = f'<div style="opacity:.65">atonce · {_text(title)}</div>'
    return f'<div style="line-height:1.45;font-size:13px">{head}{"".join(body)}</div>'
