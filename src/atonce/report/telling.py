"""From a story to what the page is filled with: plain lists and numbers, each of them once."""

from __future__ import annotations

import json
import math
import platform
import zlib
from typing import Any

from .. import __version__
from ..engine.history import Move
from ..plain import line, plain
from ..plan.machine import gil_enabled, python, usable_cpus
from . import figures
from .story import RETRIED, Story

__all__ = ["about", "told"]

# Bytes of the packed timeline, in base64, above which it is cut: see `_fit`.
MOST = 1_900_000


def told(story: Story, room: int = 100_000) -> dict[str, Any]:
    """All the page says about a run."""
    attempts, stats = story.attempts, story.stats
    times = [attempts.seconds(position) for position in range(len(attempts))]
    thinned = figures.thin(story, room)
    slow = figures.slowest(story)
    data: dict[str, Any] = {
        "kind": "run",
        "title": story.name,
        "whole": story.whole,
        "plan": _clean(story.plan),
        "numbers": {
            **{key: stats.get(key) for key in _NUMBERS},
            "seconds": round(story.seconds, 6),
            "retried": attempts.state.count(RETRIED),
            "work": sum(times),
            "lanes": len(story.lanes),
            "processes": len({lane.pid for lane in story.lanes}),
        },
        "why": line(str(stats.get("why") or "")),
        "lanes": [list(story.lanes[lane]) for lane in figures.lane_order(story)],
        "timeline": _columns(story, thinned, set(slow)),
        "thinned": thinned.thinned,
        "last_only": story.last_only,
        "series": {name: [round(value, 6) for value in values] for name, values in figures.over_time(story).items()},
        "percentiles": figures.percentiles(times),
        "histogram": figures.histogram(times),
        "failures": [list(failure) for failure in figures.failures(story)],
        "slowest": [_slow(story, position) for position in slow],
        "moves": [[round(at, 6), limit, why, key] for at, limit, why, key in _moves(story)],
        "steps": _thinned([[round(at, 6), limit] for at, limit in figures.steps(story)]),
        "memory": _memory(story),
        "moments": [[round(at, 6), kind, text] for at, kind, text in story.moments],
        "about": about(story.started, story.command),
        "code": _code(story),
    }
    _fit(data["timeline"], {number for number, position in enumerate(thinned.position) if position in slow})
    return data


def _fit(timeline: dict[str, Any], slow: set[int]) -> None:
    """Do without more and more, until the page is small enough to be sent by mail: the items of what was quick and went well,
    then most of each message, then the messages of all but the first that failed. What failed is told by class in any case."""
    label, state, error = timeline["label"], timeline["state"], timeline["error"]
    for number, text in enumerate(label if _packed(timeline) > MOST else ()):
        if text and not state[number] and number not in slow:
            label[number] = ""
    for length, count in ((60, len(error)), (60, 2000)):
        if _packed(timeline) > MOST:
            error = timeline["error"] = {number: line(text, length) for number, text in list(error.items())[:count]}


def _packed(timeline: dict[str, Any]) -> float:
    return len(zlib.compress(json.dumps(timeline).encode(), 6)) * 4 / 3


_NUMBERS = ("items", "ok", "failed", "attempts", "cpu", "workers_lost", "threads_left", "resumed", "limit", "peak")


def _moves(story: Story) -> list[Move]:
    return [move._replace(why=line(move.why, 300), key=line(move.key, 120)) for move in story.history.moves]


def _thinned(rows: list[Any], most: int = 2000) -> list[Any]:
    """Evenly, with the last of them."""
    return rows if len(rows) <= most else [*rows[:: math.ceil(len(rows) / most)], rows[-1]]


def _memory(story: Story) -> dict[str, list[float]]:
    weights = story.history.weights
    return {
        "at": [round(max(0.0, weight.at), 6) for weight in weights],
        "own": [weight.own for weight in weights],
        "all": [weight.own + weight.workers for weight in weights],
    }


def about(started: float | None = None, command: str = "") -> dict[str, Any]:
    """What it was measured on, and by what command."""
    return {
        "atonce": __version__,
        "python": python(),
        "system": f"{platform.system()} {platform.machine()}".strip(),
        "cores": usable_cpus(),
        "gil": gil_enabled(),
        "started": started,
        "command": plain(command),
    }


def _columns(story: Story, thinned: figures.Thinned, slow: set[int]) -> dict[str, Any]:
    """Whole microseconds; starts as differences to the one before, which packs well."""
    attempts = story.attempts
    starts = [round(start * 1e6) for start in thinned.start]
    label = [attempts.labels.get(position, "") for position in thinned.position]
    index = [attempts.index[position] for position in thinned.position]
    return {
        "lane": _steps(thinned.lane),
        "start": _steps(starts),
        "length": [round(end * 1e6) - start for start, end in zip(starts, thinned.end, strict=True)],
        "cpu": [round(cpu * 1e6) for cpu in thinned.cpu],
        "wall": [round(wall * 1e6) for wall in thinned.wall] if thinned.thinned else None,
        "state": thinned.state,
        "count": thinned.count if thinned.thinned else None,
        "index": _steps(index),
        # an item that is its own number, as in range(n), needs none
        "label": ["" if text == str(number) else text for text, number in zip(label, index, strict=True)],
        "error": {
            number: attempts.errors[position] for number, position in enumerate(thinned.position) if position in attempts.errors
        },
    }


def _steps(values: list[int]) -> list[int]:
    return [value - before for before, value in zip([0, *values], values, strict=False)]


def _slow(story: Story, position: int) -> list[Any]:
    attempts = story.attempts
    lane = story.lanes[attempts.lane[position]]
    label = attempts.labels.get(position, f"#{attempts.index[position]}")
    where = f"{lane.worker}.{lane.slot}"
    return [
        label,
        attempts.index[position],
        attempts.seconds(position),
        attempts.cpu[position],
        attempts.state[position],
        where,
    ]


def _code(story: Story) -> str:
    """The call that does the same without measuring first; or, where there was a command, what to add to it."""
    chosen = _chosen(story)
    if story.command:
        return line(" ".join(f"--{name} {value}" for name, value in chosen.items()))
    if not chosen:
        return ""
    options = {name: repr(value) for name, value in chosen.items()}
    options |= {name: value for name, value in story.settings.items() if name not in chosen}
    call = ", ".join([story.name or "fn", "items", *(f"{name}={value}" for name, value in options.items())])
    return line(f"atonce.run({call})", 600)


def _chosen(story: Story) -> dict[str, Any]:
    """The point on the two axes, as options; a limit that moved is that at the end."""
    plan = story.plan
    if not plan.get("model"):
        return {}
    chosen: dict[str, Any] = {"model": plan["model"]}
    if plan.get("placement") in ("process", "thread"):
        chosen["parallelism"] = plan["parallelism"]
    if plan.get("runner") not in (None, "call"):
        slots = story.stats.get("limit") if plan.get("most") is not None else None
        parallelism = max(1, int(plan.get("parallelism") or 1))
        chosen["concurrency"] = max(1, slots // parallelism) if isinstance(slots, int) else plan["concurrency"]
    return chosen


def _clean(plan: dict[str, Any]) -> dict[str, Any]:
    """The parts that are shown; those of a trace are somebody's word."""
    ranked = [
        {"model": line(str(each.get("model"))), "point": f"{each.get('parallelism')} × {each.get('concurrency')}",
         "seconds": each.get("seconds"), "why": line(str(each.get("why") or ""))}
        for each in plan.get("ranked") or () if isinstance(each, dict)
    ]  # fmt: skip
    hints = [
        {key: plain(str(each.get(key) or "")) for key in ("name", "text", "old", "new")}
        for each in plan.get("hints") or ()
        if isinstance(each, dict)
    ]
    sample = plan.get("sample") if isinstance(plan.get("sample"), dict) else None
    return {
        "headline": line(str(plan.get("headline") or "")),
        "model": line(str(plan.get("model") or "")),
        "work": line(str(plan.get("work") or "")),
        "reasons": [line(str(reason), 400) for reason in plan.get("reasons") or ()],
        "warnings": [line(str(warning), 400) for warning in plan.get("warnings") or ()],
        "predicted": plan.get("seconds"),
        "ranked": ranked,
        "hints": hints,
        "wall": sample.get("wall") if sample else None,
    }
