"""A `concurrent.futures.Executor` on the engine: one dead worker fails one future, and the pool goes on.

    submit ──push──► PushSource ──► engine, driven by one thread ──► outcome ──► future

Each call travels as an item (function, arguments, keywords); the engine's plan is made once, when the executor is made.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from .engine.conductor import Conductor
from .engine.drive import drive
from .engine.hub import Hub
from .errors import PlanError
from .options import Options
from .outcome import Outcome
from .plan.advice import plan_for
from .plan.function import Facts, look_at
from .plan.machine import usable_cpus
from .source import PushSource
from .worker.job import Job
from .worker.nesting import depth

__all__ = ["Executor"]

R = TypeVar("R")

_Future = concurrent.futures.Future


class Executor(concurrent.futures.Executor):
    """`concurrent.futures.ThreadPoolExecutor(max_workers)` or `ProcessPoolExecutor(max_workers)`, by `model`.

    Parameters: `model` is "threads" (also "auto": the functions are not known beforehand), "processes", "hybrid"
    (processes with several calls in flight in each) or "coroutines" (for `async def` only); `max_workers` is how many calls
    run at once: threads or coroutines in flight, or processes. Further keywords are `atonce.Options`: `timeout`, `retry`,
    `rate`. `initializer(*initargs)` runs once in each worker's thread.

    Dead workers: where the standard process pool is broken for good, here the one future whose call ended the worker (tried
    once more, alone) gets WorkerDied; all others finish.

    Not for: many items through one function, which `atonce.map` does with far less work an item.
    """

    def __init__(
        self,
        model: str = "auto",
        max_workers: int | None = None,
        *,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        model = "threads" if model == "auto" else model
        if model == "sync":
            raise PlanError('an executor calls beside its caller, which model="sync" does not', hint='model="threads"')
        if max_workers is not None:
            axis = "parallelism" if model in ("processes", "hybrid") else "concurrency"
            options = {axis: max_workers, **options}
        if initializer is not None:
            if options.get("setup") is not None:
                raise PlanError("initializer= and setup= are the same thing twice", hint="give one of them")
            options["setup"] = partial(_Initialized, initializer, initargs)
        if options.get("journal") is not None:
            raise PlanError(
                "an executor takes no journal=: nothing says that its calls come again in the same order",
                hint="atonce.map(fn, items, journal=…)",
            )
        self._options = Options.of({**options, "model": model})
        target: Any = _call_async if model == "coroutines" else _call
        if self._options.setup is not None:
            target = partial(_with_resource, target)
        facts = Facts("submitted calls", "async" if model == "coroutines" else "sync")
        self._cpus = usable_cpus()
        self._plan = plan_for(model, facts, self._options, self._cpus, depth=depth())
        self._job = Job(target, self._options.setup, self._options.timeout, contextvars.copy_context())
        self._facts = facts
        self._lock = threading.Lock()
        self._futures: dict[int, _Future[Any]] = {}
        self._source: _Calls | None = None
        self._thread: threading.Thread | None = None
        self._shut = False

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> _Future[R]:
        """Call `fn(*args, **kwargs)` beside the caller; the future tells how it ended.

        Raises RuntimeError after `shutdown`, UsageError for what cannot be called once (a generator function).
        """
        look_at(fn)
        future: _Future[R] = _Future()
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._source is not None and self._source.broken is not None:
                raise self._source.broken
            self._begin().push((future, (fn, args, kwargs)))
        return future

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """`builtins.map(fn, *iterables)`, many at once, in order; lazy: at most `buffersize` calls are ahead of the reader.

        `buffersize=None` submits everything at once, as the standard library does. `chunksize` is accepted for
        compatibility: the engine finds its own. Raises TimeoutError `timeout` seconds after the call to map.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else time.monotonic() + timeout
        arguments = zip(*iterables, strict=False)
        ahead = deque(self.submit(fn, *args) for args in islice(arguments, buffersize))

        def results() -> Iterator[R]:
            try:
                while ahead:
                    future = ahead[0]
                    yield future.result(None if end is None else end - time.monotonic())
                    ahead.popleft()
                    if buffersize is not None:
                        ahead.extend(self.submit(fn, *args) for args in islice(arguments, 1))
            finally:
                for future in ahead:
                    future.cancel()

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish those given, or with `cancel_futures` only those that run. Then end the workers."""
        with self._lock:
            self._shut = True
            source, thread = self._source, self._thread
        if source is not None:
            if cancel_futures:
                source.cancel_waiting()
            source.close()
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def __repr__(self) -> str:
        waiting = 0 if self._source is None else self._source.waiting
        state = "shut down" if self._shut else "open"
        return f"<Executor {self._plan.headline}, {state}, {len(self._futures)} running, {waiting} waiting>"

    def _begin(self) -> _Calls:
        """Start the driving thread with the first call."""
        if self._source is None:
            hub = Hub()
            self._source = _Calls(hub.wake, self._futures)
            conductor = Conductor(
                self._job,
                self._facts,
                self._options,
                self._plan,
                self._source,
                hub,
                ordered=False,
                total=None,
                cpus=self._cpus,
                # a call that is given to a worker can no longer be cancelled: one ahead hides a process's round trip
                most_ahead=1.0 if self._plan.placement == "process" else 0.0,
            )
            self._thread = threading.Thread(
                target=_drive, args=(conductor, self._futures, self._source), name="atonce-executor", daemon=True
            )
            self._thread.start()
            _open[self._thread] = self._source
        return self._source


class _Calls(PushSource):
    """Pushed (future, call) pairs. A future runs from when its call is read: before that it can be cancelled."""

    def __init__(self, wake: Callable[[], None], futures: dict[int, _Future[Any]]) -> None:
        super().__init__(wake)
        self._futures = futures
        self._count = 0
        self.broken: concurrent.futures.BrokenExecutor | None = None

    @property
    def waiting(self) -> int:
        return len(self._items)

    def read(self, count: int) -> list[Any]:
        calls: list[Any] = []
        while self._items and len(calls) < count:
            future, call = self._items.popleft()
            if future.set_running_or_notify_cancel():
                self._futures[self._count] = future
                self._count += 1
                calls.append(call)
        return calls

    def cancel_waiting(self) -> None:
        for future, _ in list(self._items):
            future.cancel()


def _drive(conductor: Conductor, futures: dict[int, _Future[Any]], source: _Calls) -> None:
    """The executor's thread: outcomes into futures. What ends the run ends every future that is left."""
    try:
        for batch in drive(conductor):
            for outcome in batch:
                _settle(futures.pop(outcome.index), outcome)
            del batch
    except BaseException as error:
        broken = source.broken = concurrent.futures.BrokenExecutor(str(error))
        broken.__cause__ = error
        source.read(1 << 60)
        for future in list(futures.values()):
            future.set_exception(broken)
        futures.clear()
    finally:
        _open.pop(threading.current_thread(), None)


def _settle(future: _Future[Any], outcome: Outcome[Any]) -> None:
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)


def _call(call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    fn, args, kwargs = call
    return fn(*args, **kwargs)


async def _call_async(call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    fn, args, kwargs = call
    return await fn(*args, **kwargs)


def _with_resource(target: Callable[..., Any], resource: Any, call: Any) -> Any:
    """With `setup=` a submitted function gets the resource first; after an initializer it does not."""
    if resource is None:
        return target(call)
    fn, args, kwargs = call
    return target((fn, (resource, *args), kwargs))


class _Initialized(contextlib.nullcontext[None]):
    """Runs the initializer when the worker sets up; gives no resource."""

    def __init__(self, initializer: Callable[..., Any], initargs: tuple[Any, ...]) -> None:
        super().__init__()
        initializer(*initargs)


# Executors that nobody shut down: at exit they finish what they were given, as the standard library's do. Registered with
# threading, since atexit would come after threads can no longer be joined.
_open: weakref.WeakKeyDictionary[threading.Thread, _Calls] = weakref.WeakKeyDictionary()


def _finish_all() -> None:
    for thread, source in list(_open.items()):
        source.close()
        thread.join()


threading._register_atexit(_finish_all)  # type: ignore[attr-defined]
