"""The public functions: short, and the only wiring of the stages. items → plan → engine → outcomes."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import operator
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .engine.conductor import Conductor
from .engine.drive import AsyncDrive, drive
from .engine.finished import Batch, Finished
from .engine.hub import Hub
from .engine.observer import Observer
from .errors import AtonceError, Interrupted, UsageError
from .options import Display, Options
from .outcome import Outcome, Run
from .plan.first import first_plan, probing_plan
from .plan.function import look_at
from .plan.machine import look_around, usable_cpus
from .plan.plan import Plan
from .source import Source, length_of
from .worker.job import Job
from .worker.nesting import depth

if TYPE_CHECKING:
    import asyncio

    from .sink.journal import JournalFile
    from .sink.progress import WatchedAsync

__all__ = ["amap", "arun", "astream", "explain", "map", "run", "stream"]

T = TypeVar("T")
R = TypeVar("R")
Items = Iterable[T] | AsyncIterable[T]


def map(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> Iterator[Any]:
    """`(fn(item) for item in items)`, many at once: values in the order of the items, read lazily.

    An `async def` is awaited. See `Options` for every keyword; the most used: `model` ("auto", "sync", "coroutines",
    "threads", "processes", "hybrid"), `concurrency`, `parallelism`, `timeout`, `retry`, `setup`, `rate`, `ordered=False`.

    Raises what `fn` raised when its item's turn comes, which ends the run (`errors="return"` gives the exception in the
    value's place, `errors="skip"` leaves it out); UsageError at once, before anything runs, when the call cannot be.

    Laziness: items are read as far as workers have room, so memory is bounded by what is in flight, never by the number of
    items. Outcomes are made in batches of some 20 to 60 ms of work. Leaving the loop early ends the run.

    Not for: work that needs the outcome of a failed item, how long it took or where it ran: that is `stream`.
    """
    return _values(_Call(fn, items, options, values=True))


def stream(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> Iterator[Outcome[Any]]:
    """`map` that never raises for an item: one `Outcome` for each item, as they finish (`ordered=True`: in order)."""
    return _Outcomes(_Call(fn, items, options))


def run(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> Run[Any]:
    """`list(stream(…))` in the order of the items, with the plan and the sums.

    Ctrl-C raises `Interrupted`, a KeyboardInterrupt whose `.run` holds what was finished. An exception that ends the run
    (RunError, or what the iterable raised) has the same in its `.run`.
    """
    call = _Call(fn, items, options)
    conductor = call.begin()
    outcomes: list[Outcome[Any]] = []
    try:
        with contextlib.closing(call.drive(conductor)) as batches:
            for batch in batches:
                outcomes += batch
    except KeyboardInterrupt:
        raise Interrupted(_run_of(call, conductor, outcomes)) from None
    except Exception as error:
        error.run = _run_of(call, conductor, outcomes)  # type: ignore[attr-defined]
        raise
    return _run_of(call, conductor, outcomes)


def explain(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> Plan:
    """The plan that `run(fn, items, **options)` would choose, and why; print it.

    Runs the first items, up to a few dozen, in this process and no other: what they do is done (`plan.ran` says how many;
    an iterator has lost those). An item that fails is measured like any other. With `model=` named, the plan is that model's,
    and the others' predictions are shown beside it. The first time on a machine it also measures what workers and hand-overs
    cost, about half a second, and keeps that in the user's cache folder (see `atonce.plan.calibration`).

    `journal`, `trace`, `metrics`, `spans` and `progress` have no meaning here. How it measures: see `atonce.plan.probe`. The
    predictions and the rule that chooses: see `atonce.plan.costs`. Not for: knowing the time to a tenth; to see models side by
    side, `compare`.
    """
    call = _Call(fn, items, {name: value for name, value in options.items() if name not in _OF_A_RUN})
    plan = probing_plan(call._facts, call.options, call._cpus)
    if not plan.probing:
        return plan
    from .plan import calibration

    if calibration.load().assumed:
        with contextlib.suppress(AtonceError):  # a platform without processes: what is assumed has to do
            machine = look_around()
            calibration.save(calibration.measure(_timed), busy=machine.load > machine.cpus)
    conductor = call.begin(measure=plan)
    with contextlib.closing(drive(conductor)) as batches:
        for _ in batches:
            pass
    return conductor.plan


_OF_A_RUN = ("journal", "trace", "metrics", "spans", "progress")


def _timed(model: str, n: int) -> tuple[float, float]:
    """(seconds until the first item started, seconds from then on) for `n` items that do nothing."""
    from .plan import calibration

    fn: Callable[..., Any] = calibration.nothing if model == "coroutines" else operator.index
    begun = time.monotonic()
    done = run(fn, range(n), model=model, parallelism=1 if model == "processes" else "auto")
    started = min(outcome.started for outcome in done.outcomes)
    return started - begun, max(outcome.ended for outcome in done.outcomes) - started


def amap(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> AsyncIterator[Any]:
    """`map` for async callers: coroutines run in the caller's own loop, everything else beside it.

    Cancelling who waits for the next value ends the run, as with any async generator: `wait_for(anext(values), 1)` does, too.
    Leaving the loop early ends it when the iterator is closed (`aclosing`). Plain `items` are read in the caller's loop: where
    the next one is slow to come, give an async iterable.
    """
    return _avalues(_Call(fn, items, options, values=True))


def astream(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> AsyncIterator[Outcome[Any]]:
    """`stream` for async callers; it ends as `amap` does."""
    return _aoutcomes(_Call(fn, items, options))


async def arun(fn: Callable[..., Any], items: Items[Any], /, **options: Any) -> Run[Any]:
    """`run` for async callers. Cancelling it ends the run."""
    call = _Call(fn, items, options)
    conductor = call.begin(_callers_loop())
    outcomes: list[Outcome[Any]] = []
    try:
        async with contextlib.aclosing(call.drive_async(conductor)) as batches:
            async for batch in batches:
                outcomes += batch
    except Exception as error:
        error.run = _run_of(call, conductor, outcomes)  # type: ignore[attr-defined]
        raise
    return _run_of(call, conductor, outcomes)


class _Call:
    """One call, checked when it is made; nothing is started, opened or read before `begin`. `values`: for `map`."""

    def __init__(self, fn: Callable[..., Any], items: Items[Any], given: dict[str, Any], values: bool = False) -> None:
        self.options = Options.of(given)
        self.ordered = values if self.options.ordered is None else self.options.ordered
        # what `map` raises or leaves out is nobody's result: with a journal it is tried again
        self._failures_stand = not values or self.options.errors == "return"
        self._facts = look_at(fn)
        self.name = self._facts.name if self.options.name == "atonce" else self.options.name  # its default says nothing
        self._cpus = usable_cpus()
        self._plan = first_plan(self._facts, self.options, self._cpus, depth=depth())
        self._job = Job(fn, self.options.setup, self.options.timeout, contextvars.copy_context())
        if not isinstance(items, Iterable | AsyncIterable):
            raise UsageError(f"items={items!r} cannot be iterated", hint="a list, a generator or an async generator of items")
        self._items = items

    def begin(self, loop: asyncio.AbstractEventLoop | None = None, *, measure: Plan | None = None) -> Conductor:
        """Join the stages. `loop` is the caller's, when it is an async caller; `measure`: only that, under this plan."""
        items, total = self._items, length_of(self._items)
        with contextlib.ExitStack() as undo:
            hub = Hub()
            undo.callback(hub.close)
            journal = self._open_journal(total)
            if journal is not None:
                undo.callback(journal.close)
            # the user's own `__iter__` may raise
            source = self._source(items, hub, loop)
            if journal is not None:
                from .source.resumed import Resumed  # loads OpenSSL, for its hashes

                source = Resumed(source, journal)
            observers = self._observers()
            undo.pop_all()
        return Conductor(
            self._job,
            self._facts,
            self.options,
            measure or self._plan,
            source,
            hub,
            ordered=self.ordered,
            total=total,
            cpus=self._cpus,
            journal=journal,
            loop=loop,
            measure_only=measure is not None,
            observers=observers,
        )

    @staticmethod
    def _source(items: Any, hub: Hub, loop: asyncio.AbstractEventLoop | None) -> Any:
        if isinstance(items, Iterable):
            return Source(items)
        from .source.awaited import AsyncSource

        return AsyncSource(items, hub.wake, loop)

    def _observers(self) -> list[Observer]:
        """Those that the options ask for. One that cannot be is refused here, before anything runs, and leaves nothing open."""
        options = self.options
        observers: list[Observer] = []
        try:
            if options.spans:
                from .sink.spans import Spans

                observers.append(Spans(self.name, options.spans))
            if options.metrics is not None:
                from .sink.metrics import Metrics

                observers.append(Metrics(options.metrics, self.name))
            if options.trace is not None:
                from .sink.trace import Trace

                observers.append(Trace(os.fspath(options.trace), self.name, options.written()))
        except BaseException:
            for observer in observers:
                observer.dropped()
            raise
        return observers

    def _open_journal(self, total: int | None) -> JournalFile | None:
        given = self.options.journal
        if given is None:
            return None
        from .sink.journal import JournalFile
        from .source.identity import identity

        again = given.retry_failed or not self._failures_stand
        return JournalFile(os.fspath(given.path), identity(self._job.fn, self._job.setup), total=total, retry_failed=again)

    def drive(self, conductor: Conductor) -> Generator[Batch, None, None]:
        batches = drive(conductor)
        if not self.options.progress:
            return batches
        if isinstance(self.options.progress, Display):
            _show(conductor, self.options.progress)
            return batches
        from .sink.progress import watched

        workers = self.options.progress == "workers"
        return watched(batches, conductor, length_of(self._items), self.name, workers=workers)

    def drive_async(self, conductor: Conductor) -> AsyncDrive | WatchedAsync:
        batches = AsyncDrive(conductor)
        if not self.options.progress:
            return batches
        if isinstance(self.options.progress, Display):
            _show(conductor, self.options.progress)
            return batches
        from .sink.progress import WatchedAsync

        workers = self.options.progress == "workers"
        return WatchedAsync(batches, conductor, length_of(self._items), self.name, workers=workers)


def _show(conductor: Conductor, display: Display) -> None:
    display.watch(conductor.status)
    conductor.when_put_off = getattr(display, "put_off", None)  # of ours


def _callers_loop() -> asyncio.AbstractEventLoop:
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "there is no running asyncio event loop here, which the async functions need",
            causes=("the caller runs under trio", "nobody awaits it inside of asyncio.run()"),
            hint="atonce.run, map or stream; under trio in a thread, as by anyio.to_thread.run_sync(atonce.run, fn, items)",
        ) from None


class _Outcomes(Iterator[Outcome[Any]]):
    """The outcomes of a call, which begins when the first is asked for.

    A `for` goes through the batches themselves: no frame of ours is entered for an item.
    """

    def __init__(self, call: _Call) -> None:
        self._batches = _batches(call)
        self._outcomes = itertools.chain.from_iterable(self._batches)

    def __iter__(self) -> Iterator[Outcome[Any]]:
        return self._outcomes

    def __next__(self) -> Outcome[Any]:
        return next(self._outcomes)

    def batches(self) -> Generator[Batch, None, None]:
        """The same, as they come in: for what in the package need not look at each. Not after one was asked for."""
        return self._batches

    def close(self) -> None:
        """End the run, as leaving the loop does."""
        self._outcomes = itertools.chain()
        self._batches.close()


def _batches(call: _Call) -> Generator[Batch, None, None]:
    # closed explicitly, here and below: a traceback that is kept would keep the generator, and with it the workers
    with contextlib.closing(call.drive(call.begin())) as batches:
        yield from batches


def _values(call: _Call) -> Iterator[Any]:
    picked = _Picked(call)
    with contextlib.closing(call.drive(call.begin())) as batches:
        for batch in batches:
            values = picked.of(batch)
            del batch  # see `of`
            yield from values


async def _aoutcomes(call: _Call) -> AsyncIterator[Outcome[Any]]:
    async with contextlib.aclosing(call.drive_async(call.begin(_callers_loop()))) as batches:
        async for batch in batches:
            for outcome in batch:
                yield outcome


async def _avalues(call: _Call) -> AsyncIterator[Any]:
    picked = _Picked(call)
    async with contextlib.aclosing(call.drive_async(call.begin(_callers_loop()))) as batches:
        async for batch in batches:
            values = picked.of(batch)
            del batch
            for value in values:
                yield value


class _Picked:
    """What `map` gives of the outcomes: values, and of those that failed what `errors=` says."""

    def __init__(self, call: _Call) -> None:
        self._errors = call.options.errors
        self._in_order, self._first = call.ordered and self._errors != "skip", 0

    def of(self, batch: Batch) -> Iterator[Any]:
        """The values of a batch, which nobody else may hold: an error's traceback holds the frames it went through, and they
        must not hold it in turn, nor what else is in flight."""
        if isinstance(batch, Finished):
            self._first += len(batch)
            return iter(batch.values)  # an iterator lets go of them when they are through
        return self._of_each([*batch])

    def _of_each(self, batch: list[Outcome[Any]]) -> Iterator[Any]:
        errors = self._errors
        if self._in_order:
            batch = _in_a_row(batch, self._first)
            self._first += len(batch)
        for outcome in batch:
            if outcome[2]:
                yield outcome[3]
            elif errors == "return":
                yield outcome.error
            elif errors == "raise":
                try:
                    raise cast(BaseException, outcome.error)
                finally:
                    del outcome, batch


def _in_a_row(batch: list[Outcome[Any]], first: int) -> list[Outcome[Any]]:
    """Those before the first gap. Only a run that was cut short has one: the position of a value says whose it is, so what
    was finished behind an item that was not cannot be given."""
    if batch[-1].index == first + len(batch) - 1:
        return batch
    return [outcome for index, outcome in enumerate(batch, first) if outcome.index == index]


def _run_of(call: _Call, conductor: Conductor, outcomes: list[Outcome[Any]]) -> Run[Any]:
    outcomes = sorted([*outcomes, *conductor.take_salvaged()], key=lambda outcome: outcome.index)
    return Run(outcomes, conductor.plan, conductor.stats(), call.name, conductor.history, call.options.written())
