"""What the checks observe with (who met, who ran, who hangs), and functions that several of them run.

All can be pickled, and live in modules so that a worker can import them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .shape import PATIENCE, Shape

__all__ = ["Hanging", "Log", "Meeting", "Odd", "double", "odd_fail", "same", "seven_fails"]


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


class Odd(Exception):
    pass


def double(item: int) -> int:
    return 2 * item


def odd_fail(item: int) -> int:
    if item % 2:
        raise Odd(item)
    return item


def seven_fails(item: int) -> int:
    if item == 7:
        raise Odd(item)
    return item


def same(item: Any) -> Any:
    return item
