"""The promises that every model keeps, as checks: plain functions that raise AssertionError.

    import pytest
    from atonce.testing import contract

    SHAPE = contract.Shape("mine", {"model": "processes", "parallelism": 2}, at_once=2, here=False, kills=True)

    @pytest.mark.parametrize("check", contract.CHECKS, ids=contract.name_of)
    def test_contract(check, tmp_path):
        check(SHAPE, tmp_path)

A check takes a `Shape`, which says how the model is asked for and what it can do, and an empty folder. One that does not
concern the shape returns at once. Nothing here depends on how long something takes: what must run at the same time meets
(`Meeting`), what must not is counted (`Log`), what must hang hangs until the check lets it go.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import functools
import gc
import itertools
import logging
import os
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import atonce

from ..errors import Interrupted, ItemTimeout, NotCarried, PlanError, RemoteTraceback, SetupFailed, UsageError, WorkerDied

__all__ = ["CHECKS", "SHAPES", "Awaits", "Check", "Hanging", "Log", "Meeting", "Shape", "name_of"]

# Seconds that something may take which must happen; only a check that fails takes them.
PATIENCE = 30.0


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model and how it is asked for.

    `options`: the keywords. `awaits`: its functions are `async def`. `here`: items run in this process, so nothing is pickled,
    and an item that ends its process ends everything. `at_once`: how many items are in flight
    at most, all of them if there are enough items; None when that is the model's own choice. `threads_at_once`: into how
    many threads of execution at most a `setup` is entered. `kills`: a death costs one item. `keeps_timeout`: else refuses.
    `own_process`: where items do not run `here`, whether that is in another process.
    """

    name: str
    options: Mapping[str, Any]
    awaits: bool = False
    here: bool = True
    at_once: int | None = None
    threads_at_once: int | None = None
    kills: bool = False
    keeps_timeout: bool = True
    own_process: bool = True

    def of(self, plain: Callable[..., Any], *, beside: bool = False) -> Callable[..., Any]:
        """The function as this model takes it; `beside`: it blocks, so that a coroutine of it must wait in a thread."""
        return Awaits(plain, beside) if self.awaits else plain

    def __str__(self) -> str:
        return self.name


SHAPES = (
    Shape("sync", {"model": "sync"}, at_once=1, threads_at_once=1, keeps_timeout=False),
    Shape("coroutines", {"model": "coroutines", "concurrency": 4}, awaits=True, at_once=4, threads_at_once=1),
    Shape("threads", {"model": "threads", "concurrency": 4}, at_once=4, threads_at_once=4),
    Shape("processes", {"model": "processes", "parallelism": 2}, here=False, at_once=2, threads_at_once=2, kills=True),
    Shape(
        "hybrid-threads",
        {"model": "hybrid", "parallelism": 2, "concurrency": 2},
        here=False,
        at_once=4,
        threads_at_once=4,
        kills=True,
    ),
    Shape(
        "hybrid-coroutines",
        {"model": "hybrid", "parallelism": 2, "concurrency": 2},
        awaits=True,
        here=False,
        at_once=4,
        threads_at_once=2,
        kills=True,
    ),
    Shape("auto", {"model": "auto"}),
    Shape("auto-async", {"model": "auto"}, awaits=True),
)

Check = Callable[[Shape, Path], None]
_checks: list[Check] = []


def check(function: Check) -> Check:
    """Add to the contract."""
    _checks.append(function)
    return function


def name_of(check: Check) -> str:
    """A readable id."""
    return getattr(check, "__name__", repr(check))


# ── functions under test; all can be pickled, and live here so that a worker can import them ─────────────────────────


class Awaits:
    """An `async def` around a plain function."""

    def __init__(self, plain: Callable[..., Any], beside: bool = False) -> None:
        self.plain = plain
        self.beside = beside

    async def __call__(self, *args: Any) -> Any:
        await asyncio.sleep(0)
        return await asyncio.to_thread(self.plain, *args) if self.beside else self.plain(*args)


class Log:
    """Lines that any thread of any process may add to; each arrives whole, and once."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def write(self, *words: object) -> None:
        fd = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.write(fd, (" ".join(map(str, words)) + "\n").encode())
        finally:
            os.close(fd)

    def lines(self) -> list[tuple[str, ...]]:
        with contextlib.suppress(FileNotFoundError):
            return [tuple(line.split()) for line in Path(self.path).read_text(encoding="utf-8").splitlines()]
        return []

    def wait_for(self, count: int) -> None:
        """Until there are that many lines."""
        _until(lambda: len(self.lines()) >= count, f"{count} lines in the log")


class Meeting:
    """Whoever comes waits until all `count` have come: if it ends, they were all there at the same time."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = str(folder)
        self.count = count

    def __call__(self, item: Any) -> Any:
        Path(self.folder, uuid.uuid4().hex).touch()
        _until(lambda: len(os.listdir(self.folder)) >= self.count, f"{self.count} at the same time")
        return item


class Hanging:
    """`with Hanging() as hang:` gives a function that never returns for items in `of`, until the end of the block.

    In another process it hangs for good. As `async def` it awaits, so it can be cancelled. The block is a pipe, which ends
    for all interpreters of this process at once.
    """

    def __init__(self, *of: Any, log: Log | None = None) -> None:
        self.of = of
        self.log = log
        self.pid = os.getpid()

    def __enter__(self) -> Hanging:
        self.end, self._end_it = os.pipe()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end_it)
        os.close(self.end)

    def __call__(self, item: Any) -> Any:
        if self.log is not None:
            self.log.write(item)
        if item in self.of:
            if os.getpid() != self.pid:
                threading.Event().wait()
            with contextlib.suppress(OSError):  # the end of the block has been
                os.read(self.end, 1)
        return item

    async def awaited(self, item: Any) -> Any:
        if self.log is not None:
            self.log.write(item)
        if item in self.of:
            await asyncio.Event().wait()
        return item

    def for_(self, shape: Shape) -> Callable[[Any], Any]:
        return self.awaited if shape.awaits else self


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE:g} s in vain for {what}")
        time.sleep(0.001)


class _Odd(Exception):
    pass


def double(item: int) -> int:
    return 2 * item


def odd_fail(item: int) -> int:
    if item % 2:
        raise _Odd(item)
    return item


def seven_fails(item: int) -> int:
    if item == 7:
        raise _Odd(item)
    return item


# ── what comes out ───────────────────────────────────────────────────────────────────────────────────────────────────


@check
def nothing_comes_of_nothing(shape: Shape, folder: Path) -> None:
    fn = shape.of(double)
    assert list(atonce.map(fn, [], **shape.options)) == []
    assert list(atonce.stream(fn, iter(()), **shape.options)) == []
    run = atonce.run(fn, [], **shape.options)
    assert (run.outcomes, run.values, run.failures) == ((), [], [])


@check
def each_item_ends_in_exactly_one_outcome(shape: Shape, folder: Path) -> None:
    outcomes = list(atonce.stream(shape.of(odd_fail), range(500), **shape.options))
    assert Counter(outcome.index for outcome in outcomes) == Counter(range(500))
    for outcome in outcomes:
        assert outcome.item == outcome.index
        assert outcome.attempts == 1
        assert outcome.ok is (outcome.item % 2 == 0)
        if outcome.ok:
            assert outcome.value == outcome.unwrap() == outcome.item
            assert outcome.error is None
        else:
            assert outcome.value is None
            assert isinstance(outcome.error, _Odd)
            assert outcome.error.args == (outcome.item,)


@check
def each_item_runs_once(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    atonce.run(shape.of(log.write), range(200), **shape.options)
    assert Counter(log.lines()) == Counter((str(item),) for item in range(200))


@check
def map_is_in_order(shape: Shape, folder: Path) -> None:
    assert list(atonce.map(shape.of(double), range(300), **shape.options)) == [2 * item for item in range(300)]


@check
def map_out_of_order_loses_nothing(shape: Shape, folder: Path) -> None:
    values = atonce.map(shape.of(double), range(300), ordered=False, **shape.options)
    assert sorted(values) == [2 * item for item in range(300)]


@check
def stream_is_in_order_when_asked(shape: Shape, folder: Path) -> None:
    outcomes = atonce.stream(shape.of(odd_fail), range(300), ordered=True, **shape.options)
    assert [outcome.index for outcome in outcomes] == list(range(300))


@check
def map_raises_when_the_failed_items_turn_comes(shape: Shape, folder: Path) -> None:
    values = atonce.map(shape.of(seven_fails), range(50), **shape.options)
    assert list(itertools.islice(values, 7)) == list(range(7))
    try:
        next(values)
    except _Odd as error:
        assert error.args == (7,)  # noqa: PT017
    else:
        raise AssertionError("map did not raise")
    assert list(values) == []  # the run has ended


@check
def map_returns_or_skips_errors_when_asked(shape: Shape, folder: Path) -> None:
    fn = shape.of(odd_fail)
    returned = list(atonce.map(fn, range(20), errors="return", **shape.options))
    assert [value if isinstance(value, int) else value.args[0] for value in returned] == list(range(20))
    assert all(isinstance(value, _Odd) for value in returned[1::2])
    assert list(atonce.map(fn, range(20), errors="skip", **shape.options)) == list(range(0, 20, 2))


@check
def run_has_outcomes_values_failures_plan_and_stats(shape: Shape, folder: Path) -> None:
    run = atonce.run(shape.of(odd_fail), range(20), **shape.options)
    assert [outcome.index for outcome in run.outcomes] == list(range(20))
    assert run.values == list(range(0, 20, 2))
    assert [outcome.index for outcome in run.failures] == list(range(1, 20, 2))
    assert (run.stats.items, run.stats.ok, run.stats.failed, run.stats.attempts) == (20, 10, 10, 20)
    assert (run.stats.workers_lost, run.stats.threads_left) == (0, 0)
    assert run.stats.seconds > 0
    assert run.plan.headline in str(run.plan)
    assert run.plan.reasons
    assert "20 items: 10 ok, 10 failed" in repr(run)


@check
def an_outcome_says_when_and_where(shape: Shape, folder: Path) -> None:
    before = time.monotonic()
    run = atonce.run(shape.of(_where), range(20), **shape.options)
    after = time.monotonic()
    for outcome in run.outcomes:
        assert before <= outcome.started <= outcome.ended <= after
        assert outcome.waited >= 0
        assert outcome.cpu >= 0
        assert outcome.worker is not None
        assert outcome.value == outcome.worker[:2]
        if shape.options["model"] != "auto":
            assert (outcome.worker.pid == os.getpid()) is (shape.here or not shape.own_process)


def _where(item: int) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


@check
def an_exception_brings_its_traceback(shape: Shape, folder: Path) -> None:
    (failure,) = atonce.run(shape.of(seven_fails), [7], **shape.options).failures
    assert failure.error is not None
    if shape.here:
        assert _ends_in(failure.error) == "seven_fails"
        assert not isinstance(failure.error.__cause__, RemoteTraceback)
    else:
        assert isinstance(failure.error.__cause__, RemoteTraceback)
        assert "in seven_fails" in str(failure.error.__cause__)


def _ends_in(error: BaseException) -> str:
    traceback = error.__traceback__
    assert traceback is not None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_name


@check
def an_exception_that_does_not_travel_is_still_told(shape: Shape, folder: Path) -> None:
    (failure,) = atonce.run(shape.of(_raise_untransportable), [1], **shape.options).failures
    assert failure.error is not None
    assert "cannot travel" in str(failure.error)
    assert "_raise_untransportable" in (str(failure.error.__cause__) if not shape.here else _ends_in(failure.error))


class _Untransportable(Exception):
    """Its constructor wants more than `args` has, as that of many libraries' exceptions."""

    def __init__(self, what: str, lock: object) -> None:
        super().__init__(what)
        self.lock = lock


def _raise_untransportable(item: int) -> None:
    raise _Untransportable("cannot travel", threading.Lock())


@check
def an_exit_or_interrupt_raised_by_the_function_is_its_items_failure(shape: Shape, folder: Path) -> None:
    run = atonce.run(shape.of(_exits), range(4), **shape.options)
    assert [type(outcome.error) for outcome in run.outcomes] == [type(None), SystemExit, type(None), GeneratorExit]
    if shape.options["model"] not in ("sync", "auto"):  # there it is raised in the caller's own thread: it is Ctrl-C
        (failure,) = atonce.run(shape.of(_interrupts), [0], **shape.options).failures
        assert isinstance(failure.error, KeyboardInterrupt)


def _exits(item: int) -> int:
    if item == 1:
        raise SystemExit(3)
    if item == 3:
        raise GeneratorExit
    return item


def _interrupts(item: int) -> None:
    raise KeyboardInterrupt


@check
def any_value_travels(shape: Shape, folder: Path) -> None:
    items = [None, 0, "", b"\0" * 3_000_000, [1, [2, {3}]], float("inf"), (), {"a": None}, Exception("a value"), int, len]
    values = list(atonce.map(shape.of(_same), items, **shape.options))
    assert [repr(value) for value in values] == [repr(item) for item in items]


def _same(item: Any) -> Any:
    return item


@check
def what_cannot_be_pickled_costs_its_item_alone(shape: Shape, folder: Path) -> None:
    items = [1, threading.Lock(), 2, 3]
    run = atonce.run(shape.of(_same), items, **shape.options)
    if shape.here:
        assert run.values == items
        return
    assert run.values == [1, 2, 3]
    assert isinstance(run.failures[0].error, NotCarried)
    run = atonce.run(shape.of(_lock_for_odd), range(6), **shape.options)
    assert run.values == [0, 2, 4]
    assert all(isinstance(outcome.error, NotCarried) for outcome in run.failures)


def _lock_for_odd(item: int) -> Any:
    return threading.Lock() if item % 2 else item


# ── functions of every kind ──────────────────────────────────────────────────────────────────────────────────────────


def _plus(a: int, b: int) -> int:
    return a + b


async def _aplus(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


async def _aone_more(item: int) -> int:
    await asyncio.sleep(0)
    return item + 1


def _one_more(item: int) -> int:
    return item + 1


class _Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    def method(self, item: int) -> int:
        return item + self.by

    async def amethod(self, item: int) -> int:
        await asyncio.sleep(0)
        return item + self.by

    def __call__(self, item: int) -> int:
        return item + self.by

    @classmethod
    def of_class(cls, item: int) -> int:
        return item + 1

    @staticmethod
    def of_none(item: int) -> int:
        return item + 1


def functions(shape: Shape) -> dict[str, Callable[[int], Any]]:
    """Each adds one."""
    by = 1

    def closure(item: int) -> int:
        return item + by

    async def aclosure(item: int) -> int:
        await asyncio.sleep(0)
        return item + by

    if shape.awaits:
        kinds: dict[str, Callable[[int], Any]] = {
            "async def": _aone_more,
            "closure": aclosure,
            "partial": functools.partial(_aplus, 1),
            "bound method": _Adder(1).amethod,
            "callable object": Awaits(_one_more),
        }
        if shape.options["model"] == "coroutines":  # elsewhere nobody can tell beforehand that it gives a coroutine
            kinds["lambda"] = lambda item: _aone_more(item)
        return kinds
    return {
        "def": _one_more,
        "closure": closure,
        "lambda": lambda item: item + by,
        "partial": functools.partial(_plus, 1),
        "bound method": _Adder(1).method,
        "class method": _Adder.of_class,
        "static method": _Adder.of_none,
        "callable object": _Adder(1),
        "builtin": (1).__add__,
        "class": _OneMore,
    }


class _OneMore:
    def __init__(self, item: int) -> None:
        self.number = item + 1

    def __eq__(self, other: object) -> bool:
        return self.number == other

    __hash__ = None  # type: ignore[assignment]


@check
def every_kind_of_function_is_taken(shape: Shape, folder: Path) -> None:
    for kind, fn in functions(shape).items():
        assert list(atonce.map(fn, range(5), **shape.options)) == [1, 2, 3, 4, 5], kind


@check
def an_async_def_is_awaited_wherever_it_runs(shape: Shape, folder: Path) -> None:
    """Also where calls run one after another or in threads: each thread has a loop then."""
    assert list(atonce.map(_aone_more, range(20), **shape.options)) == list(range(1, 21))


# ── in flight ────────────────────────────────────────────────────────────────────────────────────────────────────────


@check
def as_many_as_there_are_slots_run_at_once(shape: Shape, folder: Path) -> None:
    if shape.at_once is None:
        return
    fn = shape.of(Meeting(folder / "meeting", shape.at_once), beside=True)
    assert list(atonce.map(fn, range(shape.at_once), **shape.options)) == list(range(shape.at_once))


@check
def never_more_than_there_are_slots_run_at_once(shape: Shape, folder: Path) -> None:
    if shape.at_once is None:
        return
    log = Log(folder / "log")
    atonce.run(shape.of(_Counted(log), beside=True), range(60), **shape.options)
    assert 1 <= _high_water(log.lines()) <= shape.at_once


@check
def never_more_than_per_key_run_at_once(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    fn = shape.of(_Counted(log, modulo=3), beside=True)
    run = atonce.run(fn, range(45), key=_modulo_three, per_key=1, **shape.options)
    assert run.values == list(range(45))
    for key in "012":
        assert _high_water([line for line in log.lines() if line[1] == key]) == 1


class _Counted:
    def __init__(self, log: Log, modulo: int = 1) -> None:
        self.log = log
        self.modulo = modulo

    def __call__(self, item: int) -> int:
        self.log.write("+", item % self.modulo)
        self.log.write("-", item % self.modulo)
        return item


def _modulo_three(item: int) -> int:
    return item % 3


def _high_water(lines: list[tuple[str, ...]]) -> int:
    return max(itertools.accumulate(1 if line[0] == "+" else -1 for line in lines))


@check
def an_endless_source_is_read_only_as_far_as_there_is_room(shape: Shape, folder: Path) -> None:
    taken = ahead = 0

    def source() -> Iterator[int]:
        nonlocal ahead
        for number in itertools.count():
            ahead = max(ahead, number - taken)
            yield number

    with contextlib.closing(atonce.map(shape.of(double), source(), **shape.options)) as values:  # type: ignore[type-var]
        for value in itertools.islice(values, 20_000):
            assert value == 2 * taken
            taken += 1
    # 8192 items is the most that a worker is given, however short they are; its slots may have as many in reports
    assert ahead <= 3 * 8192 * shape.options.get("parallelism", 2) + 1000


@check
def the_source_is_read_in_the_callers_thread(shape: Shape, folder: Path) -> None:
    """A cursor of a database, for one, may be used in its own thread only."""
    threads: set[int] = set()

    def source() -> Iterator[int]:
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    atonce.run(shape.of(double), source(), **shape.options)
    assert threads == {threading.get_ident()}


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@check
def leaving_early_ends_the_run(shape: Shape, folder: Path) -> None:
    read = itertools.count()
    values = atonce.map(shape.of(double), read, **shape.options)
    assert list(itertools.islice(values, 3)) == [0, 2, 4]
    values.close()  # type: ignore[attr-defined]
    where = next(read)
    assert list(values) == []
    assert next(read) == where + 1


@check
def dropping_the_iterator_ends_the_run(shape: Shape, folder: Path) -> None:
    for outcome in atonce.stream(shape.of(double), itertools.count(), **shape.options):
        assert outcome.ok
        break
    gc.collect()  # where there is no reference counting


@check
def an_iterator_that_was_never_begun_has_run_nothing(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    values = atonce.map(shape.of(log.write), range(5), **shape.options)
    values.close()  # type: ignore[attr-defined]
    assert log.lines() == []


@check
def a_source_that_raises_ends_the_run_after_what_it_gave(shape: Shape, folder: Path) -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    seen: list[int] = []
    try:
        for value in atonce.map(shape.of(double), source(), **shape.options):
            seen.append(value)  # noqa: PERF402 - one by one, until it raises
    except LookupError as error:
        assert str(error) == "no more"  # noqa: PT017
    else:
        raise AssertionError("what the source raised was swallowed")
    assert seen == [0, 2, 4, 6, 8]
    try:
        atonce.run(shape.of(double), source(), **shape.options)
    except LookupError as error:
        assert [outcome.value for outcome in error.run.outcomes] == [0, 2, 4, 6, 8]  # type: ignore[attr-defined]  # noqa: PT017


@check
def a_source_that_cannot_be_begun_leaves_nothing_open(shape: Shape, folder: Path) -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise LookupError("cannot begin")

    for call in (atonce.map, atonce.stream, lambda *args, **options: [atonce.run(*args, **options)]):
        try:
            list(call(shape.of(double), Broken(), **shape.options))
        except LookupError:
            pass
        else:
            raise AssertionError("what the source raised was swallowed")


@check
def wrong_usage_is_told_before_anything_runs(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")

    def source() -> Iterator[int]:
        log.write("read")
        yield 1

    for wrong in ({"timeout": -1}, {"no_such": 1}, {"errors": "maybe"}, {"per_key": 1}, {"concurrency": 0}):
        for call in (atonce.map, atonce.stream, atonce.run):
            try:
                call(shape.of(log.write), source(), **{**shape.options, **wrong})
            except UsageError as error:
                assert next(iter(wrong)) in str(error)  # noqa: PT017
            else:
                raise AssertionError(f"{wrong} was taken")
    assert log.lines() == []


@check
def an_interrupt_keeps_what_was_finished(shape: Shape, folder: Path) -> None:
    """Ctrl-C while the source is read: five items were done, since with one in flight the sixth was not wanted before."""

    def source() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    one = {**shape.options, "rate": 1e9}
    one.update({name: 1 for name in ("parallelism", "concurrency") if name in one})
    if "parallelism" not in one and "concurrency" not in one and shape.options["model"] == "auto":
        one["concurrency"] = 1
    try:
        atonce.run(shape.of(double), source(), **one)
    except Interrupted as error:
        assert error.run.values == [0, 2, 4, 6, 8]  # noqa: PT017
    else:
        raise AssertionError("the interrupt was swallowed")


# ── setup ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Resource:
    """Writes down who enters, uses and exits it."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.name = uuid.uuid4().hex

    def _write(self, what: str) -> None:
        self.log.write(what, self.name, os.getpid(), threading.get_ident())

    def use(self) -> None:
        self._write("use")


class Resource(_Resource):
    """A sync one."""

    def __enter__(self) -> Resource:
        self._write("enter")
        return self

    def __exit__(self, *_: object) -> None:
        self._write("exit")


class AsyncResource(_Resource):
    """An async one."""

    async def __aenter__(self) -> AsyncResource:
        await asyncio.sleep(0)
        self._write("enter")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._write("exit")


def _use(resource: _Resource, item: int) -> int:
    resource.use()
    return seven_fails(item)


def _resources(log: Log) -> dict[str, dict[str, tuple[str, ...]]]:
    """What happened to each, after seeing that each was entered once, used where it was entered, and exited once, last."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in log.lines():
        found.setdefault(line[1], []).append(line)
    for lines in found.values():
        whats = [line[0] for line in lines]
        assert whats[0] == "enter"
        assert whats.count("enter") == 1
        assert whats.count("exit") == 1, f"entered and not exited, of {len(found)}: {whats}"
        assert whats[-1] == "exit"
        assert len({line[2:] for line in lines}) == 1, "a resource was used in a thread other than the one that entered it"
    return {name: {line[0]: line[2:] for line in lines} for name, lines in found.items()}


def _setups(shape: Shape, log: Log) -> Iterator[Callable[[], Any]]:
    yield functools.partial(Resource, log)
    if shape.awaits:
        yield functools.partial(AsyncResource, log)


@check
def setup_is_entered_once_a_thread_and_always_exited(shape: Shape, folder: Path) -> None:
    for number, setup in enumerate(_setups(shape, log := Log(folder / "log"))):
        run = atonce.run(shape.of(_use), range(60), setup=setup, **shape.options)
        assert [outcome.index for outcome in run.failures] == [7]
        resources = _resources(log)
        assert resources
        if shape.threads_at_once is not None:
            assert len(resources) <= shape.threads_at_once * (number + 1)
        assert sum(line[0] == "use" for line in log.lines()) == 60 * (number + 1)


@check
def setup_is_exited_when_an_item_fails_the_run(shape: Shape, folder: Path) -> None:
    for setup in _setups(shape, log := Log(folder / "log")):
        try:
            list(atonce.map(shape.of(_use), range(60), setup=setup, **shape.options))
        except _Odd:
            pass
        assert _resources(log)


@check
def setup_is_exited_when_the_loop_is_left_early(shape: Shape, folder: Path) -> None:
    for setup in _setups(shape, log := Log(folder / "log")):
        for _ in atonce.stream(shape.of(_use), itertools.count(100), setup=setup, **shape.options):
            break
        assert _resources(log)


@check
def setup_may_take_its_time_to_exit(shape: Shape, folder: Path) -> None:
    """Longer than the patience with workers that must end: a run that ends well waits for it."""
    atonce.run(shape.of(_use), range(4), setup=functools.partial(_SlowToExit, log := Log(folder / "log")), **shape.options)
    assert _resources(log)


class _SlowToExit(Resource):
    def __exit__(self, *_: object) -> None:
        time.sleep(0.8)
        self._write("exit")


@check
def setup_that_fails_ends_the_run_and_says_so(shape: Shape, folder: Path) -> None:
    for setup in (_setup_raises, _setup_exits, _setup_gives_nothing):
        try:
            atonce.run(shape.of(_use), range(5), setup=setup, **shape.options)
        except SetupFailed as error:
            assert "setup" in str(error)  # noqa: PT017
        else:
            raise AssertionError(f"{setup.__name__} went unnoticed")


def _setup_raises() -> None:
    raise LookupError("nobody there")


def _setup_exits() -> None:
    raise SystemExit(3)


def _setup_gives_nothing() -> None:
    return None


# ── retry, timeout, rate ─────────────────────────────────────────────────────────────────────────────────────────────


class _FailsFirst:
    """Fails `times` times an item, whoever calls it."""

    def __init__(self, log: Log, times: int) -> None:
        self.log = log
        self.times = times

    def __call__(self, item: int) -> int:
        self.log.write(item)
        if sum(line == (str(item),) for line in self.log.lines()) <= self.times:
            raise _Odd(item)
        return item


@check
def a_failure_is_tried_again_as_told(shape: Shape, folder: Path) -> None:
    quick = atonce.Retry(attempts=3, base=0.001, on=_Odd)
    run = atonce.run(shape.of(_FailsFirst(Log(folder / "one"), 1)), range(2), retry=quick, **shape.options)
    assert run.values == [0, 1]
    assert [outcome.attempts for outcome in run.outcomes] == [2, 2]
    assert run.stats.attempts == 4


@check
def a_failure_that_stays_is_reported_with_its_attempts(shape: Shape, folder: Path) -> None:
    quick = atonce.Retry(attempts=2, base=0.001)
    log = Log(folder / "log")
    run = atonce.run(shape.of(_FailsFirst(log, 99)), range(2), retry=quick, **shape.options)
    assert [outcome.attempts for outcome in run.failures] == [2, 2]
    assert len(log.lines()) == 4


@check
def what_a_retry_does_not_cover_is_not_tried_again(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    retry = atonce.Retry(attempts=5, base=0.001, on=LookupError)
    run = atonce.run(shape.of(_FailsFirst(log, 99)), [1], retry=retry, **shape.options)
    assert run.failures[0].attempts == 1
    assert log.lines() == [("1",)]


@check
def a_stuck_item_costs_its_timeout_and_nobody_else(shape: Shape, folder: Path) -> None:
    with Hanging(3) as hang:
        if not shape.keeps_timeout:
            try:
                atonce.map(hang, range(10), timeout=0.2, **shape.options)
            except PlanError as error:
                assert "timeout" in str(error)  # noqa: PT017
                return
            raise AssertionError("a timeout that cannot be kept was taken")
        run = atonce.run(hang.for_(shape), range(10), timeout=0.2, **shape.options)
    assert [outcome.index for outcome in run.failures] == [3]
    assert isinstance(run.failures[0].error, ItemTimeout)
    assert run.values == [item for item in range(10) if item != 3]


@check
def a_stuck_first_item_costs_its_timeout_and_nobody_else(shape: Shape, folder: Path) -> None:
    """The first one is special: `auto` measures it."""
    if not shape.keeps_timeout:
        return
    with Hanging(0) as hang:
        run = atonce.run(hang.for_(shape), range(5), timeout=0.2, **shape.options)
    assert [outcome.index for outcome in run.failures] == [0]
    assert isinstance(run.failures[0].error, ItemTimeout)


@check
def a_stuck_item_may_be_tried_again(shape: Shape, folder: Path) -> None:
    if not shape.keeps_timeout:
        return
    log = Log(folder / "log")
    with _HangsOnce(log) as hang:
        run = atonce.run(hang.for_(shape), range(4), timeout=0.3, retry=2, **shape.options)
    assert run.values == [0, 1, 2, 3]
    assert run.outcomes[1].attempts == 2


class _HangsOnce(Hanging):
    def __init__(self, log: Log) -> None:
        super().__init__(1)
        self.once = log

    def _first(self, item: int) -> bool:
        if item == 1:
            self.once.write(item)
        return item == 1 and len(self.once.lines()) == 1

    def __call__(self, item: Any) -> Any:
        return super().__call__(item) if self._first(item) else item

    async def awaited(self, item: Any) -> Any:
        return await super().awaited(item) if self._first(item) else item


@check
def a_timeout_that_is_not_reached_costs_nothing(shape: Shape, folder: Path) -> None:
    if shape.keeps_timeout:
        run = atonce.run(shape.of(double), range(100), timeout=60, **shape.options)
        assert run.values == [2 * item for item in range(100)]


@check
def a_rate_spaces_the_starts(shape: Shape, folder: Path) -> None:
    began = time.monotonic()
    run = atonce.run(shape.of(double), range(8), rate=100, **shape.options)
    starts = sorted(outcome.started for outcome in run.outcomes)
    # an item starts when it is given out, or later: none comes before the rate lets it, whatever the machine does meanwhile
    for number, start in enumerate(starts):
        assert start - began >= number / 100 - 0.005


@check
def a_death_costs_one_item(shape: Shape, folder: Path) -> None:
    if not shape.kills:
        return
    run = atonce.run(shape.of(_ends_the_process), range(20), **shape.options)
    (failure,) = run.failures
    assert failure.index == 11
    assert isinstance(failure.error, WorkerDied)
    assert failure.error.exit_code_of_worker == 3
    assert "exit code 3" in str(failure.error)
    assert "11" in str(failure.error)
    assert failure.attempts >= 2
    assert run.values == [item for item in range(20) if item != 11]


def _ends_the_process(item: int) -> int:
    if item == 11:
        os._exit(3)
    return item


# ── context ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


def _repaint(item: int) -> str:
    seen = _colour.get()
    _colour.set(f"painted by {item}")
    return seen


async def _arepaint(item: int) -> tuple[str, str]:
    seen = _colour.get()
    _colour.set(mine := f"painted by {item}")
    await asyncio.sleep(0)  # others paint now
    assert _colour.get() == mine
    return seen, mine


@check
def items_do_not_see_each_others_context(shape: Shape, folder: Path) -> None:
    token = _colour.set("the caller's")
    try:
        values: Any = list(atonce.map(_arepaint if shape.awaits else _repaint, range(50), **shape.options))
        seen = {value[0] for value in values} if shape.awaits else set(values)
        assert seen == {"the caller's"}
        assert _colour.get() == "the caller's"
    finally:
        _colour.reset(token)


@check
def the_callers_context_is_seen(shape: Shape, folder: Path) -> None:
    """By the function and by its setup; also variables that no module holds, and those that nobody has set."""
    within: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="nothing")  # of the same name
    unset: contextvars.ContextVar[str] = contextvars.ContextVar("unset", default="its default")
    tokens = _colour.set("red"), within.set("green")

    def look(given: str, item: int) -> tuple[str, str, str, str]:
        return given, _colour.get(), within.get(), unset.get()

    try:
        values = set(atonce.map(shape.of(look), range(20), setup=_Sees, **shape.options))
    finally:
        within.reset(tokens[1])
        _colour.reset(tokens[0])
    assert values == {("red", "red", "green", "its default")}


class _Sees(contextlib.AbstractContextManager[str]):
    """Sets a variable as long as it is entered: `reset` asks for the context in which it was set."""

    def __enter__(self) -> str:
        seen = _colour.get()
        self._token = _colour.set("of the resource")
        return seen

    def __exit__(self, *_: object) -> None:
        _colour.reset(self._token)


@check
def an_async_def_has_a_context_of_its_own_wherever_it_runs(shape: Shape, folder: Path) -> None:
    token = _colour.set("the caller's")
    try:
        assert {seen for seen, _ in atonce.map(_arepaint, range(20), **shape.options)} == {"the caller's"}
    finally:
        _colour.reset(token)


# ── what is said beside the results ──────────────────────────────────────────────────────────────────────────────────


class _Heard(logging.Handler):
    """`with _Heard(name, level) as records:` is what reaches the caller's logger of that name."""

    def __init__(self, name: str, level: int) -> None:
        super().__init__()
        self.logger = logging.getLogger(name)
        self.logger.setLevel(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)
        self.records.append(record)

    def __enter__(self) -> list[logging.LogRecord]:
        self.logger.addHandler(self)
        self.logger.propagate = False
        return self.records

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)
        self.logger.propagate = True
        self.logger.setLevel(logging.NOTSET)


def _logs(item: int) -> tuple[int, int]:
    log = logging.getLogger("atonce_contract.items")
    log.debug("not asked for")
    log.info("item %d", item, extra={"item": {"is": item}})
    if item == 5:
        try:
            raise _Odd(item)
        except _Odd:
            log.exception("it failed")
    return os.getpid(), threading.get_ident()


@check
def what_items_log_reaches_the_callers_loggers(shape: Shape, folder: Path) -> None:
    """Each record once, in the order of its thread, from where it came; as far as the caller's levels let it."""
    with _Heard("atonce_contract", logging.INFO) as records:
        run = atonce.run(shape.of(_logs), range(20), **shape.options)
    (failed,) = (record for record in records if record.levelno == logging.ERROR)
    assert "it failed" in failed.getMessage()
    assert "_Odd: 5" in failed.getMessage() + (failed.exc_text or "")
    told = [record for record in records if record.levelno == logging.INFO]
    assert sorted(record.item["is"] for record in told) == list(range(20))  # type: ignore[attr-defined]
    for record in told:
        item = record.item["is"]  # type: ignore[attr-defined]
        assert record.getMessage() == f"item {item}"
        assert (record.process, record.thread) == run.outcomes[item].value
        assert (record.name, record.funcName) == ("atonce_contract.items", "_logs")
    assert len(records) == 21
    for where in {outcome.value for outcome in run.outcomes}:
        mine = [record.created for record in records if (record.process, record.thread) == where]
        assert mine == sorted(mine)


@check
def a_flood_of_records_arrives_whole(shape: Shape, folder: Path) -> None:
    with _Heard("atonce_contract", logging.INFO) as records:
        atonce.run(shape.of(_floods), range(4), **shape.options)
    assert Counter(record.getMessage() for record in records) == Counter(f"{a} {b}" for a in range(4) for b in range(500))


def _floods(item: int) -> None:
    for number in range(500):
        logging.getLogger("atonce_contract").info("%d %d", item, number)


class _Careful(UserWarning):
    pass


def _warns(item: int) -> int:
    warnings.warn("careful", _Careful, stacklevel=1)
    return item


@check
def warnings_are_shown_as_the_callers_filters_say(shape: Shape, folder: Path) -> None:
    fn = shape.of(_warns)
    # once a place for all workers, also in a second run; each time; not at all
    for action, expected in (("default", 1), ("always", 40), ("ignore", 0)):
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter(action, _Careful)  # type: ignore[arg-type]
            for _ in range(2):
                assert atonce.run(fn, range(20), **shape.options).values == list(range(20))
        assert len(shown) == expected
        for warning in shown:
            assert warning.category is _Careful
            assert isinstance(warning.message, _Careful)
            assert str(warning.message) == "careful"
            assert Path(warning.filename) == Path(__file__)
            assert warning.lineno == _warns.__code__.co_firstlineno + 1


@check
def a_warning_that_is_an_error_is_its_items_failure(shape: Shape, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", _Careful)
        run = atonce.run(shape.of(_warns), range(5), **shape.options)
    assert [type(outcome.error) for outcome in run.outcomes] == [_Careful] * 5


# ── callers of every kind ────────────────────────────────────────────────────────────────────────────────────────────


@check
def async_callers_get_the_same(shape: Shape, folder: Path) -> None:
    async def main() -> None:
        fn = shape.of(odd_fail)
        outcomes = [outcome async for outcome in atonce.astream(fn, range(50), **shape.options)]
        assert Counter(outcome.index for outcome in outcomes) == Counter(range(50))
        values = [value async for value in atonce.amap(fn, range(50), errors="skip", **shape.options)]
        assert values == list(range(0, 50, 2))
        run = await atonce.arun(fn, range(50), **shape.options)
        assert run.values == values
        assert [outcome.index for outcome in run.outcomes] == list(range(50))
        try:
            async for value in atonce.amap(fn, range(50), **shape.options):
                assert value == 0
        except _Odd as error:
            assert error.args == (1,)  # noqa: PT017
        else:
            raise AssertionError("amap did not raise")

    asyncio.run(main())


@check
def the_callers_loop_goes_on_meanwhile(shape: Shape, folder: Path) -> None:
    """Items wait for something that another task of the caller's loop does."""
    log = Log(folder / "log")

    async def main() -> None:
        async def bystander() -> None:
            while len(log.lines()) < 1:  # noqa: ASYNC110 - what it waits for is a file
                await asyncio.sleep(0.001)
            log.write("seen")

        beside = asyncio.create_task(bystander())
        run = await atonce.arun(shape.of(_WaitsForTwo(log), beside=True), [1], **shape.options)
        await beside
        assert run.values == [1]

    asyncio.run(main())


class _WaitsForTwo:
    def __init__(self, log: Log) -> None:
        self.log = log

    def __call__(self, item: int) -> int:
        self.log.write("here")
        self.log.wait_for(2)
        return item


@check
def async_sources_are_read(shape: Shape, folder: Path) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(50):
            await asyncio.sleep(0)
            yield number

    async def main() -> list[Any]:
        return [value async for value in atonce.amap(shape.of(double), source(), **shape.options)]

    expected = [2 * item for item in range(50)]
    assert list(atonce.map(shape.of(double), source(), **shape.options)) == expected
    assert asyncio.run(main()) == expected


@check
def an_async_source_that_raises_ends_the_run_after_what_it_gave(shape: Shape, folder: Path) -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(5):
            yield number
        raise LookupError("no more")

    async def main() -> None:
        await atonce.arun(shape.of(double), source(), **shape.options)

    for call in (lambda: atonce.run(shape.of(double), source(), **shape.options), lambda: asyncio.run(main())):
        try:
            call()
        except LookupError as error:
            assert [outcome.value for outcome in error.run.outcomes] == [0, 2, 4, 6, 8]  # type: ignore[attr-defined]  # noqa: PT017
        else:
            raise AssertionError("what the source raised was swallowed")


@check
def an_async_source_is_closed_when_the_loop_is_left_early(shape: Shape, folder: Path) -> None:
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
        finally:
            closed.append("source")

    async def main() -> None:
        async with contextlib.aclosing(atonce.amap(shape.of(double), source(), **shape.options)) as values:  # type: ignore[type-var]
            async for _ in values:
                break

    for _ in atonce.map(shape.of(double), source(), **shape.options):
        break
    asyncio.run(main())
    gc.collect()
    assert closed == ["source", "source"]


@check
def a_sync_call_inside_a_running_loop_works(shape: Shape, folder: Path) -> None:
    """As in a notebook."""

    async def main() -> list[Any]:
        return list(atonce.map(shape.of(double), range(20), **shape.options))

    assert asyncio.run(main()) == [2 * item for item in range(20)]


@check
def several_threads_may_call_at_once(shape: Shape, folder: Path) -> None:
    threads = 4
    together = threading.Barrier(threads)
    results: list[list[Any]] = []

    def call() -> None:
        together.wait(PATIENCE)
        results.append(list(atonce.map(shape.of(double), range(100), **shape.options)))

    callers = [threading.Thread(target=call) for _ in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [[2 * item for item in range(100)]] * threads


@check
def runs_may_be_interleaved_in_one_thread(shape: Shape, folder: Path) -> None:
    one = atonce.map(shape.of(double), range(30), **shape.options)
    two = atonce.map(shape.of(double), range(30), **shape.options)
    assert list(zip(one, two, strict=True)) == [(2 * item, 2 * item) for item in range(30)]


@check
def a_run_inside_an_item_works(shape: Shape, folder: Path) -> None:
    fn = shape.of(functools.partial(_nested, dict(shape.options), shape.awaits), beside=True)
    assert list(atonce.map(fn, range(3), **shape.options)) == [0, 6, 12]


def _nested(options: dict[str, Any], awaits: bool, item: int) -> int:
    fn: Callable[[int], Any] = Awaits(double) if awaits else double
    return sum(atonce.map(fn, [item, item, item], **options))


@check
def cancelling_arun_ends_the_run(shape: Shape, folder: Path) -> None:
    log = Log(folder / "log")
    with Hanging(*range(100), log=log) as hang:

        async def main() -> None:
            run = asyncio.create_task(atonce.arun(hang.for_(shape), range(100), **shape.options))
            while not log.lines():  # noqa: ASYNC110 - what it waits for is a file
                await asyncio.sleep(0.001)
            run.cancel()
            try:
                await run
            except asyncio.CancelledError:
                return
            raise AssertionError("the cancellation was swallowed")

        asyncio.run(main())
    assert len(log.lines()) < 100


@check
def closing_astream_early_ends_the_run(shape: Shape, folder: Path) -> None:
    async def main() -> None:
        async with contextlib.aclosing(atonce.astream(shape.of(double), itertools.count(), **shape.options)) as outcomes:  # type: ignore[type-var]
            async for outcome in outcomes:
                assert outcome.ok
                break
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@check
def a_finished_run_keeps_no_item_alive(shape: Shape, folder: Path) -> None:
    """No cycle, no cache: with the collector off, the last reference is the caller's."""
    if not shape.here:
        return
    gc.collect()
    gc.disable()
    try:
        items = [_Weighty() for _ in range(20)]
        assert len(list(atonce.map(shape.of(_same), items, **shape.options))) == 20
        if shape.options["model"] not in (
            "sync",
            "auto",
        ):  # there a traceback holds the caller's own frames, as in a plain loop
            for outcome in atonce.stream(shape.of(_fail), items, **shape.options):
                assert not outcome.ok
            del outcome
        del items
        assert _Weighty.alive == 0
    finally:
        gc.enable()
        _Weighty.alive = 0


class _Weighty:
    alive = 0

    def __init__(self) -> None:
        type(self).alive += 1

    def __del__(self) -> None:
        type(self).alive -= 1


def _fail(item: Any) -> None:
    raise ValueError("no")


CHECKS = tuple(_checks)
