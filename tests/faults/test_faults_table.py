"""Every fault at every stage in every model that lives in processes, with what must come of it beside it.

Of twenty items nineteen always arrive, and the twentieth is named; where nothing can run at all the run ends and says why.
That no process, thread, descriptor or memory is left is seen to after each test by `conftest.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty
import pytest
from faulty import BAD, FAULTS

import atonce
from atonce.engine import machine
from atonce.errors import ItemTimeout, NotCarried, SetupFailed, StartFailed, WorkerDied

# a cell that hangs fails alone, by a signal, instead of ending the session with a stack of every thread
pytestmark = pytest.mark.timeout(20, method="signal")

ITEMS = 20
# Seconds an attempt may take where something hangs. Nothing depends on it: an item that hangs does so however long this is.
TIMEOUT = 0.3

MODELS: dict[str, dict[str, Any]] = {
    "processes": {"model": "processes", "parallelism": 2},
    "hybrid-threads": {"model": "hybrid", "parallelism": 2, "concurrency": 3},
    "hybrid-coroutines": {"model": "hybrid", "parallelism": 2, "concurrency": 3},
}


@dataclasses.dataclass(frozen=True)
class Costs:
    """One item, with this error, whose text has this in it."""

    error: type[BaseException]
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Ends:
    """The run, with this error."""

    error: type[BaseException] | tuple[type[BaseException], ...]
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Waits:
    """Nobody can tell it from slow: it goes on until the caller ends it, which she can."""


@dataclasses.dataclass(frozen=True)
class Nothing:
    """It costs nothing."""


Expected = Costs | Ends | Waits | Nothing

died = {
    "os._exit": Costs(WorkerDied, "exit code 3"),
    "SIGKILL": Costs(WorkerDied, "SIGKILL"),
    "SIGSEGV": Costs(WorkerDied, "SIGSEGV"),
}
never_started = {
    "os._exit": Ends(StartFailed, "exit code 3"),
    "SIGKILL": Ends(StartFailed, "SIGKILL"),
    "SIGSEGV": Ends(StartFailed, "SIGSEGV"),
}

TABLE: dict[str, dict[str, Expected]] = {
    "unpickling the function": {
        "raise": Ends(SetupFailed, "the fault"),
        "sys.exit": Ends((SetupFailed, StartFailed), "3"),
        **never_started,
        "hang": Waits(),
        "KeyboardInterrupt": Ends((SetupFailed, StartFailed)),
    },
    "setup": {
        "raise": Ends(SetupFailed, "the fault"),
        "sys.exit": Ends(SetupFailed, "3"),
        **never_started,
        "hang": Waits(),
        "KeyboardInterrupt": Ends((SetupFailed, StartFailed)),
    },
    "unpickling the item": {
        "raise": Costs(NotCarried, "the fault"),
        # in a worker these end the process: it has nothing to interrupt, and nothing to exit to
        "sys.exit": Costs(WorkerDied, "exit code 3"),
        **died,
        "hang": Costs(ItemTimeout, f"timeout={TIMEOUT:g}"),
        "KeyboardInterrupt": Costs(WorkerDied, "exit code 1"),
    },
    "run": {
        "raise": Costs(ValueError, "the fault"),
        "sys.exit": Costs(SystemExit, "3"),
        **died,
        "hang": Costs(ItemTimeout, f"timeout={TIMEOUT:g}"),
        "KeyboardInterrupt": Costs(KeyboardInterrupt),
    },
    "pickling the result": {
        "raise": Costs(NotCarried, "the fault"),
        "sys.exit": Costs(NotCarried, "SystemExit"),
        **died,
        "hang": Costs(ItemTimeout, f"timeout={TIMEOUT:g}"),
        "KeyboardInterrupt": Costs(NotCarried, "KeyboardInterrupt"),
    },
    # this happens in the caller's own process: what ends or interrupts that is beyond us
    "unpickling the result": {
        "raise": Costs(NotCarried, "the fault"),
        "sys.exit": Costs(NotCarried, "SystemExit"),
    },
    "idle": {
        "os._exit": Nothing(),
        "SIGKILL": Nothing(),
        "SIGSEGV": Nothing(),
        "KeyboardInterrupt": Nothing(),
    },
}

CELLS = [
    pytest.param(stage, fault, model, expected, id=f"{stage}, {fault}, {model}")
    for stage, faults in TABLE.items()
    if stage != "idle"
    for fault, expected in faults.items()
    for model in MODELS
]


@pytest.fixture(autouse=True)
def quick_backstop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The near side's patience with a worker that should have ended a late item itself."""
    monkeypatch.setattr(machine, "BACKSTOP", 0.1)


def work(stage: str, fault: str, model: str) -> tuple[Any, list[Any], dict[str, Any]]:
    """(fn, items, options) of a cell."""
    options = dict(MODELS[model])
    items: list[Any] = list(range(ITEMS))
    awaits = model == "hybrid-coroutines"
    fn: Any = (faulty.AsyncFunction if awaits else faulty.Function)(stage, fault)
    if stage == "unpickling the function":
        fn = (faulty.AsyncFunctionOnArrival if awaits else faulty.FunctionOnArrival)(stage, fault)
    elif stage == "setup":
        options["setup"], fn = faulty.Setup(fault), fn.with_resource
    elif stage == "unpickling the item":
        items[BAD] = faulty.OnArrival(fault)
    if fault == "hang":
        options["timeout"] = TIMEOUT
    return fn, items, options


@pytest.mark.parametrize(("stage", "fault", "model", "expected"), CELLS)
def test_fault(stage: str, fault: str, model: str, expected: Expected) -> None:
    fn, items, options = work(stage, fault, model)
    match expected:
        case Costs(error, text):
            run = atonce.run(fn, items, **options)
            assert [outcome.index for outcome in run.failures] == [BAD]
            assert type(run.failures[0].error) is error
            assert text in str(run.failures[0].error)
            assert run.values == [item for item in range(ITEMS) if item != BAD]
            if error is WorkerDied:
                assert run.failures[0].attempts >= 2  # the second time alone
                assert f"{BAD}: " in str(run.failures[0].error)
        case Ends(error, text):
            with pytest.raises(error) as raised:
                try:
                    atonce.run(fn, items, **options)
                except KeyboardInterrupt as interrupt:  # let through, it would end the whole session of tests
                    raise AssertionError("the caller was interrupted, who had pressed nothing") from interrupt
            assert text in str(raised.value)
            assert raised.value.run.outcomes == ()  # type: ignore[attr-defined]
        case Waits():

            async def impatient() -> None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUT):
                        await atonce.arun(fn, items, **options)
                        raise AssertionError("nothing could run, and the run ended")

            asyncio.run(impatient())


# ── idle ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGSEGV": signal.SIGSEGV, "KeyboardInterrupt": signal.SIGINT, "os._exit": signal.SIGTERM}


def tell(folder: Path, item: Any) -> Any:
    (folder / f"{os.getpid()}").touch()
    return item


class Tell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: Any) -> Any:
        return tell(self.folder, item)


class AsyncTell(Tell):
    async def __call__(self, item: Any) -> Any:
        return tell(self.folder, item)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", TABLE["idle"])
def test_an_idle_worker_that_dies_costs_nothing(fault: str, model: str, tmp_path: Path) -> None:
    """With one slot and a limit, an item is read when the worker has nothing to do: that is when its process is ended."""
    ended: set[str] = set()

    def source() -> Iterator[int]:
        for item in range(5):
            for name in os.listdir(tmp_path):
                if name not in ended:
                    os.kill(int(name), SIGNALS[fault])
                    ended.add(name)
            yield item

    fn = (AsyncTell if model == "hybrid-coroutines" else Tell)(tmp_path)
    options = {**MODELS[model], "parallelism": 1, "rate": 1e9, "timeout": 30}
    if model != "processes":
        options["concurrency"] = 1
    run = atonce.run(fn, source(), **options)
    assert run.values == list(range(5))
    assert len(ended) >= 3


# ── beyond the table ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", MODELS)
def test_of_twenty_one_ends_its_worker_and_one_hangs(model: str) -> None:
    """The promise as it is read first: 18 values, one WorkerDied with exit code 3, one ItemTimeout."""
    run = atonce.run(async_one_and_one if model == "hybrid-coroutines" else one_and_one, range(20), timeout=1, **MODELS[model])
    assert len(run.values) == 18
    died, late = (outcome.error for outcome in run.failures)
    assert isinstance(died, WorkerDied)
    assert died.exit_code_of_worker == 3
    assert "exit code 3" in str(died)
    assert isinstance(late, ItemTimeout)


def one_and_one(item: int) -> int:
    if item == 5:
        os._exit(3)
    if item == 12:
        faulty.hangs()
    return item


async def async_one_and_one(item: int) -> int:
    if item == 5:
        os._exit(3)
    if item == 12:
        await asyncio.Event().wait()
    return item


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fault", ["os._exit", "SIGKILL"])
def test_every_item_ends_its_worker_and_every_item_is_named(fault: str, model: str) -> None:
    awaits = model == "hybrid-coroutines"
    fn = AlwaysAsync(fault) if awaits else Always(fault)
    run = atonce.run(fn, range(5), **MODELS[model])
    assert [type(outcome.error) for outcome in run.outcomes] == [WorkerDied] * 5


class Always:
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __call__(self, item: Any) -> Any:
        faulty.blow(self.fault)


class AlwaysAsync(Always):
    async def __call__(self, item: Any) -> Any:
        faulty.blow(self.fault)


@pytest.mark.parametrize("model", MODELS)
def test_a_child_of_the_item_goes_with_its_worker(model: str, tmp_path: Path) -> None:
    """What the function had started is not left behind when its worker is killed. `conftest.py` looks for it."""
    fn = AsyncStartsChild(tmp_path) if model == "hybrid-coroutines" else StartsChild(tmp_path)
    run = atonce.run(fn, range(4), timeout=TIMEOUT, **{**MODELS[model], "parallelism": 1, **one_slot(model)})
    assert [outcome.index for outcome in run.failures] == [2]
    assert (tmp_path / "started").exists()


def one_slot(model: str) -> dict[str, int]:
    return {} if model == "processes" else {"concurrency": 1}


class StartsChild:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        if item == 2:
            import subprocess
            import sys

            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (self.folder / "started").touch()
            os._exit(3)
        return item


class AsyncStartsChild(StartsChild):
    async def __call__(self, item: int) -> int:  # type: ignore[override]
        return super().__call__(item)


def test_the_template_that_is_killed_is_started_again() -> None:
    """The process that starts workers is ours, and it may be killed as any other."""
    from atonce.placement.process import Template

    assert list(atonce.map(faulty.same, range(3), model="processes")) == [0, 1, 2]
    template = Template.current()
    template._process.kill()
    template._process.wait()
    assert list(atonce.map(faulty.same, range(3), model="processes")) == [0, 1, 2]
    template._control.close()


@pytest.mark.parametrize("fault", ["raise", "sys.exit"])
def test_an_exception_that_fails_on_its_way_costs_its_item(fault: str) -> None:
    run = atonce.run(RaisesFaulty(fault), range(ITEMS), model="processes", parallelism=2)
    assert [outcome.index for outcome in run.failures] == [BAD]
    assert len(run.values) == ITEMS - 1


class RaisesFaulty:
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __call__(self, item: int) -> int:
        if item == BAD:
            raise FaultyError(self.fault)
        return item


class FaultyError(Exception):
    def __reduce__(self) -> Any:
        return faulty.blow, (self.args[0],)


def test_all_faults_are_in_the_table() -> None:
    for stage, faults in TABLE.items():
        if stage not in ("unpickling the result", "idle"):
            assert set(faults) == set(FAULTS), stage
