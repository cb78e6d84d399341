"""What the items of a storm do. A module of its own, so that workers import it by name.

Each attempt writes a line when it starts and one when it ends, with the time, to one file: whatever is killed, these tell
afterwards how often each item was begun, and what ran beside what.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import signal
import sys
import threading
import time
from typing import Any, NamedTuple

__all__ = ["AsyncDo", "Deed", "Do", "Resource", "key_of", "release", "value_of"]

# Where a hang happens in a thread of the storm itself, its end lets the thread go.
release = threading.Event()

BIG = 200_000


class Deed(NamedTuple):
    """One item: what it does, for how long, and how many attempts at it fail first."""

    index: int  # type: ignore[assignment]  # hides tuple.index, on purpose
    kind: str
    seconds: float = 0.0
    fails: int = 0


class RetryLater(ValueError):
    retry_after = 0.05


class TwoArguments(Exception):
    """Cannot be unpickled: its arguments are not those of `__init__`."""

    def __init__(self, one: Any, two: Any) -> None:
        super().__init__(f"{one} and {two}")


def key_of(deed: Deed) -> int:
    return deed.index % 3


def value_of(deed: Deed) -> Any:
    """What the item gives when all goes well."""
    return bytes(BIG) if deed.kind == "big" else deed.index * 2 + 1


class Resource:
    """What `setup=` makes: entered and exited are counted in the file, too."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __enter__(self) -> Resource:
        say(self.folder, "enter", os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        say(self.folder, "exit", os.getpid())


class Do:
    """`fn(deed)`, or with a resource `fn(resource, deed)`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, *given: Any) -> Any:
        deed = given[-1]
        say(self.folder, "s", deed.index, time.monotonic())
        try:
            if deed.kind == "spin":
                until = time.thread_time() + deed.seconds
                while time.thread_time() < until:
                    pass
            elif deed.seconds:
                time.sleep(deed.seconds)
            if deed.kind == "hang":
                release.wait()
            return acted(self.folder, deed)
        finally:
            say(self.folder, "e", deed.index, time.monotonic())


class AsyncDo(Do):
    async def __call__(self, *given: Any) -> Any:
        deed = given[-1]
        say(self.folder, "s", deed.index, time.monotonic())
        try:
            if deed.seconds:
                await asyncio.sleep(deed.seconds)
            if deed.kind == "hang":
                await asyncio.Event().wait()
            if deed.kind == "block":
                release.wait()
            return acted(self.folder, deed)
        finally:
            say(self.folder, "e", deed.index, time.monotonic())


def acted(folder: str, deed: Deed) -> Any:
    """The value, or whatever else the deed is."""
    match deed.kind:
        case "raise":
            raise ValueError(f"item {deed.index}")
        case "two":
            raise TwoArguments(1, 2)
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(3)
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case "SIGSEGV":
            ctypes.string_at(0)
        case "lock":
            return threading.Lock()
        case "flaky" | "later" if begun(folder, deed.index) <= deed.fails:
            raise (RetryLater if deed.kind == "later" else ValueError)(f"item {deed.index} is not in the mood")
    return value_of(deed)


def begun(folder: str, index: int) -> int:
    """The number of this attempt: counted in the file system, which outlives whoever is killed."""
    number = 1
    while True:
        try:
            os.close(os.open(f"{folder}/{index}.{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            number += 1
        else:
            return number


@functools.cache
def _log(folder: str, pid: int) -> int:
    return os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def say(folder: str, *words: object) -> None:
    """A whole line, whoever writes beside it."""
    os.write(_log(folder, os.getpid()), (" ".join(map(str, words)) + "\n").encode())
