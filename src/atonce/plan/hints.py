"""What to change in the code: a closed, named set of hints, each with the user's own line and the one to put in its place."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from ..options import Options
from .function import Facts, dotted_calls, native_imports
from .machine import Machine
from .plan import in_bytes, in_time
from .sample import Sample

__all__ = ["NAMES", "Hint", "hints_for"]

# Every hint there is. A test has one case for each.
NAMES = (
    "blocks-loop",
    "session-per-item",
    "cannot-travel",
    "heavy-load",
    "slow-first-call",
    "own-threads",
    "holds-gil-long",
    "uneven-items",
    "items-fail",
    "busy-machine",
    "gil-back-on",
)

# Calls that block an event loop, by package and name as `dotted_calls` gives them → as it is written.
_BLOCKING = {
    "time.sleep": "time.sleep",
    "io.open": "open",
    "subprocess.run": "subprocess.run",
    "subprocess.check_output": "subprocess.check_output",
    "subprocess.check_call": "subprocess.check_call",
    "os.system": "os.system",
    "urllib.urlopen": "urllib.request.urlopen",
    "sqlite3.connect": "sqlite3.connect",
    "socket.create_connection": "socket.create_connection",
    **{f"requests.{verb}": f"requests.{verb}" for verb in ("get", "post", "put", "patch", "delete", "head", "request")},
    **{f"httpx.{verb}": f"httpx.{verb}" for verb in ("get", "post", "put", "patch", "delete", "head", "request")},
}
# What opens a connection for each call, and the factory of what keeps them.
_SESSIONS = {"requests": "requests.Session", "httpx": "httpx.Client"}
# An event loop that could do nothing else for more than this share of an item's time is blocked.
BLOCKED = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """`name` is one of `NAMES`; `text` says what was seen; `old` is a line of the function and `new` what to write instead."""

    name: str
    text: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        lines = [f"{self.text} [{self.name}]"]
        if self.old:
            lines.append(f"  - {self.old}")
        if self.new:
            lines.append(f"  + {self.new}")
        return "\n".join(lines)


def hints_for(fn: Any, facts: Facts, options: Options, machine: Machine, sample: Sample) -> tuple[Hint, ...]:
    """The hints that hold, given what the user has already done."""
    found = [*_of_the_code(fn, facts, options, sample), *_of_the_numbers(fn, facts, options, machine, sample)]
    return tuple(sorted(found, key=lambda hint: NAMES.index(hint.name)))


def _of_the_code(fn: Any, facts: Facts, options: Options, sample: Sample) -> list[Hint]:
    calls = _calls(fn)
    found = []
    if facts.kind == "async" and (sample.blocked or 0.0) > BLOCKED and sample.wall > 0.001:
        share = f"its event loop can do nothing else for {100 * (sample.blocked or 0.0):.0f} % of an item's time"
        blocking = [call for call in calls if call in _BLOCKING]
        if blocking:
            written = _BLOCKING[blocking[0]]
            text = f"`{written}` in an `async def` blocks the loop: {share}"
            old = _line_with(fn, written)
            found.append(Hint("blocks-loop", text, old, _awaited(old, written)))
        else:
            text = f"{facts.name} is async in name only: {share}"
            found.append(Hint("blocks-loop", text, f"async def {_short(facts)}", f"def {_short(facts)}"))
    if options.setup is None and facts.kind != "async":
        for call in calls:
            package = call.partition(".")[0]
            if package in _SESSIONS and call in _BLOCKING:
                factory = _SESSIONS[package]
                text = f"`{call}` opens a connection for each item: keep them, in one session a thread"
                old = _line_with(fn, call)
                new = re.sub(rf"(\w+\.)?{call.partition('.')[2]}\s*\(", f"session.{call.partition('.')[2]}(", old, count=1)
                how = f"   # setup={factory}, def {_short(facts)}(session, item)"
                found.append(Hint("session-per-item", text, old, f"{new}{how}" if old else how.strip()))
                break
    return found


def _of_the_numbers(fn: Any, facts: Facts, options: Options, machine: Machine, sample: Sample) -> list[Hint]:
    found = []
    carried = sample.carry
    computes = sample.share > 0.3
    if sample.stuck is not None and computes:
        text = f"{sample.stuck}, so only this process can run it: what cannot travel is made in each worker by setup="
        found.append(Hint("cannot-travel", text, new=f"atonce.map({_short(facts)}, items, setup=make_it)"))
    if carried is not None and computes and (carried.nbytes > 1 << 20 or carried.seconds * machine.cpus > sample.total):
        seen = f"{in_bytes(carried.nbytes)} an item, {in_time(carried.seconds)} of pickling for {in_time(sample.total)} of work"
        found.append(Hint("heavy-load", f"items and results weigh {seen}: give and return a path, an index or shared memory"))
    cold = sample.cold or 0.0
    if sample.items > 1 and cold > 0.2 and cold > 5 * sample.wall:
        text = f"the first call took {in_time(cold)}, later ones {in_time(sample.wall)}: each new worker pays that again"
        new = "" if options.setup is not None else "setup=   # do what the first call does there, once a worker"
        found.append(Hint("slow-first-call", text, new=new))
    if sample.elsewhere > 0.3 * sample.wall and sample.elsewhere > sample.cpu and machine.cpus > 1:
        native = native_imports(fn)
        of = f" ({', '.join(native)})" if native else ""
        text = f"child processes or thread pools of its own{of} use {in_time(sample.elsewhere)} of CPU an item"
        found.append(Hint("own-threads", f"{text}: more of them at once share the same {machine.cpus} cores"))
    if sample.stretch > 0.02 and machine.gil:
        text = f"native code holds the GIL for {in_time(sample.stretch)} at a time: nothing else of this process runs meanwhile"
        found.append(Hint("holds-gil-long", f"{text}; keep it out of an event loop"))
    if sample.spread > 1.0 and sample.items >= 4 and sample.wall > 0.001:
        text = f"items differ: the standard deviation is {sample.spread:.1f} × the mean of {in_time(sample.wall)}"
        found.append(Hint("uneven-items", f"{text}, so predictions are rough; put long ones first"))
    if sample.failed:
        text = f"{sample.failed} of the {sample.items} measured items failed ({sample.error})"
        found.append(Hint("items-fail", f"{text}: what a failure costs need not be what a success costs"))
    if sample.busy > 0.15 or machine.load > 1.5 * machine.cpus:
        waited = f"items waited {100 * sample.busy:.0f} % of their time for a core"
        text = f"the machine is busy ({waited}, load {machine.load:.1f} on {machine.cpus} cores)"
        found.append(Hint("busy-machine", f"{text}: times are what they would be if it were idle, as far as that can be told"))
    if machine.gil and _free_threaded():
        text = "this is a free-threaded Python whose GIL is on: an extension has switched it back on, or PYTHON_GIL has"
        found.append(Hint("gil-back-on", text))
    return found


def _free_threaded() -> bool:
    import sysconfig

    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _calls(fn: Any) -> tuple[str, ...]:
    try:
        return dotted_calls(fn)
    except Exception:  # a guest: code objects can be anything
        return ()


def _line_with(fn: Any, written: str) -> str:
    """The function's own line that calls it, "" where there is no source."""
    plain = inspect.unwrap(fn) if callable(fn) else fn
    try:
        source = inspect.getsource(plain)
    except (OSError, TypeError):
        return ""
    lines = [line.strip() for line in source.splitlines() if not re.match(r"\s*(async\s+)?def\s", line)]
    for name in (written, written.rpartition(".")[2]):  # as it is known, or under an alias
        pattern = re.compile(rf"(?<!\w){re.escape(name)}\s*\(")
        if found := next((line for line in lines if pattern.search(line)), ""):
            return found
    return ""


def _awaited(line: str, written: str) -> str:
    """The line with the call made beside the loop: `time.sleep(1)` → `await asyncio.sleep(1)`, else `asyncio.to_thread`."""
    last = re.escape(written.rpartition(".")[2])
    call = re.compile(rf"(?P<name>(?:\w+\.)*{last})\s*\(\s*(?P<rest>.?)")
    if written == "time.sleep":
        return call.sub(lambda found: f"await asyncio.sleep({found['rest']}", line, count=1)

    def beside(found: re.Match[str]) -> str:
        comma = "" if found["rest"] == ")" else ", "
        return f"await asyncio.to_thread({found['name']}{comma}{found['rest']}"

    return call.sub(beside, line, count=1)


def _short(facts: Facts) -> str:
    return facts.name.rpartition(".")[2]
