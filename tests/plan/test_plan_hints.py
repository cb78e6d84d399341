"""The hints: each one there is has a case here, and says nothing to whoever has done it already."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import threading
import time
from typing import Any

import pytest
import requests

from atonce import Options
from atonce.plan import hints
from atonce.plan.function import dotted_calls, look_at, native_imports, travels
from atonce.plan.hints import NAMES, TO_KNOW, Hint, hints_for
from atonce.plan.machine import Machine
from atonce.plan.sample import Carriage, Sample


def plain(item: Any) -> Any:
    return item


def gets(url: str) -> int:
    answer = requests.get(url, timeout=5)
    return answer.status_code


async def naps(item: Any) -> None:
    time.sleep(1)


async def gets_in_a_loop(url: str) -> int:
    return requests.get(url, timeout=5).status_code


LOCK = threading.Lock()
BIG = "x" * (2 << 20)
total = 0


def locked(item: Any) -> None:
    with LOCK:
        time.sleep(0.01)


def counts(item: Any) -> None:
    global total
    with LOCK:
        total += item


def uses_big(item: Any) -> Any:
    return BIG, item


def opens(url: str) -> int:
    with requests.Session() as web:
        return web.get(url).status_code


def opens_one_line(url: str) -> int: return requests.Session().get(url).status_code  # fmt: skip


async def gets_over_lines(url: str) -> int:
    answer = requests.get(
        url,  # where
        timeout=5,
    )
    return answer.status_code


async def naps_at_once(item: Any) -> None: time.sleep(1)  # fmt: skip


async def naps_inside(item: Any) -> Any:
    def nap() -> None:
        time.sleep(1)

    return nap()


async def computes_and_awaits(item: Any) -> Any:
    await asyncio.sleep(0)
    return sum(range(item))


async def tools(item: Any) -> None:
    import subprocess as sub

    sub.run(["true"], check=False)


async def computes(item: Any) -> Any:
    return item


MACHINE = Machine(cpus=4)
BUSY = Machine(cpus=4, load=20.0)
COMPUTES = {"wall": 0.1, "cpu": 0.1}
BLOCKED = {"wall": 0.1, "cpu": 0.0, "blocked": 0.9}
CASES: list[tuple[str, Any, dict[str, Any], dict[str, Any], Machine]] = [
    ("blocks-loop", naps, BLOCKED, {}, MACHINE),
    ("session-per-item", gets, {"wall": 0.1, "cpu": 0.01}, {}, MACHINE),
    ("one-lock", locked, {"wall": 0.1, "cpu": 0.01}, {}, MACHINE),
    ("shared-state", counts, COMPUTES, {}, MACHINE),
    ("cannot-travel", plain, {**COMPUTES, "stuck": "its result cannot be pickled (TypeError: a lock)"}, {}, MACHINE),
    ("heavy-function", uses_big, {**COMPUTES, "carry": Carriage(9, 1e-6, None, 2 << 20)}, {}, MACHINE),
    ("heavy-load", plain, {**COMPUTES, "carry": Carriage(50 << 20, 0.05)}, {}, MACHINE),
    ("slow-first-call", plain, {**COMPUTES, "cold": 2.0, "items": 3}, {}, MACHINE),
    ("own-threads", plain, {"wall": 0.1, "cpu": 0.01, "elsewhere": 0.09}, {}, MACHINE),
    ("holds-gil-long", plain, {**COMPUTES, "stretch": 0.05}, {}, MACHINE),
    ("uneven-items", plain, {**COMPUTES, "spread": 2.0, "items": 5}, {}, MACHINE),
    ("items-fail", plain, {**COMPUTES, "items": 2, "failed": 2, "error": "ValueError"}, {}, MACHINE),
    ("busy-machine", plain, COMPUTES, {}, BUSY),
    ("gil-back-on", plain, COMPUTES, {}, MACHINE),
]
# What the user has done, or what does not matter: then the hint stays away.
NOT: list[tuple[str, Any, dict[str, Any], dict[str, Any], Machine]] = [
    ("blocks-loop", naps, {**BLOCKED, "blocked": 0.1}, {}, MACHINE),
    ("blocks-loop", naps, {"wall": 1e-5, "cpu": 1e-5, "blocked": 1.0}, {}, MACHINE),
    ("session-per-item", gets, {"wall": 0.1, "cpu": 0.01}, {"setup": requests.Session}, MACHINE),
    ("session-per-item", opens, {"wall": 0.1, "cpu": 0.01}, {"setup": requests.Session}, MACHINE),
    ("one-lock", locked, COMPUTES, {"model": "sync"}, MACHINE),
    ("one-lock", counts, COMPUTES, {}, MACHINE),  # nothing is called while it is held
    ("shared-state", counts, COMPUTES, {"model": "sync"}, MACHINE),
    ("shared-state", uses_big, COMPUTES, {}, MACHINE),
    ("heavy-function", uses_big, {"wall": 0.1, "cpu": 0.0, "carry": Carriage(9, 1e-6, None, 2 << 20)}, {}, MACHINE),
    ("heavy-function", plain, {**COMPUTES, "carry": Carriage(9, 1e-6, None, 2000)}, {}, MACHINE),
    ("cannot-travel", plain, {"wall": 0.1, "cpu": 0.0, "stuck": "it cannot be pickled"}, {}, MACHINE),
    ("heavy-load", plain, {**COMPUTES, "carry": Carriage(100, 1e-6)}, {}, MACHINE),
    ("slow-first-call", plain, {**COMPUTES, "cold": 0.1, "items": 3}, {}, MACHINE),
    ("uneven-items", plain, {**COMPUTES, "spread": 0.3, "items": 5}, {}, MACHINE),
    ("busy-machine", plain, COMPUTES, {}, MACHINE),
]


def named(fn: Any, sample: dict[str, Any], options: dict[str, Any], machine: Machine) -> dict[str, hints.Hint]:
    found = hints_for(fn, look_at(fn), Options(**options), machine, Sample(**sample))
    return {hint.name: hint for hint in found}


@pytest.mark.parametrize(("name", "fn", "sample", "options", "machine"), CASES, ids=[case[0] for case in CASES])
def test_each_hint_has_its_case(
    name: str, fn: Any, sample: dict[str, Any], options: dict[str, Any], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "_free_threaded", lambda: name == "gil-back-on")
    assert list(named(fn, sample, options, machine)) == [name]


def test_the_set_is_closed() -> None:
    assert [case[0] for case in CASES] == list(NAMES)


@pytest.mark.parametrize(("name", "fn", "sample", "options", "machine"), NOT)
def test_who_has_done_it_is_not_told(
    name: str, fn: Any, sample: dict[str, Any], options: dict[str, Any], machine: Machine
) -> None:
    assert name not in named(fn, sample, options, machine)


@pytest.mark.parametrize(
    ("fn", "old", "new"),
    [
        (naps, "time.sleep(1)", "await asyncio.sleep(1)"),
        (
            gets_in_a_loop,
            "return requests.get(url, timeout=5).status_code",
            "return (await asyncio.to_thread(requests.get, url, timeout=5)).status_code",
        ),
        (tools, 'sub.run(["true"], check=False)', 'await asyncio.to_thread(sub.run, ["true"], check=False)'),
        (
            gets_over_lines,
            "answer = requests.get(url, timeout=5)",
            "answer = await asyncio.to_thread(requests.get, url, timeout=5)",
        ),
        (naps_at_once, "time.sleep(1)", "await asyncio.sleep(1)"),
        (naps_inside, "time.sleep(1)", ""),  # no await may stand there
        (computes, "async def computes(item: Any):", "def computes(item: Any):"),
        (computes_and_awaits, "", ""),  # it cannot be a plain def
    ],
)
def test_the_line_and_what_to_write_instead(fn: Any, old: str, new: str) -> None:
    hint = named(fn, BLOCKED, {}, MACHINE)["blocks-loop"]
    assert (hint.old, hint.new) == (old, new)
    shown = [line.strip() for line in str(hint).splitlines()[1:]]
    assert shown == [f"{mark} {line}" for mark, line in (("-", old), ("+", new)) if line]


def test_the_session_in_the_items_place() -> None:
    hint = named(gets, {"wall": 0.1, "cpu": 0.01}, {}, MACHINE)["session-per-item"]
    assert str(hint).splitlines()[1:] == [
        "  - def gets(url: str):",
        "  -     answer = requests.get(url, timeout=5)",
        "  + def gets(session, url: str):",
        "  +     answer = session.get(url, timeout=5)",
        "  + atonce.map(gets, items, setup=requests.Session)",
    ]


@pytest.mark.parametrize(
    ("fn", "line", "name"),
    [
        (opens, "with requests.Session() as web:", "web"),
        (opens_one_line, "return requests.Session().get(url).status_code", "session"),
    ],
)
def test_a_session_that_is_opened_for_each_item(fn: Any, line: str, name: str) -> None:
    hint = named(fn, {"wall": 0.1, "cpu": 0.01}, {}, MACHINE)["session-per-item"]
    assert hint.old == f"def {fn.__name__}(url: str):\n    {line}"
    assert hint.new == f"def {fn.__name__}({name}, url: str):\natonce.map({fn.__name__}, items, setup=requests.Session)"


def test_what_a_heavy_function_brings_along() -> None:
    heavy = {**COMPUTES, "carry": Carriage(9, 1e-6, None, 2 << 20)}
    hint = named(uses_big, heavy, {}, MACHINE)["heavy-function"]
    assert "2.1 MB" in hint.text
    assert "`BIG`" in hint.text
    assert hint.new.startswith("def uses_big(BIG, item: Any):\natonce.map(uses_big, items, setup=load)")
    data = "x" * (2 << 20)
    assert "`data`" in named(lambda item: (data, item), heavy, {}, MACHINE)["heavy-function"].text
    assert "argument 0 of the partial" in named(functools.partial(max, data), heavy, {}, MACHINE)["heavy-function"].text


def test_what_fails_only_beside_others_shares_something() -> None:
    failed = {**COMPUTES, "items": 5, "failed": 2, "error": "RuntimeError"}
    found = named(plain, {**failed, "failed_together": 2}, {}, MACHINE)
    assert found["shared-state"].new == 'atonce.map(plain, items, model="sync")'
    assert "shared-state" not in named(plain, failed, {}, MACHINE)


# ── what the code names ──────────────────────────────────────────────────────────────────────────────────────────────


def test_calls_are_seen_through_aliases() -> None:
    from time import sleep as rest

    assert "time.sleep" in dotted_calls(naps)
    assert "requests.get" in dotted_calls(gets)
    assert "subprocess.run" in dotted_calls(tools)
    assert "io.open" in dotted_calls(lambda path: open(path))  # noqa: SIM115
    assert dotted_calls(rest) == ()  # no code to look at
    assert dotted_calls(lambda item: item.run()) == ()
    assert subprocess.run


def test_how_it_travels() -> None:
    assert travels(time.sleep) == "by name"
    assert travels(subprocess.run) == "by name"
    assert travels(lambda item: item) == "by value"
    assert travels(test_how_it_travels) == "by name"


def test_compiled_packages() -> None:
    def uses(item: Any) -> Any:
        return yaml_like.dumps(item)

    import cloudpickle as yaml_like

    assert native_imports(uses) == ()
    assert native_imports(plain) == ()


def test_what_is_only_to_be_known_is_not_told_as_a_change() -> None:
    assert set(TO_KNOW) < set(NAMES)
    assert Hint("busy-machine", "it is").told == "note: it is [busy-machine]"
    assert Hint("blocks-loop", "it does", "old", "new").told == "change: it does [blocks-loop]\n  - old\n  + new"
