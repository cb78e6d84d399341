"""A strict reader of Chrome's trace-event format, as far as a trace of atonce uses it: `check` raises where a viewer might not
take what is there. After "Trace Event Format" (JSON Array Format) and what Perfetto's importer of it does."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["check"]

ALWAYS = {"name", "ph", "pid"}
# phase → (fields that must be there, others that may be)
PHASES = {
    "X": ({"cat", "ts", "dur", "tid", "args"}, {"cname"}),
    "i": ({"cat", "ts", "tid", "s", "args"}, set()),
    "C": ({"ts", "args"}, set()),
    "M": ({"args"}, {"tid"}),
}
METADATA = {"atonce", "process_name", "thread_name", "thread_sort_index"}


def check(text: str) -> list[dict[str, Any]]:
    """The events. The array must be whole, and plain JSON: no NaN, no name twice in an object."""
    events: list[dict[str, Any]] = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    assert isinstance(events, list)
    ends: dict[tuple[int, int], float] = {}
    for event in events:
        _check(event)
    for event in sorted((each for each in events if each["ph"] == "X"), key=lambda each: (each["ts"], each["dur"])):
        # slices of a row may be in one another or beside one another; attempts are beside one another
        row = event["pid"], event["tid"]
        assert event["ts"] >= ends.get(row, 0.0) - 1e-6, event
        ends[row] = event["ts"] + event["dur"]
    return events


def _check(event: dict[str, Any]) -> None:
    must, may = PHASES[event["ph"]]
    assert ALWAYS | must <= set(event) <= ALWAYS | must | may, event
    assert isinstance(event["name"], str)
    # Perfetto reads both into 32 bits, and takes process 0 for the idle one
    assert 0 < event["pid"] < 1 << 32, event
    assert 0 < event.get("tid", 1) < 1 << 32, event
    assert isinstance(event["args"], dict)
    for name in ("ts", "dur"):
        value = event.get(name, 0)
        assert isinstance(value, int | float), event
        assert math.isfinite(value), event
        assert value >= 0, event
    if event["ph"] == "i":
        assert event["s"] in ("g", "p", "t")
    if event["ph"] == "C":
        assert event["args"]
        assert all(isinstance(value, int | float) and not isinstance(value, bool) for value in event["args"].values())
    if event["ph"] == "M":
        assert event["name"] in METADATA
        if event["name"] == "thread_sort_index":
            assert -(1 << 31) <= event["args"]["sort_index"] < 1 << 31
        else:
            assert isinstance(event["args"]["name"], str)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


def _refuse(constant: str) -> Any:
    raise AssertionError(constant)
