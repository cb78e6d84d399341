"""What to change in the code: a closed, named set of hints, each with the user's own lines and those to put in their place."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..options import Options
from .function import Facts, assigned, captured, dotted_calls, native_imports
from .lines import definition, holding, line_with
from .machine import Machine
from .plan import in_bytes, in_time
from .sample import Sample

__all__ = ["NAMES", "Hint", "hints_for"]

T = TypeVar("T")

# Every hint there is. A test has one case for each.
NAMES = (
    "blocks-loop",
    "session-per-item",
    "one-lock",
    "shared-state",
    "cannot-travel",
    "heavy-function",
    "heavy-load",
    "slow-first-call",
    "own-threads",
    "holds-gil-long",
    "uneven-items",
    "items-fail",
    "busy-machine",
    "gil-back-on",
)

# Those of the numbers rather than of the code: there is nothing to change, but something to know.
TO_KNOW = ("own-threads", "holds-gil-long", "uneven-items", "items-fail", "busy-machine")

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
# What is dear to open and made to be kept.
_KEPT = (
    "requests.Session",
    "requests.session",
    "httpx.Client",
    "httpx.AsyncClient",
    "aiohttp.ClientSession",
    "urllib3.PoolManager",
    "boto3.client",
    "boto3.resource",
    "psycopg.connect",
)
_LOCKS = (type(threading.Lock()), type(threading.RLock()))
# Bytes that a function may bring along to each worker.
HEAVY_FUNCTION = 1 << 20
# An event loop that could do nothing else for more than this share of an item's time is blocked.
BLOCKED = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """`name` is one of `NAMES`; `text` says what was seen; `old` are lines of the function and `new` what to write instead."""

    name: str
    text: str
    old: str = ""
    new: str = ""

    @property
    def told(self) -> str:
        """All of it, beginning with what is asked: `change: …`, or `note: …` where it is only to be known."""
        return f"{'note' if self.name in TO_KNOW else 'change'}: {self}"

    def __str__(self) -> str:
        lines = [f"{self.text} [{self.name}]"]
        lines += [f"  - {line}" for line in self.old.splitlines()]
        lines += [f"  + {line}" for line in self.new.splitlines()]
        return "\n".join(lines)


def hints_for(fn: Any, facts: Facts, options: Options, machine: Machine, sample: Sample) -> tuple[Hint, ...]:
    """The hints that hold, given what the user has already done."""
    found = [*_of_the_code(fn, facts, options, sample), *_of_the_numbers(fn, facts, options, machine, sample)]
    return tuple(sorted(found, key=lambda hint: NAMES.index(hint.name)))


def _of_the_code(fn: Any, facts: Facts, options: Options, sample: Sample) -> list[Hint]:
    calls = _guarded(dotted_calls, fn)
    found = []
    if facts.kind == "async" and (sample.blocked or 0.0) > BLOCKED and sample.wall > 0.001:
        found.append(_blocks_loop(fn, facts, calls, sample.blocked or 0.0))
    if options.setup is None:
        found += _sessions(fn, facts, calls)
    if options.model != "sync":
        found += _shared(fn, facts, sample)
    return found


def _blocks_loop(fn: Any, facts: Facts, calls: Sequence[str], blocked: float) -> Hint:
    share = f"its event loop can do nothing else for {100 * blocked:.0f} % of an item's time"
    name = next((call for call in calls if call in _BLOCKING), "")
    if not name:
        text, head = f"{facts.name} is async in name only: {share}", definition(fn)
        if _awaits(fn):
            return Hint("blocks-loop", f"{text}; call what blocks or computes by `await asyncio.to_thread(…)`")
        old = head or f"async def {_short(facts)}"
        return Hint("blocks-loop", text, old, old.removeprefix("async "))
    written = _BLOCKING[name]
    text, line = f"`{written}` in an `async def` blocks the loop: {share}", line_with(fn, written)
    if line is None or not line.awaits:
        return Hint("blocks-loop", text, line.text if line else "", f"await {_beside(written, '…')}" if line is None else "")
    return Hint("blocks-loop", text, line.text, line.with_call(f"await {_beside(written, line.arguments, line.function)}"))


def _beside(written: str, arguments: str, function: str = "") -> str:
    """The call made beside the loop."""
    if written == "time.sleep":
        return f"asyncio.sleep({arguments})"
    return f"asyncio.to_thread({', '.join(filter(None, (function or written, arguments)))})"


def _sessions(fn: Any, facts: Facts, calls: Sequence[str]) -> list[Hint]:
    for name in calls:
        package, _, verb = name.partition(".")
        opens = package in _SESSIONS and name in _BLOCKING and facts.kind != "async"
        if not opens and name not in _KEPT:
            continue
        line, head = line_with(fn, name), definition(fn)
        kept = (line.bound if line and not opens else "") or "session"
        factory = _SESSIONS[package] if opens else name
        if line and not opens:
            factory = f"lambda: {line.call}" if line.arguments else line.function
        old, new = [], [f"atonce.map({_short(facts)}, items, setup={factory})"]
        if line and opens:
            old, new = [f"    {line.text}"], [f"    {line.with_call(f'{kept}.{verb}({line.arguments})')}", *new]
        elif line:
            old = [f"    {line.text}"]
        if head:
            old, new = [head, *old], [definition(fn, kept), *new]
        text = f"`{name}` opens a connection for each item: keep them, in one {kept} a {_worker(facts)}"
        return [Hint("session-per-item", text, "\n".join(old), "\n".join(new))]
    return []


def _worker(facts: Facts) -> str:
    return "loop" if facts.kind == "async" else "thread"


def _shared(fn: Any, facts: Facts, sample: Sample) -> list[Hint]:
    found = []
    for name, value in _guarded(captured, fn):
        if isinstance(value, _LOCKS) and (line := holding(fn, name)):
            text = f"`{name}` is one lock for all items: what is called while it is held is done by one at a time"
            found.append(Hint("one-lock", f"{text}; wait and compute before it is taken", line))
            break
    names = _guarded(assigned, fn)
    alone = f'atonce.map({_short(facts)}, items, model="sync")'
    if sample.failed_together:
        text = f"{sample.failed_together} items failed ({sample.error}) when two threads ran at once, and none alone"
        found.append(Hint("shared-state", f"{text}: they share something; one at a time is safe", new=alone))
    elif names:
        text = f"it assigns `{names[0]}`, which all items share: at once they overwrite each other, each process has a copy"
        found.append(Hint("shared-state", f"{text}; return it instead, or run one at a time", new=alone))
    return found


def _of_the_numbers(fn: Any, facts: Facts, options: Options, machine: Machine, sample: Sample) -> list[Hint]:
    found = []
    carried = sample.carry
    computes = sample.share > 0.3
    if sample.stuck is not None and computes:
        text = f"{sample.stuck}, so only this process can run it: what cannot travel is made in each worker by setup="
        found.append(Hint("cannot-travel", text, new=f"atonce.map({_short(facts)}, items, setup=make_it)"))
    if carried is not None and computes and carried.function > HEAVY_FUNCTION:
        which = max(_guarded(captured, fn), key=lambda pair: _weight(pair[1]), default=("", None))[0]
        what = f", most of it `{which}`" if which else ""
        text = (
            f"the function brings {in_bytes(carried.function)} along to each worker process{what}: load it there, once a worker"
        )
        first = which if which.isidentifier() else "data"
        lines = (definition(fn, first), f"atonce.map({_short(facts)}, items, setup=load)   # load() gives {first}")
        found.append(Hint("heavy-function", text, definition(fn), "\n".join(filter(None, lines))))
    if carried is not None and computes and (carried.nbytes > 1 << 20 or carried.seconds * machine.cpus > sample.total):
        seen = f"{in_bytes(carried.nbytes)} an item, {in_time(carried.seconds)} of pickling for {in_time(sample.total)} of work"
        found.append(Hint("heavy-load", f"items and results weigh {seen}: give and return a path, an index or shared memory"))
    cold = sample.cold or 0.0
    if sample.items > 1 and cold > 0.2 and cold > 5 * sample.wall:
        text = f"the first call took {in_time(cold)}, later ones {in_time(sample.wall)}: each worker process pays that again"
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


def _guarded(look: Callable[[Any], T], fn: Any) -> T | tuple[()]:
    """What `look` finds in the function's code; nothing where it cannot, since a hint is a guest and code can be anything."""
    try:
        return look(fn)
    except Exception:
        return ()


def _awaits(fn: Any) -> bool:
    import dis

    code = getattr(inspect.unwrap(fn), "__code__", None)
    return code is not None and any(step.opname == "GET_AWAITABLE" for step in dis.get_instructions(code))


def _weight(value: Any) -> int:
    """Bytes, about: as pickled, or as it says."""
    from ..worker import wire

    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    try:
        return len(wire.dumps(value))
    except Exception:
        return sys.getsizeof(value, 0)


def _short(facts: Facts) -> str:
    return facts.name.rpartition(".")[2]
