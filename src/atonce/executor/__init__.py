"""A real `concurrent.futures.Executor` whose model is a word: one dead worker fails one future, and the others go on."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ..errors import PlanError, UsageError
from ..options import Options
from ..placement import load
from ..plan.function import look_at
from ..plan.machine import usable_cpus
from ..worker.calls import Initialized
from ..worker.job import Job, is_async
from .driven import Driven, Recipe, recipe_for
from .inline import Inline
from .lane import Lane
from .mapping import check, mapped, mapped_in_chunks
from .threads import Threads

__all__ = ["Executor"]

R = TypeVar("R")

# model → kind of function → the model whose lane runs it; a kind that is not there is refused. "any": not even looked at.
LANES = {
    "sync": {"any": "sync"},
    "threads": {"any": "threads"},
    "processes": {"any": "processes"},
    "interpreters": {"any": "interpreters"},
    "dask": {"any": "dask"},
    "ray": {"any": "ray"},
    "coroutines": {"async": "coroutines"},
    "auto": {"sync": "threads", "async": "coroutines"},
    "hybrid": {"sync": "hybrid", "async": "hybrid"},
}


class Executor(concurrent.futures.Executor):
    """`concurrent.futures.ThreadPoolExecutor(max_workers)` or `ProcessPoolExecutor(max_workers)`, by `model`.

    ============  ===================================  ==================================  ====================
    model         a plain function runs                an `async def` runs                 `max_workers` (None)
    ============  ===================================  ==================================  ====================
    `threads`     in a thread                          in a thread, in a loop of its own   threads (32)
    `processes`   in a process                         in a process, in a loop of its own  processes (cores)
    `coroutines`  is refused                           in one event loop with the others   calls in flight (64)
    `hybrid`      in a thread of a process             in an event loop of a process       processes (cores)
    `sync`        in the thread that submits, at once  there, in a loop of its own         1
    `auto`        as `threads`                         as `coroutines`                     of each
    ============  ===================================  ==================================  ====================

    At once: before `submit` returns. Each process of `hybrid` has `concurrency` calls in flight. `interpreters` is as
    `processes`, and so are `dask` and `ray` on the cluster that `cluster=` names, whose workers stay until `shutdown`.

    Parameters: `initializer(*initargs)` runs once in each worker's thread of execution before its first call, as in the
    standard. Further keywords are `atonce.Options`: `setup` (each call then gets the resource as its first argument),
    `timeout` (seconds one call may run), `retry`, `rate`, `key` (of the triple fn, args, kwargs) with `per_key`.
    `daemon=True`: the interpreter does not wait at exit; processes are killed, threads left. Raises UsageError, which is
    a ValueError, for what cannot be.

    It is what the standard documents, on every Python as in 3.14, but for this:

    - A dead worker does not break the executor. The call that ended it is tried once more, alone; if that ends a worker again
      its future fails with WorkerDied, which in processes is a `BrokenProcessPool` too. All others finish.
    - `cancel(future)` also ends a call that runs: a coroutine, or one in a process of its own. `Future.cancel` is the
      standard's, which does not.
    - What cannot be pickled fails its own future with NotCarried. Functions are pickled by value when need be:
      lambdas and functions of a script or notebook work, and no `__main__` guard is needed.
    - Workers are never forked from this process, so there is no `mp_context`. `max_tasks_per_worker=` takes the place of
      `max_tasks_per_child`, `name=` that of `thread_name_prefix`.
    - A call that asks the executor to shut down does not wait for itself.
    - In a forked child the executor starts anew, and futures of before the fork fail, for the parent has them.

    Exit: the program ends when all calls have run, as the standard documents, whether or not `shutdown` was called. A call that
    hangs for ever therefore holds it up; after 5 s a warning says so, and Ctrl-C ends the waiting. With `timeout` or
    `daemon=True` nothing is held up. When this process is killed, its worker processes are as well.

    Callbacks run in a thread of the executor and may submit, but must not wait for another future of it. Calls that wait
    for others in the same full executor wait for ever, as in the standard.

    Not for: many items through one function, which `atonce.map` does with far less work an item.
    """

    def __new__(cls, model: str = "auto", *args: Any, **kwargs: Any) -> Executor:
        return super().__new__(_InThreads if cls is Executor and model in ("threads", "auto") else cls)

    def __init__(
        self,
        model: str = "auto",
        max_workers: int | None = None,
        *,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
        daemon: bool = False,
        **options: Any,
    ) -> None:
        self._options = _options(model, max_workers, initializer, initargs, options)
        self._cpus = usable_cpus()
        self._daemon = daemon
        self._kinds = LANES[model]
        # made now, so that what cannot be is refused now; what they say starts with the first call
        self._recipes = {kind: self._recipe(lane, kind) for kind, lane in self._kinds.items()}
        self._max_workers = max_workers or max(r.plan.parallelism * r.plan.concurrency for r in self._recipes.values())
        # worth it where calls travel, and only where nothing is counted by the call
        self._chunks = self._travels(self._recipes) and not _counts_calls(self._options) and options.get("setup") is None
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._shut = False
        _executors.add(self)
        weakref.finalize(self, _drop_all, self._lanes).atexit = False

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Call `fn(*args, **kwargs)` beside the caller; the future tells how it ended.

        Raises RuntimeError after `shutdown`, BrokenExecutor when an initializer has failed, UsageError for what cannot be
        called in this model.
        """
        kind = "any"
        if kind not in self._kinds or not callable(fn):
            kind = self._kind_of(fn)
        lane = self._lanes.get(kind) or self._open(kind)
        future: Future[R] = Future()
        try:
            lane.submit(future, (fn, args, kwargs))
            return future
        finally:
            del future  # what fails in this very thread has this frame in its traceback, and would keep its own future alive

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """`builtins.map(fn, *iterables)`, many at once; results in order, raising where a call has failed.

        Parameters: `timeout`, seconds from this call after which the iterator raises TimeoutError, None for no limit.
        `buffersize`, how many calls are submitted whose results were not taken; None reads the iterables to their end and
        submits all at once. `chunksize`, in processes, how many calls are submitted as one: far less work for short calls, but
        they also fail as one; elsewhere, and with `setup`, `timeout`, `retry`, `rate` or `key` options, it is 1.
        Closing the iterator, or an exception from it, cancels what has not begun.
        """
        check(chunksize, buffersize)
        arguments = zip(*iterables, strict=False)
        if chunksize > 1 and self._chunks:
            return mapped_in_chunks(self, fn, arguments, timeout, buffersize, chunksize)
        return mapped(self, fn, arguments, timeout, buffersize)

    def cancel(self, future: Future[Any]) -> bool:
        """`future.cancel()`, and what runs is ended as well where that harms no other: a coroutine, or a call that has a
        process to itself (that is killed and replaced).

        Returns whether it was asked to end: as with `asyncio.Task.cancel`, it may still finish first or refuse, and then that
        counts. False for what is finished, and for what runs in a thread: nothing is done to it.
        """
        return future.cancel() or any(lane.cancel(future) for lane in list(self._lanes.values()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish those given, or with `cancel_futures` only those that run. Then end the workers."""
        with self._lock:
            self._shut = True
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.close()
            if cancel_futures:
                lane.cancel_waiting()
        if wait:
            for lane in lanes:
                lane.join()

    def terminate_workers(self) -> None:
        """`shutdown(wait=False, cancel_futures=True)`, and end the processes by SIGTERM, after half a second by SIGKILL.

        What runs fails with a BrokenProcessPool. PlanError where there are no processes.
        """
        self._end_workers("terminate_workers", ask_first=True)

    def kill_workers(self) -> None:
        """As `terminate_workers`, by SIGKILL at once."""
        self._end_workers("kill_workers", ask_first=False)

    def __repr__(self) -> str:
        counts = [lane.counts() for lane in list(self._lanes.values())]
        running, waiting = sum(count[0] for count in counts), sum(count[1] for count in counts)
        state = "shut down" if self._shut else "open"
        plans = " | ".join(dict.fromkeys(recipe.plan.headline for recipe in self._recipes.values()))
        return f"<Executor {plans}, {state}, {running} running, {waiting} waiting>"

    # ── lanes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _recipe(self, lane: str, kind: str) -> Recipe:
        recipe = recipe_for(lane, kind, self._options)
        if self._options.setup is not None and self._travels({kind: recipe}):
            _must_travel(recipe.job)
        return recipe

    @staticmethod
    def _travels(recipes: dict[str, Recipe]) -> bool:
        return any(load(recipe.plan.placement).needs_pickling for recipe in recipes.values())

    def _kind_of(self, fn: Any) -> str:
        """Which lane this function is for; raises UsageError for what none can run."""
        if not callable(fn):
            look_at(fn)
        if "any" in self._kinds:
            return "any"
        if is_async(fn):
            return "async"
        if "sync" in self._kinds:
            return "sync"
        facts = look_at(fn)
        if facts.kind == "sync":
            raise PlanError(
                f"{facts.name} is a plain def: in an event loop each call would block all others",
                hint='model="auto", which gives it a thread, or make it an async def',
            )
        return "async"

    def _open(self, kind: str) -> Lane:
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            lane = self._lanes.get(kind)
            if lane is None:
                lane = self._lanes[kind] = self._lane(self._recipes[kind])
            return lane

    def _lane(self, recipe: Recipe) -> Lane:
        plan = recipe.plan
        if plan.model == "sync":
            return Inline(recipe.job)
        if plan.model == "threads" and not _counts_calls(self._options):
            return Threads(recipe.job, plan.concurrency, self._options.name, daemon=self._daemon)
        return Driven(recipe, daemon=self._daemon)

    def _end_workers(self, asked_by: str, *, ask_first: bool) -> None:
        if not self._travels(self._recipes):
            raise PlanError(f"{asked_by}: {next(iter(self._recipes.values())).plan.model} has none that can be ended")
        lanes = list(self._lanes.values())
        self.shutdown(wait=False, cancel_futures=True)
        for lane in lanes:
            lane.end(RuntimeError(f"its processes were ended by {asked_by}()"), ask_first=ask_first)

    def _forked(self) -> None:
        """In a forked child: the lanes and whoever held the lock are the parent's."""
        self._lock = threading.Lock()
        self._lanes.clear()


class _InThreads(Executor, concurrent.futures.ThreadPoolExecutor):
    """Is a ThreadPoolExecutor, since `loop.set_default_executor` takes nothing else. None of its code is used."""


def _options(
    model: str, max_workers: int | None, initializer: Any, initargs: tuple[Any, ...], given: dict[str, Any]
) -> Options:
    """What was said, as Options; UsageError for what an executor has no use for."""
    options: dict[str, Any] = {**given, "model": model}
    for name in ("ordered", "errors", "progress", "journal", "trace", "metrics", "spans"):
        if name in given:
            raise UsageError(f"an executor has no {name}=: each call has its future")
    if max_workers is not None:
        if not isinstance(max_workers, int) or max_workers <= 0:
            raise UsageError(f"max_workers must be greater than 0, and is {max_workers!r}")
        if model == "sync" and max_workers > 1:
            raise UsageError(f'model="sync" is one worker, and max_workers is {max_workers}', hint='model="threads"')
        options["concurrency" if model in ("threads", "coroutines", "auto") else "parallelism"] = max_workers
    if initializer is not None:
        if not callable(initializer):
            raise UsageError(f"initializer must be a callable, and is {initializer!r}")
        if options.get("setup") is not None:
            raise PlanError("initializer= and setup= are the same thing twice", hint="give one of them")
        options["setup"] = partial(Initialized, initializer, initargs)
    valid = Options.of(options)
    if model == "sync" and (_counts_calls(valid) or given.get("setup") is not None):
        raise PlanError(
            'model="sync" calls the function and nothing else: no timeout=, retry=, rate=, key= or setup=',
            hint='model="threads", max_workers=1',
        )
    return valid


def _counts_calls(options: Options) -> bool:
    """Whether something is kept for each call, which takes the engine."""
    return any(option is not None for option in (options.timeout, options.retry, options.rate, options.key))


def _must_travel(job: Job) -> None:
    """PlanError when the initializer or setup cannot go to another process: now, and not when the first call is lost."""
    from ..worker import wire

    try:
        wire.dumps((job.fn, job.setup))
    except Exception as error:
        raise PlanError(
            f"the initializer or setup cannot be pickled: {type(error).__name__}: {error}", hint='model="threads"'
        ) from error


def _drop_all(lanes: dict[str, Lane]) -> None:
    """The executor is garbage: nobody can submit any more."""
    for lane in lanes.values():
        lane.drop()


# ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_executors: weakref.WeakSet[Executor] = weakref.WeakSet()


def _forked() -> None:
    for executor in list(_executors):
        executor._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
