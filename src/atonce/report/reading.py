"""Stories are read from what a run leaves: `story_of_run` from its outcomes, `story_of_trace` from the file of a trace.

A trace may come from anybody and may end anywhere: what is not an event as ours are is passed over.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..engine.history import Move, Weight
from ..errors import UsageError, said
from ..plain import label, line
from .story import FAILED, OK, RETRIED, WIDTH, Lane, Moment, Story

if TYPE_CHECKING:
    from ..outcome import Run, WorkerId

__all__ = ["judge", "story_of_events", "story_of_run", "story_of_trace"]

MOMENTS = 2000  # at most: a run that replaces its workers all the time has more of them than anybody reads


def story_of_run(run: Run[Any]) -> Story:
    """Of a run in memory: an outcome has the last attempt only."""
    story = Story(name=line(run.name), plan=run.plan.as_json(), stats=run.stats._asdict(), last_only=True)
    story.settings = {name: line(value) for name, value in run.settings.items()}
    ran = [outcome for outcome in run.outcomes if outcome.worker is not None]
    zero = min((outcome.started for outcome in ran), default=0.0)
    if run.history is not None:
        zero = min(zero, run.history.began) if ran else run.history.began
        story.history = run.history.since(zero)
    lanes: dict[WorkerId, int] = {}
    workers: dict[int, int] = {}
    for outcome in sorted(ran, key=lambda outcome: outcome.started):
        assert outcome.worker is not None
        pid, _, slot = outcome.worker
        lane = lanes.get(outcome.worker)
        if lane is None:
            lane = lanes[outcome.worker] = len(story.lanes)
            story.lanes.append(Lane(workers.setdefault(pid, len(workers)), slot, pid))
        error = None if outcome.error is None else ": ".join(said(outcome.error))
        if outcome.ok and getattr(outcome.value, "ok", True) is False:  # a Page
            error = f"{getattr(outcome.value, 'error_class', 'failed')}: {getattr(outcome.value, 'error', '')}"
        times = (outcome.started - zero, outcome.ended - zero, outcome.cpu)
        story.attempts.add(lane, outcome.index, *times, label(outcome.item), error)
    for outcome in run.outcomes:
        if outcome.worker is None and outcome.error is not None:
            story.elsewhere[outcome.index] = (line(label(outcome.item), WIDTH), line(": ".join(said(outcome.error)), 300))
    if any(attempt != OK for attempt in story.attempts.state) and not run.stats.failed:
        _recount(story)
    return story


def story_of_trace(path: str) -> Story:
    """Of a file that `trace=` wrote, compressed or not, whole or cut off. Raises UsageError when it is not one."""
    try:
        with open(path, "rb") as file:
            return story_of_events(_events(file))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="a file that --trace or trace= has written"
        ) from error
    except _Foreign:
        raise UsageError(f"{path} is not a trace of atonce", hint="a file that --trace or trace= has written") from None


class _Foreign(Exception):
    pass


def story_of_events(events: Iterable[Mapping[str, Any]]) -> Story:
    """Of a trace's events, in their order."""
    story, reader = Story(whole=False), None
    for event in events:
        if reader is None:
            if event.get("name") != "atonce" or event.get("ph") != "M":
                raise _Foreign
            reader = _Reader(story)
        try:
            reader.read(event)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
    if reader is None:
        raise _Foreign
    reader.end()
    return story


class _Reader:
    """Puts events into a story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._lanes: dict[tuple[int, int], int] = {}
        self._failed: dict[int, int] = {}  # index → position of its last attempt, where that failed
        self._slots: dict[str, int] = {}
        self._rows: dict[tuple[int, int], tuple[int, int]] = {}  # (pid, tid) → (worker, slot)

    def read(self, event: Mapping[str, Any]) -> None:
        match event["ph"]:
            case "X":
                self._attempt(event)
            case "i":
                self._moment(event)
            case "C" if event["name"] == "slots":
                for worker, count in event["args"].items():
                    self._slots[str(worker)] = int(count)
                self._story.slots.append((_seconds(event["ts"]), sum(self._slots.values())))
            case "C" if event["name"] == "memory":
                held = (int(event["args"][whose]) for whose in ("caller", "workers"))
                self._story.history.weighed(Weight(_seconds(event["ts"]), *held))
            case "M" if event["name"] == "thread_name" and "worker" in event["args"]:
                worker, slot = (int(event["args"][name]) for name in ("worker", "slot"))
                self._rows[int(event["pid"]), int(event["tid"])] = worker, slot
            case "M" if event["name"] == "atonce":
                self._story.name = line(str(event["args"]["name"]))
                settings = dict(event["args"].get("settings") or {})
                self._story.settings = {line(str(name), 40): line(str(value)) for name, value in settings.items()}
                self._story.started = _finite(event["args"].get("started"))

    def _attempt(self, event: Mapping[str, Any]) -> None:
        story, args = self._story, event["args"]
        pid, tid, index = int(event["pid"]), int(event["tid"]), int(args["index"])
        start, length = _seconds(event["ts"]), _seconds(event["dur"])
        lane = self._lanes.get((pid, tid))
        if lane is None:
            lane = self._lanes[pid, tid] = len(story.lanes)
            story.lanes.append(Lane(*self._rows.get((pid, tid), (len(self._lanes) - 1, 0)), pid))
        failed = event.get("cat") == "failed"
        error = str(args.get("error", "failed")) if failed else None
        cpu = _seconds(args.get("cpu_us", 0.0))
        position = story.attempts.add(lane, index, start, start + length, cpu, str(event["name"]), error)
        story.elsewhere.pop(index, None)
        before = self._failed.pop(index, None)
        if before is not None:
            story.attempts.state[before] = RETRIED
        if failed:
            self._failed[index] = position

    def _moment(self, event: Mapping[str, Any]) -> None:
        story, name, args = self._story, str(event["name"]), dict(event["args"])
        if name == "planned":
            story.plan = args
        elif name == "closed":
            story.stats, story.whole = args, True
        elif event.get("cat") == "limit":
            why, key = (line(str(args.get(what) or ""), 300) for what in ("why", "key"))
            story.history.moved(Move(_seconds(event["ts"]), int(args["limit"]), why, key))
        elif event.get("cat") == "worker":
            if name == "hired":
                story.plan = {"model": args["model"], "headline": args["plan"], "reasons": args["because"]}
            if name == "lost":
                for index in map(int, args["running"]):
                    if index not in self._failed:  # else its attempt is there
                        why = f"WorkerDied: its worker was lost, status {args['status']!r:.20}"
                        story.elsewhere[index] = str(index), why
            if len(story.moments) < MOMENTS:
                said = ", ".join(f"{key} {value}" for key, value in args.items() if key in ("status", "slot", "index", "plan"))
                worker = f"worker {int(args['worker'])}"
                story.moments.append(Moment(_seconds(event["ts"]), line(name, 40), line(f"{worker} {name} {said}".strip())))

    def end(self) -> None:
        if not self._story.whole:
            _recount(self._story)


def judge(story: Story, verdicts: Mapping[int, tuple[str, str]]) -> None:
    """What the caller made of it: the items of these indices failed, with the kind and the message given; no others did."""
    attempts, left = story.attempts, dict(verdicts)
    for position in range(len(attempts) - 1, -1, -1):
        if attempts.state[position] == RETRIED:
            continue
        verdict = left.pop(attempts.index[position], None)
        if verdict is not None:
            attempts.labels.setdefault(position, str(attempts.index[position]))
            attempts.failed(position, f"{verdict[0]}: {verdict[1]}")
    story.elsewhere = {index: (str(index), line(f"{kind}: {message}", 300)) for index, (kind, message) in left.items()}


def _recount(story: Story) -> None:
    """The sums as far as the attempts tell them."""
    attempts = story.attempts
    failed = attempts.state.count(FAILED) + len(story.elsewhere)
    ok = attempts.state.count(OK)
    counted = {"items": ok + failed, "ok": ok, "failed": failed, "attempts": len(attempts), "cpu": math.fsum(attempts.cpu)}
    story.stats = {**story.stats, **counted, "seconds": story.seconds}


def _events(file: Any) -> Iterator[dict[str, Any]]:
    """Line by line; the last may be torn."""
    for text in _lines(file):
        text = text.strip().removesuffix(b",")
        if text in (b"", b"[", b"]"):
            continue
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _lines(file: Any) -> Iterator[bytes]:
    head = file.read(2)
    file.seek(0)
    if head != b"\x1f\x8b":
        if not head.startswith(b"["):
            raise _Foreign
        yield from file
        return
    unpacker, rest = zlib.decompressobj(31), b""
    while piece := file.read(1 << 16):
        try:
            *whole, rest = (rest + unpacker.decompress(piece)).split(b"\n")
        except zlib.error:
            break
        yield from whole
    yield rest


def _seconds(micro: Any) -> float:
    return _finite(micro) / 1e6


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
