"""What the executor's tests submit, and the models they submit it to. Workers import this, so it imports little."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import atonce
from atonce.testing.contract import Log

LONG = 20.0

EVERY_MODEL = ["sync", "threads", "processes", "coroutines", "hybrid", "auto", "threads-driven"]
BESIDE = [model for model in EVERY_MODEL if model != "sync"]  # a call runs while its caller goes on
HERE = ["sync", "threads", "auto", "threads-driven"]  # a plain function in this very process
FAR = ["processes", "hybrid"]


def make(model: str, max_workers: int | None = None, **options: Any) -> atonce.Executor:
    """An executor by the name of its model; `threads-driven` are threads whose calls are counted, which takes the engine."""
    if model == "threads-driven":
        model, options = "threads", {"timeout": 1e6, **options}
    return atonce.Executor(model, None if model == "sync" else max_workers, **options)


def fit(model: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function in a form that the model takes."""
    return functools.partial(acall, fn) if model == "coroutines" else fn


async def acall(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


# ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def same(item: Any) -> Any:
    return item


async def asame(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


def capture(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def fails(item: Any) -> Any:
    raise LookupError(item)


def logged(log: Log, item: Any) -> Any:
    log.write(item)
    return item


def hold(log: Log, lines: int, item: Any = None) -> Any:
    """Says that it is there, and goes on when so many lines are in the log."""
    log.write("in", item)
    log.wait_for(lines)
    return item


def hang(log: Log) -> None:
    log.write("in")
    threading.Event().wait()


def die(log: Log) -> None:
    log.write("in")
    os.kill(os.getpid(), signal.SIGKILL)


def nested(model: str, item: Any) -> Any:
    """An executor in a worker."""
    with make(model, 1) as pool:
        return pool.submit(fit(model, same), item).result(LONG)


class Broke(Exception):
    """Can be referred to weakly, which a built-in exception cannot."""


def breaks(_: Any) -> None:
    raise Broke


class Thing:
    """Can be referred to weakly."""

    def method(self) -> None:
        pass

    def give(self) -> Thing:
        return Thing()


def new_thing(_: Any) -> Thing:
    return Thing()


# ── what goes wrong on the way (after CPython's test_deadlock) ───────────────────────────────────────────────────────


def crash() -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)
    threading.Event().wait()


def leave() -> Any:
    sys.exit(1)


def raises(kind: type[BaseException]) -> Any:
    raise kind("on the way")


class CrashAtPickle:
    def __reduce__(self) -> Any:
        crash()


class CrashAtUnpickle:
    def __reduce__(self) -> Any:
        return crash, ()


class ExitAtPickle:
    def __reduce__(self) -> Any:
        leave()


class ExitAtUnpickle:
    def __reduce__(self) -> Any:
        return leave, ()


class ErrorAtPickle:
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("on the way")


class ErrorAtUnpickle:
    def __reduce__(self) -> Any:
        return raises, (pickle.UnpicklingError,)


class UnpicklableError(Exception):
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("on the way")


class TwoArguments(Exception):
    """Pickles, and does not unpickle: the classic."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def instance(kind: type[Any]) -> Any:
    return kind()


def raise_two() -> None:
    raise TwoArguments("one", "two")


def chained() -> None:
    try:
        fails("inner")
    except LookupError as error:
        raise ValueError("outer") from error  # the comment is in the traceback


STATE: list[str] = []  # of the initializer


def crash_with(_: bytes) -> None:
    os._exit(3)


def dies_once(log: Log) -> str:
    if not log.lines():
        die(log)
    return "the second time"


def fails_when_told(log: Log) -> None:
    log.wait_for(1)
    raise LookupError("told")


def initialize(word: str) -> None:
    STATE[:] = [word]


def state() -> list[str]:
    return list(STATE)


def gone(ref: weakref.ref[Any]) -> bool:
    """A worker lets go of a call a moment after its future is done: it is waited for, and a leak never comes."""
    pause = threading.Event()
    for _ in range(2000):
        if ref() is None:
            return True
        pause.wait(0.005)
    return False
