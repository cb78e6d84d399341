"""Ctrl-C for real: a SIGINT to a real process. It ends, keeps what was finished, and leaves no process behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from atonce.testing.contract import SHAPES, Shape

# A line arrives whole, whoever writes beside it.
SAY = """
import os

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

"""

# A run with one item in flight, whose rate makes it read the sixth item only when five are done. Then it says so and hangs.
SCRIPT = """
    import asyncio, os, sys, threading
    import atonce

    DONE = 5

    def fn(item):
        if item == DONE:
            say("hangs")
            threading.Event().wait()
        return item

    async def afn(item):
        if item == DONE:
            say("hangs")
            await asyncio.Event().wait()
        return item

    options = {options!r}
    fn = afn if {awaits!r} else fn
    try:
        atonce.run(fn, range(100), rate=1e9, **options)
    except KeyboardInterrupt as interrupt:
        say("interrupted", [outcome.value for outcome in interrupt.run.outcomes if outcome.ok])
        say("threads", [thread.name for thread in threading.enumerate() if not thread.daemon])
        sys.exit(130)
    say("not interrupted")
"""

# As above for an iterator that is being read, and no `except`: it is Python that ends the program.
PLAIN = """
    import asyncio, threading
    import atonce

    def fn(item):
        if item == 5:
            say("hangs")
            threading.Event().wait()
        return item

    async def afn(item):
        if item == 5:
            say("hangs")
            await asyncio.Event().wait()
        return item

    for value in atonce.map(afn if {awaits!r} else fn, range(100), rate=1e9, **{options!r}):
        say(value)
"""

# The same from an event loop.
ASYNC = """
    import asyncio, sys, threading
    import atonce

    def fn(item):
        if item == 5:
            say("hangs")
            threading.Event().wait()
        return item

    async def afn(item):
        if item == 5:
            say("hangs")
            await asyncio.Event().wait()
        return item

    async def main():
        async for value in atonce.amap(afn if {awaits!r} else fn, range(100), rate=1e9, **{options!r}):
            say(value)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
"""


def one_in_flight(shape: Shape) -> dict[str, object]:
    options = {**shape.options, **{name: 1 for name in ("parallelism", "concurrency") if name in shape.options}}
    if options["model"] == "auto":
        options["concurrency"] = 1
    return options


@pytest.fixture
def interrupted(tmp_path: Path, request: pytest.FixtureRequest) -> Interrupted:
    """Run a script, interrupt it when it hangs; gives its exit code, its lines and its stderr."""

    def run(text: str, shape: Shape, values: Sequence[str] = ()) -> tuple[int, list[str], str]:
        script = tmp_path / "script.py"
        body = textwrap.dedent(text.format(options=one_in_flight(shape), awaits=shape.awaits))
        script.write_text(SAY + body, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None
        lines: list[str] = []
        wanted = {"hangs", *values}
        try:
            while not wanted.issubset(lines):
                line = process.stdout.readline()
                assert line, process.communicate()
                lines.append(line.strip())
            lines.remove("hangs")
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == [], "its processes outlived it"
        return process.returncode, lines + out.splitlines(), err

    return run


Interrupted = Callable[..., tuple[int, list[str], str]]
VALUES = ["0", "1", "2", "3", "4"]

pytestmark = pytest.mark.timeout(30, method="signal")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ctrl_c_keeps_what_was_finished(shape: Shape, interrupted: Interrupted) -> None:
    code, lines, err = interrupted(SCRIPT, shape)
    assert lines == ["interrupted [0, 1, 2, 3, 4]", "threads ['MainThread']"]
    assert code == 130
    assert err == ""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ctrl_c_ends_a_plain_loop(shape: Shape, interrupted: Interrupted) -> None:
    code, lines, err = interrupted(PLAIN, shape, VALUES)
    assert lines == VALUES
    assert code in (130, -signal.SIGINT)
    assert err.count("Traceback") <= 1  # the program's own end; nothing of ours beside it
    assert err.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ctrl_c_ends_an_event_loop(shape: Shape, interrupted: Interrupted) -> None:
    code, lines, err = interrupted(ASYNC, shape, VALUES)
    assert lines == [*VALUES, "interrupted"]
    assert code == 130
    assert err == ""


NO_GUARD = """
    import atonce

    def double(item):
        return 2 * item

    class Adder:
        def __init__(self, by):
            self.by = by
        def __call__(self, item):
            return item + self.by

    print(list(atonce.map(double, range(5), model="processes", parallelism=2)))
    print(list(atonce.map(Adder(1), range(5), model="hybrid", parallelism=2)))
"""


@pytest.mark.parametrize("how", ["a file", "standard input", "-c", "-m"])
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_script_needs_no_guard(how: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions of `__main__` go by value, and no worker imports it again."""
    monkeypatch.setenv("ATONCE_START_METHOD", start)
    text = textwrap.dedent(NO_GUARD)
    (tmp_path / "no_guard.py").write_text(text, encoding="utf-8")
    command = {"a file": [str(tmp_path / "no_guard.py")], "standard input": ["-"], "-c": ["-c", text], "-m": ["-m", "no_guard"]}
    given = text if how == "standard input" else ""
    done = subprocess.run(
        [sys.executable, *command[how]], input=given, cwd=tmp_path, capture_output=True, text=True, timeout=40, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "[0, 2, 4, 6, 8]\n[1, 2, 3, 4, 5]\n"


KILLED = """
    import os, threading
    import atonce

    def fn(item):
        print(os.getpid(), flush=True)
        threading.Event().wait()

    list(atonce.map(fn, range(4), model={model!r}, parallelism=2))
"""


@pytest.mark.parametrize("model", ["processes", "hybrid"])
def test_no_worker_outlives_a_caller_that_is_killed(model: str, tmp_path: Path) -> None:
    """SIGKILL: nobody can tidy up, so the template sees its socket end and takes the workers with it."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED.format(model=model)), encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    with contextlib.closing(process.stdout):  # type: ignore[type-var]
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        assert len(family) >= 2  # the template and a worker at least
        _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
