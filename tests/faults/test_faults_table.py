"""Every fault at every stage in every model, with what must come of it beside it.

Of twenty items nineteen always arrive, and the twentieth is named; where nothing can run at all the run ends and says why.
That no process, thread, descriptor or memory is left is seen to after each test by `conftest.py`, temporary files here.

WORKERS is the table of the models whose items run in processes of their own, HERE that of those in the caller's. What cannot be
says so. Of each cell of WORKERS one model is in `make test`, all are in `make faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import faulty
import pytest
from faulty import BAD, FAULTS

import atonce
from atonce.engine import late as late_items
from atonce.errors import ItemTimeout, NotCarried, PlanError, SetupFailed, StartFailed, WorkerDied
from atonce.placement import process

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
MODELS_HERE: dict[str, dict[str, Any]] = {
    "sync": {"model": "sync"},
    "coroutines": {"model": "coroutines", "concurrency": 3},
    "threads": {"model": "threads", "concurrency": 3},
    "auto": {"model": "auto"},
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
    kept: int = 0  # outcomes


@dataclasses.dataclass(frozen=True)
class Waits:
    """Nobody can tell it from slow: it goes on until the caller ends it, which she can."""


@dataclasses.dataclass(frozen=True)
class CallerWaits:
    """As above, in the caller's own thread: she presses Ctrl-C, which ends it, or again.

    The first one lets the exits of resources come to their end if they have not begun, and ends one alone if they have:
    `auto` has those of the items that it ran in line and those of a thread.
    """


@dataclasses.dataclass(frozen=True)
class Refused:
    """When the plan is made."""

    text: str


@dataclasses.dataclass(frozen=True)
class EndsTheProgram:
    """It is the caller's own process: nothing is left of it, which is all that can be promised."""

    code: int


@dataclasses.dataclass(frozen=True)
class Nothing:
    """It costs nothing."""


@dataclasses.dataclass(frozen=True)
class CannotBe:
    """Why there is no such thing."""

    why: str


Expected = Costs | Ends | Waits | CallerWaits | Refused | EndsTheProgram | Nothing | CannotBe

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

late = Costs(ItemTimeout, f"timeout={TIMEOUT:g}")

cannot_load: dict[str, Expected] = {
    "raise": Ends(SetupFailed, "the fault"),
    "sys.exit": Ends((SetupFailed, StartFailed), "3"),
    **never_started,
    "hang": Waits(),
    "KeyboardInterrupt": Ends((SetupFailed, StartFailed)),
    "endless output": Waits(),
    "memory hog": Ends(SetupFailed, "MemoryError"),
}

WORKERS: dict[str, dict[str, Expected]] = {
    "import of the function's module": cannot_load,
    "unpickling the function": cannot_load,
    "setup": {**cannot_load, "sys.exit": Ends(SetupFailed, "3")},
    "unpickling the item": {
        "raise": Costs(NotCarried, "the fault"),
        # in a worker these end the process: it has nothing to interrupt, and nothing to exit to
        "sys.exit": Costs(WorkerDied, "exit code 3"),
        **died,
        "hang": late,
        "KeyboardInterrupt": Costs(WorkerDied, "exit code 1"),
        "endless output": late,
        "memory hog": Costs(NotCarried, "MemoryError"),
    },
    "run": {
        "raise": Costs(ValueError, "the fault"),
        "sys.exit": Costs(SystemExit, "3"),
        **died,
        "hang": late,
        "KeyboardInterrupt": Costs(KeyboardInterrupt),
        "endless output": late,
        "memory hog": Costs(MemoryError),
    },
    "pickling the result": {
        "raise": Costs(NotCarried, "the fault"),
        "sys.exit": Costs(NotCarried, "SystemExit"),
        **died,
        "hang": late,
        "KeyboardInterrupt": Costs(NotCarried, "KeyboardInterrupt"),
        "endless output": late,
        "memory hog": Costs(NotCarried, "MemoryError"),
    },
    "unpickling the result": {
        "raise": Costs(NotCarried, "the fault"),
        "sys.exit": Costs(NotCarried, "SystemExit"),
        **dict.fromkeys(("os._exit", "SIGKILL", "SIGSEGV"), CannotBe("it is the caller's own process that ends")),
        **dict.fromkeys(("hang", "endless output"), CannotBe("it is the caller's own thread that is busy")),
        "KeyboardInterrupt": CannotBe("it is a Ctrl-C of the caller's"),
        "memory hog": Costs(NotCarried, "MemoryError"),
    },
    "setup exit": {
        "raise": Ends(SetupFailed, "the fault", kept=ITEMS),
        "sys.exit": Ends(SetupFailed, "3", kept=ITEMS),
        # all is done and told by then
        **dict.fromkeys(("os._exit", "SIGKILL", "SIGSEGV"), Nothing()),
        **dict.fromkeys(("hang", "endless output"), CallerWaits()),
        "KeyboardInterrupt": CannotBe("nobody presses it in a process that hears no Ctrl-C"),
        "memory hog": Ends(SetupFailed, "MemoryError", kept=ITEMS),
    },
    "idle": {
        **dict.fromkeys(("os._exit", "SIGKILL", "SIGSEGV", "KeyboardInterrupt"), Nothing()),
        **dict.fromkeys(
            ("raise", "sys.exit", "hang", "endless output", "memory hog"),
            CannotBe("an idle worker runs no code of the caller's"),
        ),
    },
}

ends_the_program: dict[str, Expected] = {
    "os._exit": EndsTheProgram(3),
    "SIGKILL": EndsTheProgram(-signal.SIGKILL),
    "SIGSEGV": EndsTheProgram(-signal.SIGSEGV),
}


def _never(why: str) -> dict[str, Expected]:
    return dict.fromkeys(FAULTS, CannotBe(why))


HERE: dict[str, dict[str, Expected]] = {
    "import of the function's module": _never("the caller has imported it before"),
    "unpickling the function": _never("nothing is pickled in one process"),
    "setup": {
        "raise": Ends(SetupFailed, "the fault"),
        "sys.exit": Ends(SetupFailed, "3"),
        **ends_the_program,
        **dict.fromkeys(("hang", "endless output"), CallerWaits()),
        "KeyboardInterrupt": CannotBe("it is a Ctrl-C of the caller's"),
        "memory hog": Ends(SetupFailed, "MemoryError"),
    },
    "unpickling the item": _never("nothing is pickled in one process"),
    "run": {
        "raise": Costs(ValueError, "the fault"),
        "sys.exit": Costs(SystemExit, "3"),
        **ends_the_program,
        "hang": late,
        "KeyboardInterrupt": Costs(KeyboardInterrupt),
        "endless output": late,
        "memory hog": Costs(MemoryError),
    },
    "pickling the result": _never("nothing is pickled in one process"),
    "unpickling the result": _never("nothing is pickled in one process"),
    "setup exit": {
        "raise": Ends(SetupFailed, "the fault", kept=ITEMS),
        "sys.exit": Ends(SetupFailed, "3", kept=ITEMS),
        **ends_the_program,
        **dict.fromkeys(("hang", "endless output"), CallerWaits()),
        "KeyboardInterrupt": CannotBe("it is a Ctrl-C of the caller's"),
        "memory hog": Ends(SetupFailed, "MemoryError", kept=ITEMS),
    },
    "idle": _never("the worker is the caller's own process"),
}

# Where a model of HERE differs from the others.
BUT: dict[tuple[str, str, str], Expected] = {
    ("run", "hang", "sync"): Refused('model="sync" cannot keep timeout='),
    ("run", "endless output", "sync"): Refused('model="sync" cannot keep timeout='),
    ("run", "KeyboardInterrupt", "sync"): CannotBe("it is a Ctrl-C of the caller's"),
    ("run", "KeyboardInterrupt", "auto"): CannotBe("it is a Ctrl-C of the caller's, where auto has chosen her thread"),
    # the thread that measured the first item is let go, and its resource exited, before the others run
    ("setup exit", "raise", "auto"): Ends(SetupFailed, "the fault", kept=1),
    ("setup exit", "sys.exit", "auto"): Ends(SetupFailed, "3", kept=1),
    ("setup exit", "memory hog", "auto"): Ends(SetupFailed, "MemoryError", kept=1),
}


def cells(table: dict[str, dict[str, Expected]], models: Iterable[str], *kinds: type) -> list[Any]:
    """Those of these kinds. Of the models of a cell of WORKERS one, another one in each cell, is for `make test`, all are for
    `make faults`."""
    found = []
    models = list(models)
    for row, (stage, faults) in enumerate(table.items()):
        for column, (fault, usual) in enumerate(faults.items()):
            for number, model in enumerate(models):
                expected = BUT.get((stage, fault, model), usual)
                more = table is not HERE and (row + column + number) % 3 != 0
                marks = [pytest.mark.soak, pytest.mark.slow] if more else []
                if isinstance(expected, kinds):
                    found.append(pytest.param(stage, fault, model, expected, id=f"{stage}, {fault}, {model}", marks=marks))
    return found


@pytest.fixture(autouse=True)
def quick_backstop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The near side's patience with a worker that should have ended a late item itself."""
    monkeypatch.setattr(late_items, "BACKSTOP", 0.1)


@pytest.fixture(autouse=True)
def no_temporary_files(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("tmp")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    assert os.listdir(folder) == []


@pytest.fixture
def unread_stdout() -> Iterator[None]:
    """Descriptor 1 is a full pipe that nobody reads, of this process and of the workers that start now."""
    process.shut_down()
    sys.stdout.flush()
    before = os.dup(1)
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(writer)
    yield
    os.dup2(before, 1)
    os.close(before)
    os.close(reader)  # who still writes gets an error
    process.shut_down()


@pytest.fixture
def hung_threads_end() -> Iterator[None]:
    faulty.release.clear()
    yield
    faulty.release.set()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """For the module whose import is the fault; it is on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("faulty_import", None)


IMPORTED = """
import os
import faulty

if os.getpid() != {here}:
    faulty.blow({fault!r})

def same(item): return item
async def asame(item): return item
"""


def work(stage: str, fault: str, model: str, folder: Path) -> tuple[Any, list[Any], dict[str, Any]]:
    """(fn, items, options) of a cell."""
    options = dict((MODELS | MODELS_HERE)[model])
    items: list[Any] = list(range(ITEMS))
    awaits = "coroutines" in model
    fn: Any = (faulty.AsyncFunction if awaits else faulty.Function)(stage, fault)
    if stage == "unpickling the function":
        fn = (faulty.AsyncFunctionOnArrival if awaits else faulty.FunctionOnArrival)(stage, fault)
    elif stage == "import of the function's module":
        (folder / "faulty_import.py").write_text(IMPORTED.format(here=os.getpid(), fault=fault))
        module = importlib.import_module("faulty_import")
        fn = module.asame if awaits else module.same
    elif stage in ("setup", "setup exit"):
        options["setup"] = (faulty.Setup if stage == "setup" else faulty.ExitOf)(fault)
        fn = fn.with_resource
    elif stage == "unpickling the item":
        items[BAD] = faulty.OnArrival(fault)
    if fault in ("hang", "endless output"):
        options["timeout"] = TIMEOUT
    return fn, items, options


@pytest.mark.usefixtures("hung_threads_end")
@pytest.mark.parametrize(
    ("stage", "fault", "model", "expected"),
    [
        *cells(WORKERS, MODELS, Costs, Ends, Waits),
        *cells({stage: faults for stage, faults in WORKERS.items() if stage != "idle"}, MODELS, Nothing),
        *cells(HERE, MODELS_HERE, Costs, Ends, Refused),
    ],
)
def test_fault(stage: str, fault: str, model: str, expected: Expected, folder: Path, request: pytest.FixtureRequest) -> None:
    if fault == "endless output":
        request.getfixturevalue("unread_stdout")
    fn, items, options = work(stage, fault, model, folder)
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
        case Ends(error, text, kept):
            with pytest.raises(error) as raised:
                try:
                    atonce.run(fn, items, **options)
                except KeyboardInterrupt as interrupt:  # let through, it would end the whole session of tests
                    raise AssertionError("the caller was interrupted, who had pressed nothing") from interrupt
            assert text in str(raised.value)
            assert len(raised.value.run.outcomes) == kept  # type: ignore[attr-defined]
        case Waits():

            async def impatient() -> None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUT):
                        await atonce.arun(fn, items, **options)
                        raise AssertionError("nothing could run, and the run ended")

            asyncio.run(impatient())
        case Nothing():
            assert atonce.run(fn, items, **options).values == list(range(ITEMS))
        case Refused(text):
            with pytest.raises(PlanError) as refused:
                atonce.run(fn, items, **options)
            assert text in str(refused.value)


# A cell in a program of its own: it may end it, or it is interrupted once it says that it has come to the fault.
PROGRAM = """
import sys
sys.path.insert(0, {here!r})
import test_faults_table as table

fn, items, options = table.work({stage!r}, {fault!r}, {model!r}, None)
options.pop("timeout", None)
table.atonce.run(fn, items, **options)
"""


@contextlib.contextmanager
def program(stage: str, fault: str, model: str) -> Iterator[subprocess.Popen[bytes]]:
    text = PROGRAM.format(here=os.path.dirname(__file__), stage=stage, fault=fault, model=model)
    command = [sys.executable, "-c", text]
    environment = {**os.environ, "TELL_OF_FAULTS": "yes"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def come_to_the_fault(running: subprocess.Popen[bytes]) -> None:
    assert running.stderr is not None
    said = b""
    while b"there" not in said:
        line = running.stderr.readline()
        assert line, said.decode()
        said += line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "fault", "model", "expected"),
    [
        pytest.param(*each.values, id=each.id, marks=[] if each.values[:2] == ("run", "SIGKILL") else pytest.mark.soak)
        for each in cells(HERE, MODELS_HERE, EndsTheProgram)
    ],
)
def test_the_end_of_the_callers_own_process(stage: str, fault: str, model: str, expected: EndsTheProgram) -> None:
    with program(stage, fault, model) as running:
        running.communicate()
    assert running.returncode == expected.code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "fault", "model", "expected"),
    [
        pytest.param(*each.values, id=each.id, marks=[] if "hang, sync" in str(each.id) else pytest.mark.soak)
        for each in [*cells(HERE, MODELS_HERE, CallerWaits), *cells(WORKERS, MODELS, CallerWaits)]
    ],
)
def test_a_caller_who_waits_can_interrupt(stage: str, fault: str, model: str, expected: CallerWaits) -> None:
    with program(stage, fault, model) as running:
        come_to_the_fault(running)
        running.send_signal(signal.SIGINT)
        try:
            running.wait(5)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
            running.wait()  # nobody reads what it prints: it stands still there
    assert running.returncode in (-signal.SIGINT, 1, 130)


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


@pytest.mark.parametrize(("stage", "fault", "model", "expected"), cells({"idle": WORKERS["idle"]}, MODELS, Nothing))
def test_an_idle_worker_that_dies_costs_nothing(stage: str, fault: str, model: str, expected: Nothing, tmp_path: Path) -> None:
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
def test_a_death_in_the_middle_of_a_chunk_names_the_item_that_ran(model: str) -> None:
    """Items of microseconds travel by the hundred; the one that ran is told from those before and behind it."""
    guilty = 1337
    fn = dies_at if model != "hybrid-coroutines" else adies_at
    run = atonce.run(functools.partial(fn, guilty), range(2000), **MODELS[model])
    assert [outcome.index for outcome in run.failures] == [guilty]
    assert isinstance(run.failures[0].error, WorkerDied)
    assert run.values == [item for item in range(2000) if item != guilty]


def dies_at(guilty: int, item: int) -> int:
    if item == guilty:
        os._exit(3)
    return item


async def adies_at(guilty: int, item: int) -> int:
    return dies_at(guilty, item)


@pytest.mark.parametrize("model", ["hybrid-threads", "hybrid-coroutines"])
def test_of_several_that_ran_when_the_worker_died_only_the_guilty_one_is_reported(model: str, tmp_path: Path) -> None:
    """All three are in the worker when it dies, as the files say; each is then tried alone."""
    fn = TogetherAsync(tmp_path) if model == "hybrid-coroutines" else Together(tmp_path)
    run = atonce.run(fn, range(3), model="hybrid", parallelism=1, concurrency=3)
    assert [outcome.index for outcome in run.failures] == [1]
    assert [outcome.attempts for outcome in run.outcomes] == [2, 2, 2]
    assert {path.name: int(path.read_text()) for path in tmp_path.iterdir()} == {"0": 2, "1": 2, "2": 2}


class Together:
    """Item 1 ends the process once the others run, which wait for that; the second time nobody waits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begun(self, item: int) -> int:
        file = self.folder / str(item)
        times = int(file.read_text()) + 1 if file.exists() else 1
        new = self.folder.with_name(f"{item}.new")
        new.write_text(str(times))
        new.replace(file)  # whoever sees it sees it whole
        return times

    @property
    def all_there(self) -> bool:
        return len(os.listdir(self.folder)) == 3

    def __call__(self, item: int) -> int:
        if self.begun(item) == 1:
            while item != 1 or not self.all_there:
                time.sleep(0.001)  # until it is ended from outside, or sees the files that the others write
        if item == 1:
            os._exit(3)
        return item


class TogetherAsync(Together):
    async def __call__(self, item: int) -> int:  # type: ignore[override]
        if self.begun(item) == 1:
            while item != 1 or not self.all_there:
                await asyncio.sleep(0.001)
        if item == 1:
            os._exit(3)
        return item


@pytest.mark.parametrize(
    ("fault", "model"), [("os._exit", "processes"), ("SIGKILL", "hybrid-threads"), ("os._exit", "hybrid-coroutines")]
)
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


def test_every_cell_is_in_the_table() -> None:
    assert list(WORKERS) == list(HERE)
    for table in (WORKERS, HERE):
        for stage, faults in table.items():
            assert set(faults) == set(FAULTS), stage
    for cell in BUT:
        assert cell[1] in HERE[cell[0]]
        assert cell[2] in MODELS_HERE
    assert {fault for fault, expected in WORKERS["idle"].items() if isinstance(expected, Nothing)} == set(SIGNALS)
