"""A story in short, for programs and for CI: `digest` as plain data, `markdown` of it. The names are those of the summary that
the commands print with `--json`, as far as both say the same."""

from __future__ import annotations

from typing import Any

from ..markdown import code, table, text
from ..plain import line, plain
from ..plan.plan import in_bytes, in_time
from . import figures
from .story import FAILED, RETRIED, Story

__all__ = ["digest", "markdown"]

SLOWEST = 5
KINDS = 20  # of failures
MOVES = 20  # of the limit, the last ones


def digest(story: Story) -> dict[str, Any]:
    """Seconds and bytes are numbers, and what is not known is None."""
    attempts, stats, plan = story.attempts, story.stats, story.plan
    times = [attempts.seconds(position) for position in range(len(attempts))]
    items, seconds = int(stats.get("items") or 0), story.seconds
    kinds = figures.failures(story)
    return {
        "name": line(story.name),
        "whole": story.whole,
        "items": items,
        "ok": int(stats.get("ok") or 0),
        "failed": int(stats.get("failed") or 0),
        "seconds": round(seconds, 6),
        "rate": round(items / seconds, 3) if seconds else 0.0,
        "attempts": int(stats.get("attempts") or len(attempts)),
        "retried": attempts.state.count(RETRIED),
        "resumed": int(stats.get("resumed") or 0),
        "cpu": stats.get("cpu"),
        "workers_lost": int(stats.get("workers_lost") or 0),
        "peak": stats.get("peak") or story.history.peak or None,
        "plan": {
            **{name: plan.get(name) for name in ("model", "placement", "parallelism", "concurrency")},
            **{name: line(str(plan.get(name) or "")) for name in ("headline", "work")},
            "reasons": [line(str(reason)) for reason in plan.get("reasons") or ()],
        },
        "limit": stats.get("limit"),
        "moves": [[round(at, 6), limit, line(why), line(key)] for at, limit, why, key in story.history.moves[-MOVES:]],
        "durations": dict(figures.percentiles(times)),
        "failures": [
            {"kind": each.kind, "host": each.host, "count": each.items, "example": each.item, "message": each.message}
            for each in kinds[:KINDS]
        ],
        "slowest": [_slow(story, position) for position in figures.slowest(story, SLOWEST)],
        "settings": dict(story.settings),
        "command": plain(story.command),
    }


def _slow(story: Story, position: int) -> dict[str, Any]:
    attempts = story.attempts
    return {
        "item": attempts.labels.get(position, str(attempts.index[position])),
        "index": attempts.index[position],
        "seconds": attempts.seconds(position),
        "cpu": attempts.cpu[position],
        "ok": attempts.state[position] not in (FAILED, RETRIED),
    }


def markdown(story: Story) -> str:
    """For a job summary or a comment: a line of sums, what was chosen and why, what failed, what was slow."""
    told = digest(story)
    failed = f", **{told['failed']} failed**" if told["failed"] else ""
    lines = [f"### {code(told['name'] or 'a run')}", ""]
    lines.append(f"{told['items']} items: {told['ok']} ok{failed}; {in_time(told['seconds'])}, {told['rate']:.4g}/s")
    if not told["whole"]:
        lines += ["", "The trace ends before the run does."]
    if headline := told["plan"]["headline"]:
        lines += ["", f"**{text(headline)}**", *(f"- {text(reason)}" for reason in told["plan"]["reasons"])]
    if told["failures"]:
        rows = [
            [str(e["count"]), code(e["kind"]), code(e["host"]), code(e["example"], 100), code(e["message"])]
            for e in told["failures"]
        ]
        lines += ["", *table(("failed", "class", "host", "such as", "which said"), rows, numbers=1)]
    if durations := told["durations"]:
        lines += ["", *table(tuple(durations), [[in_time(value) for value in durations.values()]], numbers=len(durations))]
    if told["slowest"]:
        rows = [[in_time(e["seconds"]), in_time(e["cpu"]), code(e["item"], 100)] for e in told["slowest"]]
        lines += ["", *table(("slowest", "CPU", "item"), rows, numbers=2)]
    more = [f"memory at most {in_bytes(told['peak'])}"] if told["peak"] else []
    more += [f"{told['workers_lost']} workers lost"] if told["workers_lost"] else []
    more += [f"{told['retried']} attempts were tried again"] if told["retried"] else []
    return "\n".join([*lines, *(["", "; ".join(more)] if more else []), "", ""])
