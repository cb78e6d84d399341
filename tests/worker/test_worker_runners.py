"""The runners by themselves: each keeps the contract that `Runner` states, whatever the items do."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atonce.errors import ItemTimeout
from atonce.worker.job import Cells, Job
from atonce.worker.outbox import Failure, Outbox, Report
from atonce.worker.runners import RUNNERS, Runner, load
from atonce.worker.runners import coroutine as coroutine_module
from atonce.worker.runners import thread as thread_module

LONG = 20.0


class Bench:
    """A runner on its own: feed it, and wait for what comes back."""

    def __init__(self, name: str, job: Job, slots: int) -> None:
        self.rows: dict[int, Any] = {}
        self.failures: list[Failure] = []
        self.broken: list[BaseException] = []
        self.cells = Cells(slots)
        self._news = threading.Condition()
        outbox = Outbox(self._send, self._break)
        self.runner: Runner = load(name)(job, slots, outbox, self.cells)
        self.runner.start()
        self.cancelled = False

    def _send(self, report: Report) -> None:
        with self._news:
            for index, value in zip(report.indices, report.values, strict=True):
                assert index not in self.rows
                self.rows[index] = value
            self.failures += report.failures
            self._news.notify_all()

    def _break(self, error: BaseException) -> None:
        with self._news:
            self.broken.append(error)
            self._news.notify_all()

    def feed(self, *items: Any, first: int = 0) -> None:
        self.runner.feed(list(enumerate(items, first)))

    def wait_for(self, count: int) -> None:
        """Until so many items have ended."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.rows) + len(self.failures) + len(self.broken) >= count, LONG), vars(
                self
            )


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(name: str, fn: Callable[..., Any], slots: int = 2, **job: Any) -> Bench:
        made.append(Bench(name, Job(fn, **job), slots))
        return made[-1]

    yield make
    for one in made:
        if not one.cancelled:
            one.runner.stop(cancel=True)


def same(item: Any) -> Any:
    if isinstance(item, BaseException):
        raise item
    return item


async def asame(item: Any) -> Any:
    await asyncio.sleep(0)
    return same(item)


KINDS = [("call", same), ("thread", same), ("coroutine", asame)]
kinds = pytest.mark.parametrize(("name", "fn"), KINDS, ids=[name for name, _ in KINDS])


def test_the_table_names_every_runner() -> None:
    for name in RUNNERS:
        assert issubclass(load(name), Runner)


def test_a_runner_of_another_module_is_found() -> None:
    assert load("atonce.worker.runners.call:CallRunner") is load("call")


@kinds
def test_each_item_gives_one_row_or_one_failure(name: str, fn: Any, bench: Callable[..., Bench]) -> None:
    one = bench(name, fn)
    items = [k if k % 3 else ValueError(k) for k in range(60)]
    one.feed(*items[:20])
    one.feed(*items[20:], first=20)
    one.wait_for(60)
    assert one.rows == {k: k for k in range(60) if k % 3}
    assert sorted(failure.index for failure in one.failures) == list(range(0, 60, 3))


@kinds
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), GeneratorExit(), KeyboardInterrupt(), BaseException()])
def test_whatever_the_function_raises_is_a_failure_and_ends_nothing(
    name: str, fn: Any, error: BaseException, bench: Callable[..., Bench]
) -> None:
    one = bench(name, fn)
    one.feed(error, "after")
    one.wait_for(2)
    assert one.rows == {1: "after"}
    assert one.failures[0].error is error
    assert one.broken == []


@kinds
def test_the_traceback_begins_in_the_function(name: str, fn: Any, bench: Callable[..., Bench]) -> None:
    one = bench(name, fn)
    one.feed(ValueError("no"))
    one.wait_for(1)
    traceback = one.failures[0].error.__traceback__
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names[-1] == "same"
    assert not {"run_items", "_items", "feed"} & set(names)


@kinds
def test_after_the_last_item_no_cell_names_one(name: str, fn: Any, bench: Callable[..., Bench]) -> None:
    one = bench(name, fn)
    one.feed(*range(10))
    one.wait_for(10)
    one.runner.stop(cancel=False)
    one.cancelled = True
    assert one.cells.running() == []


@kinds
def test_stop_finishes_what_was_fed(name: str, fn: Any, bench: Callable[..., Bench]) -> None:
    one = bench(name, fn)
    one.feed(*range(50))
    one.runner.stop(cancel=False)
    one.cancelled = True
    assert sorted(one.rows) == list(range(50))


def test_a_running_items_number_is_in_its_cell(bench: Callable[..., Bench]) -> None:
    gate, inside = threading.Event(), threading.Barrier(3)

    def wait(item: int) -> int:
        inside.wait(LONG)
        gate.wait(LONG)
        return item

    one = bench("thread", wait)
    one.feed("a", "b", first=70)
    inside.wait(LONG)
    assert sorted(index for _, index, _ in one.cells.running()) == [70, 71]
    assert sorted(slot for slot, _, _ in one.cells.running()) == [0, 1]
    gate.set()
    one.wait_for(2)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_as_many_threads_as_slots_and_no_more(slots: int, bench: Callable[..., Bench]) -> None:
    together = threading.Barrier(slots)
    running, high = Counter[str](), 0
    lock = threading.Lock()

    def meet(item: int) -> int:
        nonlocal high
        with lock:
            running["now"] += 1
            high = max(high, running["now"])
        together.wait(LONG)
        with lock:
            running["now"] -= 1
        return item

    one = bench("thread", meet, slots)
    one.feed(*range(slots * 10))
    one.wait_for(slots * 10)
    assert high <= slots  # and all of them met ten times
    assert (
        len({thread for thread in threading.enumerate() if thread.name.startswith("atonce-") and thread.name[7:].isdigit()})
        <= slots
    )


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_as_many_coroutines_as_slots_and_no_more(slots: int, bench: Callable[..., Bench]) -> None:
    running = high = 0
    together: list[asyncio.Barrier] = []

    async def meet(item: int) -> int:
        nonlocal running, high
        if not together:
            together.append(asyncio.Barrier(slots))
        running += 1
        high = max(high, running)
        await together[0].wait()
        running -= 1
        return item

    one = bench("coroutine", meet, slots)
    one.feed(*range(slots * 10))
    one.wait_for(slots * 10)
    assert high <= slots


def test_a_thread_left_behind_is_replaced_and_ends_after_its_item(bench: Callable[..., Bench]) -> None:
    gate, inside = threading.Event(), threading.Event()

    def hang(item: str) -> str:
        if item == "hangs":
            inside.set()
            gate.wait(LONG)
        return item

    one = bench("thread", hang, 1)
    one.feed("hangs", "next")
    assert inside.wait(LONG)
    ((slot, index, _),) = one.cells.running()
    stuck = next(thread for thread in threading.enumerate() if thread.name == f"atonce-{slot}")
    one.runner.abandon(slot, index)
    one.wait_for(1)
    assert one.rows == {1: "next"}
    gate.set()
    stuck.join(LONG)
    assert not stuck.is_alive()


def test_resize_lets_more_run(bench: Callable[..., Bench]) -> None:
    together = threading.Barrier(3)

    def meet(item: int) -> int:
        together.wait(LONG)
        return item

    one = bench("thread", meet, 3)
    one.runner.resize(1)
    one.runner.resize(99)  # at most as many as there are cells
    assert one.runner.slots == 3
    one.feed(0, 1, 2)
    one.wait_for(3)


def test_stop_waits_for_a_thread_that_is_just_being_started(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose resource would else be entered while the process ends, and never exited."""
    gate, starting, inside, start_it = (threading.Event() for _ in range(4))
    log: list[str] = []

    @contextlib.contextmanager
    def setup() -> Iterator[Callable[[int], int]]:
        log.append("enter")
        yield lambda item: (inside.set(), gate.wait(LONG), item)[-1]
        time.sleep(0.05)  # whoever does not wait does not see the exit
        log.append("exit")

    start = thread_module._Slot.start

    def slow_start(self: threading.Thread) -> None:
        if log:
            starting.set()
            start_it.wait(LONG)
        start(self)

    monkeypatch.setattr(thread_module._Slot, "start", slow_start)
    one = bench("thread", lambda use, item: use(item), 2, setup=setup)
    one.feed(0, 1)
    assert inside.wait(LONG)
    assert starting.wait(LONG)
    stopper = threading.Thread(target=one.runner.stop, kwargs={"cancel": True})
    stopper.start()
    while not one.runner._stopping:  # type: ignore[attr-defined]
        time.sleep(0.001)
    gate.set()
    stopper.join(0.1)  # long enough to wait for the first thread, and to meet the second
    start_it.set()
    stopper.join(LONG)
    one.cancelled = True
    assert sorted(log) == ["enter", "enter", "exit", "exit"]


# ── coroutines ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_late_coroutine_is_cancelled_and_its_neighbours_are_not(bench: Callable[..., Bench]) -> None:
    unwound: list[str] = []

    async def fn(item: str) -> str:
        if item == "hangs":
            try:
                await asyncio.Event().wait()
            finally:
                unwound.append(item)
        await asyncio.sleep(0)
        return item

    one = bench("coroutine", fn, 2, timeout=0.05)
    one.feed("a", "hangs", "b", "c")
    one.wait_for(4)
    assert sorted(one.rows) == [0, 2, 3]
    assert isinstance(one.failures[0].error, ItemTimeout)
    assert unwound == ["hangs"]


def test_a_coroutine_that_cancels_itself_fails_alone(bench: Callable[..., Bench]) -> None:
    async def fn(item: str) -> str:
        if item == "cancels":
            raise asyncio.CancelledError
        if item == "cancels its task":
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            await asyncio.sleep(0)
        return item

    one = bench("coroutine", fn, 1)
    one.feed("cancels", "b", "cancels its task", "d")
    one.wait_for(4)
    assert one.rows == {1: "b", 3: "d"}
    assert all(isinstance(failure.error, asyncio.CancelledError) for failure in one.failures)


def test_a_coroutine_that_will_not_go_is_left_behind_and_has_no_say(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It swallows its cancellation. Its slot gets a successor, and it takes no further item of its runner."""
    monkeypatch.setattr(coroutine_module, "GRACE", 0.05)
    ran: list[tuple[str, object]] = []
    stuck = {"stuck": True}

    async def fn(item: str) -> str:
        ran.append((item, asyncio.current_task()))
        if item == "stubborn":
            while stuck["stuck"]:
                try:
                    await asyncio.sleep(0.001)
                except asyncio.CancelledError:
                    pass
        return item

    one = bench("coroutine", fn, 1, timeout=0.05)
    one.feed("stubborn", "b")
    one.wait_for(2)
    assert one.rows == {1: "b"}
    assert isinstance(one.failures[0].error, ItemTimeout)
    stuck["stuck"] = False
    one.feed(*"cdef", first=2)
    one.wait_for(6)
    assert sorted(one.rows.values())[-5:] == ["b", "c", "d", "e", "f"]
    first = ran[0][1]
    assert [item for item, task in ran if task is first] == ["stubborn"]


def test_timeouts_inside_the_function_are_its_own(bench: Callable[..., Bench]) -> None:
    """`asyncio.timeout` and task groups count cancellations: ours must not be mistaken for theirs, nor theirs for ours."""

    async def fn(item: str) -> str:
        if item == "inner":
            async with asyncio.timeout(0):
                await asyncio.sleep(3600)
        if item == "caught":
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(3600)
            except TimeoutError:
                return "caught it"
        if item == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
                group.create_task(same_later(ValueError("in the group")))
        return item

    async def same_later(error: BaseException) -> None:
        raise error

    one = bench("coroutine", fn, 2, timeout=LONG)
    one.feed("inner", "caught", "group", "d")
    one.wait_for(4)
    assert one.rows == {1: "caught it", 3: "d"}
    errors = {failure.index: failure.error for failure in one.failures}
    assert type(errors[0]) is TimeoutError
    assert isinstance(errors[2], ExceptionGroup)


def test_items_that_never_wait_leave_the_loop_its_turns(bench: Callable[..., Bench]) -> None:
    """A thousand items without one `await` that waits: another task in the same loop must still run."""
    beside: list[int] = []
    ended = threading.Event()

    async def fn(item: int) -> int:
        if item == 0:
            asyncio.get_running_loop().create_task(count())
        if item and not ended.is_set() and item >= 100_000:
            raise AssertionError("the other task never had a turn")
        return item

    async def count() -> None:
        for number in range(3):
            beside.append(number)
            await asyncio.sleep(0)
        ended.set()

    one = bench("coroutine", fn, 1)
    for first in range(0, 200_000, 10_000):
        one.feed(*range(first, first + 10_000), first=first)
        if ended.is_set():
            break
    assert ended.wait(LONG)
    assert beside == [0, 1, 2]


def test_a_changed_context_is_not_seen_by_the_next_item(bench: Callable[..., Bench]) -> None:
    colour: contextvars.ContextVar[Any] = contextvars.ContextVar("colour", default="none")

    async def fn(item: Any) -> Any:
        seen = colour.get()
        colour.set(item)
        return seen

    one = bench("coroutine", fn, 1)
    one.feed("red", Uncomparable(), "blue")
    one.wait_for(3)
    assert one.rows == {0: "none", 1: "none", 2: "none"}
    assert one.broken == []


class Uncomparable:
    """As an array is."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = object.__hash__


def test_call_keeps_what_is_not_due_while_another_batch_waits(bench: Callable[..., Bench]) -> None:
    one = bench("call", same)
    one.runner.outbox.pace = math.inf  # never due by itself
    one.runner.more = lambda: True
    one.feed(0, 1, 2)
    assert one.rows == {}
    one.runner.more = lambda: False
    one.feed(3, 4, first=3)
    assert one.rows == {k: k for k in range(5)}


AT_EXIT = """
import atexit
import atonce

async def same(item):
    return item

atexit.register(lambda: print(list(atonce.map(same, range(3), model="coroutines"))))
"""


def test_a_loop_is_had_at_exit_too() -> None:
    """When uvloop can no longer be imported, as what it imports registers itself for the exit."""
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("[0, 1, 2]\n", "")
