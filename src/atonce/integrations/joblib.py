"""joblib's backend `atonce`: scikit-learn and everything else that calls `joblib.Parallel` gets atonce's workers.

    Parallel ──submit──► a batch of tasks ──one call a task──► Driven, the engine in a thread ──► workers
        ▲                                                                │
        └──────────────── callback, once all of a batch have ended ◄─────┘

joblib groups short tasks so that handing them over costs less. Here a group is only how many joblib looks ahead: its tasks are
items of their own, which the engine hands out, counts a timeout for and tries again when their worker dies. Only tasks of a few
milliseconds, which come in groups of many, share an item, unless something is counted by the task.
"""

from __future__ import annotations

import contextlib
import math
import os
import reprlib
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Any

from joblib import cpu_count, register_parallel_backend
from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend
from joblib.parallel import BatchedCalls

from ..errors import UsageError
from ..executor.driven import Driven, recipe_for
from ..options import Display, Options
from ..plan.machine import usable_cpus
from ..sink.progress import Progress, alone, progress
from ..worker.buffers import keep, let_go
from ..worker.calls import Initialized
from ..worker.nesting import depth

__all__ = ["AtonceBackend"]

MODELS = ("processes", "threads")
# Of `Options`, what makes no sense where joblib says what runs, in which order and how many at once.
NOT_HERE = ("cluster", "parallelism", "concurrency", "setup", "ordered", "errors", "journal", "trace", "metrics", "spans")
# Arrays that are kept in memory for all tasks, at most: each takes a descriptor.
MOST_KEPT = 64
# Items that a group is cut into at least: what a death costs, and what a worker is handed at a time, stays small.
PIECES = 32
# What joblib tells every backend, or loky alone; here the engine knows better, or has no use for it.
JOBLIBS_OWN = ("temp_folder", "mmap_mode", "require", "verbose", "context", "idle_worker_timeout")


class AtonceBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """`joblib.parallel_config(backend="loky")`, but that a dead worker costs one task, and a stuck one its timeout.

        import atonce.integrations.joblib

        with joblib.parallel_config(backend="atonce", n_jobs=4, timeout=60, progress=True):
            GridSearchCV(model, grid).fit(X, y)

    Parameters: `model`, "processes" or "threads" (None: as the caller of `Parallel` prefers, else processes).
    `initializer` with `initargs` runs once in each worker. Others are `atonce.Options`: `timeout` (seconds that one task may
    run), `retry`, `rate`, `progress`, `max_tasks_per_worker`, `max_worker_memory`.

    Failures: `Parallel` raises the first one and runs no more, as with every backend. But a task whose worker has died is
    tried once more, alone: only one that kills its worker twice is a failure (WorkerDied, which is a BrokenProcessPool).

    Workers stay as long as the backend: until the end of the `with` block, or of the `Parallel` that was given
    `backend="atonce"`.

    Not for: n_jobs=1, which is joblib's default and runs in line, with any backend.
    """

    supports_retrieve_callback = True

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        *,
        model: str | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._given = {"model": model, "initializer": initializer, "initargs": initargs, **options}
        _options(self._given)  # what cannot be is refused now
        self.parallel: Any = None
        self._workers: Driven | None = None  # as long as joblib uses them
        self._kept: Driven | None = None  # what is left for the next call
        self._made_for: Any = None
        self._options = Options()
        self._counts = False
        self._large = math.inf
        self._kept_arrays: set[int] = set()
        self._showing = contextlib.ExitStack()
        self._display: Progress | None = None

    # ── what joblib asks ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def uses_threads(self) -> bool:
        return bool(self._given["model"] == "threads")

    @property
    def supports_sharedmem(self) -> bool:
        return self.uses_threads

    @property
    def supports_inner_max_num_threads(self) -> bool:
        return not self.uses_threads

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many tasks can run at once: in a worker of ours no more than its share of the cores, in a worker's worker one."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        if n_jobs < 0:
            n_jobs = max(1, cpu_count() + 1 + n_jobs)
        if not depth() or self.uses_threads:
            return n_jobs
        return 1 if depth() > 1 else min(n_jobs, usable_cpus())

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        max_nbytes: int | None = None,
        **kwargs: Any,
    ) -> int:
        given = self._given | {name: value for name, value in kwargs.items() if name not in JOBLIBS_OWN}
        if given["model"] is None:
            given["model"] = "threads" if prefer == "threads" else "processes"
        options, initializer = _options(given)
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            _say_what_is_lost(options)
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if self.inner_max_num_threads is not None:
            initializer = partial(_limited, self.inner_max_num_threads, self.MAX_NUM_THREADS_VARS, initializer)
        workers = "concurrency" if options.model == "threads" else "parallelism"
        setup = None if initializer is None else partial(Initialized, initializer, ())
        self.parallel = parallel
        self._counts = bool(_counted(options))
        self._large = math.inf if max_nbytes is None or options.model == "threads" else max_nbytes
        self._options = options.but(**{workers: n_jobs}, setup=setup)
        self._hire((n_jobs, self.inner_max_num_threads, given))
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], None]) -> _Batch:
        assert self._workers is not None
        self._keep_arrays(func.items)
        items = [
            _Tasks(tasks, (func._backend, func._n_jobs), None, func._pickle_cache)
            for tasks in _pieces(func.items, 1 if self._counts else len(func.items) // PIECES or 1)
        ]
        batch = _Batch(callback, len(items), self._display)
        for number, item in enumerate(items):
            future: Future[Any] = Future()
            future.add_done_callback(partial(batch.ended, number, len(item)))
            self._workers.submit(future, (item, (), {}))
        return batch

    def retrieve_result_callback(self, out: _Batch) -> list[Any]:
        return out.result()

    def start_call(self) -> None:
        asked = self._options.progress
        assert self._workers is not None
        if isinstance(asked, Display):
            asked.watch(self._workers.status)
        elif asked:
            mine = self._showing.enter_context(alone())
            self._display = progress(mine, workers=asked == "workers")
            self._display.watch(self._workers.status)
            self._display.begin(self.parallel.n_tasks, "joblib" if self._options.name == "atonce" else self._options.name)
            self._showing.callback(self._display.end)

    def stop_call(self) -> None:
        while self._kept_arrays:
            let_go(self._kept_arrays.pop())
        self._showing.close()
        self._display = None

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Whatever runs is ended, or left behind where that cannot be. What is submitted later gets new workers."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close()
            workers.cancel_waiting()
            workers.end(CancelledError("joblib.Parallel was left"), ask_first=False)
            if ensure_ready:
                self._hire(self._made_for)

    def terminate(self) -> None:
        self.parallel = None  # it holds the backend in turn, whose end must not wait for the garbage collector
        self._kept, self._workers = self._workers, None
        self.reset_batch_stats()

    def _keep_arrays(self, tasks: Sequence[Any]) -> None:
        """An array of `max_nbytes` and more is often an argument of all tasks. As with joblib's own backends its content must
        stay the same during the call."""
        numpy = sys.modules.get("numpy")
        if numpy is None or self._large == math.inf:
            return
        for _, args, kwargs in tasks:
            for value in (*args, *kwargs.values()):
                if isinstance(value, numpy.ndarray) and value.nbytes > self._large and len(self._kept_arrays) < MOST_KEPT:
                    self._kept_arrays.add(keep(value))

    def _hire(self, wanted: Any) -> None:
        """The workers of the call before, if they are what is wanted. None is started before there is something to do."""
        kept, self._kept = self._kept, None
        if kept is not None and self._made_for == wanted:
            self._workers = kept
            return
        if kept is not None:
            kept.drop()
        self._made_for = wanted
        self._workers = Driven(recipe_for(self._options.model, "sync", self._options, most_ahead=math.inf), daemon=True)
        weakref.finalize(self, self._workers.drop).atexit = False  # nobody can submit any more


class _Tasks(BatchedCalls):  # type: ignore[misc]
    """Tasks that are one item. They arrive as joblib's own, so that a worker has nothing of this module to import."""

    def __repr__(self) -> str:
        fn, args, kwargs = self.items[0]
        told = [reprlib.repr(arg) for arg in args] + [f"{name}={reprlib.repr(value)}" for name, value in kwargs.items()]
        more = f" and {len(self) - 1} more" if len(self) > 1 else ""
        return f"{getattr(fn, '__qualname__', type(fn).__name__)}({', '.join(told)}){more}"


class _Batch:
    """The future of a group, as far as joblib uses one. `count` is the number of its items."""

    def __init__(self, callback: Callable[[Any], None], count: int, display: Progress | None) -> None:
        self._callback: Callable[[Any], None] | None = callback
        self._left, self._display = count, display
        self._values: list[list[Any]] = [[]] * count
        self._error: BaseException | None = None

    def ended(self, number: int, tasks: int, future: Future[Any]) -> None:
        """One item; the first that failed ends the group."""
        error = CancelledError() if future.cancelled() else future.exception()
        if self._display is not None:
            self._display.advance(*((tasks,) if error is None else (0, tasks, type(error).__name__)))
        if error is None:
            self._values[number] = future.result()
        self._left -= 1
        if self._callback is not None and (error is not None or not self._left):
            self._error = error
            callback, self._callback = self._callback, None  # it knows this object in turn
            callback(self)

    def result(self) -> list[Any]:
        if self._error is not None:
            raise self._error
        return [value for values in self._values for value in values]


def _pieces(tasks: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [tasks[at : at + size] for at in range(0, len(tasks), size)]


def _counted(options: Options) -> list[str]:
    """The options that are counted by the task."""
    return [name for name in ("timeout", "retry", "rate", "key") if getattr(options, name) is not None]


def _options(given: dict[str, Any]) -> tuple[Options, Callable[[], Any] | None]:
    """As Options, and what each worker runs first; UsageError for what has no meaning here."""
    rest = {name: value for name, value in given.items() if name not in ("initializer", "initargs")}
    for name in NOT_HERE:
        if name in rest:
            raise UsageError(f"joblib's backend has no {name}=: joblib says what runs, in which order and how many at once")
    rest["model"] = rest["model"] or MODELS[0]
    if rest["model"] not in MODELS:
        raise UsageError(f"joblib's backend has no model={rest['model']!r}", hint=" or ".join(map(repr, MODELS)))
    initializer = given["initializer"]
    if initializer is not None and not callable(initializer):
        raise UsageError(f"initializer must be a callable, and is {initializer!r}")
    return Options.of(rest), None if initializer is None else partial(initializer, *given["initargs"])


def _say_what_is_lost(options: Options) -> None:
    if lost := "=, ".join(_counted(options)):
        warnings.warn(f"joblib runs n_jobs=1 in line, without {lost}=; n_jobs=2 or more has workers", stacklevel=4)


def _limited(threads: int, variables: list[str], initializer: Callable[[], Any] | None) -> None:
    """In a worker, before its first task: `inner_max_num_threads`. The variables are for libraries that are loaded later."""
    import threadpoolctl

    os.environ.update(dict.fromkeys(variables, str(threads)))
    threadpoolctl.threadpool_limits(threads)
    if initializer is not None:
        initializer()


register_parallel_backend("atonce", AtonceBackend)
