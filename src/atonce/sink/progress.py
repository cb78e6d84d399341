"""Progress on stderr: a bar on a terminal, a line every few seconds elsewhere, or nothing: `progress`.

An observer is told `begin(total, name)`, then `advance(ok, failed)` as often as anybody likes, then `end()`.
`advance` adds two whole numbers and looks at the clock; whatever is shown is made a few times a second at most.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from .summary import Summary, grouped, in_words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Bar", "Lines", "Progress", "progress", "watched", "watched_async"]

Clock = Callable[[], float]


class Progress:
    """Counts and shows nothing; what the others have in common.

    `begin`'s `total` is None where nobody knows it. `limit` tells how many may be in flight now and why, as in
    `48: 72 in flight brought no more`, or "" where there is nothing to tell. `end` ends the display, also after a failure,
    and shows the summary, if there is one.
    """

    every = math.inf  # seconds between two looks

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.limit: Callable[[], str] = str
        self._next = math.inf
        self.name = ""
        self.total: int | None = None
        self.ok = 0
        self.failed = 0
        self.started = 0.0

    def begin(self, total: int | None, name: str) -> None:
        self.total, self.name = total, name
        self.started = self._clock()
        self._next = self.started + self.every

    def advance(self, ok: int = 0, failed: int = 0) -> None:
        self.ok += ok
        self.failed += failed
        now = self._clock()
        if now >= self._next:
            self._next = now + self.every
            self._show(now)

    def end(self, summary: Summary | None = None) -> None:
        self._next = math.inf

    def _show(self, now: float) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.ok + self.failed} of {self.total}, {self.failed} failed>"


class Lines(Progress):
    """A line every five seconds, for logs: `map: 1 200 of 20 000 (6 %), 240/s, 3 failed, 1:18 min left`."""

    every = 5.0

    def __init__(self, stream: TextIO | None = None, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock=clock)
        self._stream = sys.stderr if stream is None else stream
        self._before = (0.0, 0)  # when the last line was, and how many items had ended

    def begin(self, total: int | None, name: str) -> None:
        super().begin(total, name)
        self._before = (self.started, 0)

    def end(self, summary: Summary | None = None) -> None:
        super().end()
        for line in summary.lines() if summary else ():
            print(line, file=self._stream)

    def _show(self, now: float) -> None:
        count = self.ok + self.failed
        then, before = self._before
        self._before = (now, count)
        parts = [grouped(count), f"{grouped((count - before) / (now - then))}/s"]
        if self.total is not None:
            parts[0] += f" of {grouped(self.total)} ({100 * count // max(1, self.total)} %)"
        if self.failed:
            parts.append(f"{grouped(self.failed)} failed")
        if self.total is not None and count:
            left = (now - self.started) / count * max(0, self.total - count)
            parts.append(f"{in_words(left)} left")
        if limit := self.limit():
            parts.append(f"limit {limit}")
        print(f"{self.name}: {', '.join(parts)}", file=self._stream, flush=True)


class Bar(Progress):
    """A bar with items, rate, failures and the time left. rich is loaded when it begins.

    rich draws it from a thread of its own, four times a second, so that the time goes on where no item ends.
    """

    every = 0.1

    def __init__(self, console: Console | None = None, *, clock: Clock = time.monotonic, auto_refresh: bool = True) -> None:
        super().__init__(clock=clock)
        self._console = console
        self._auto_refresh = auto_refresh

    def begin(self, total: int | None, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Display

        super().begin(total, name)
        self._console = self._console or Console(stderr=True)
        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[failed]}", style="red", markup=False),
            TextColumn("{task.fields[limit]}", style="dim", markup=False),
            TimeElapsedColumn() if total is None else TimeRemainingColumn(),
            console=self._console,
            get_time=self._clock,
            auto_refresh=self._auto_refresh,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,  # stdout is data
        )
        self._task = self._display.add_task(name, total=total, rate="", failed="", limit="")
        self._display.start()

    def end(self, summary: Summary | None = None) -> None:
        super().end()
        self._show(self._clock())
        self._display.stop()
        if summary and self._console:
            for line in summary.lines():
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show(self, now: float) -> None:
        count = self.ok + self.failed
        rate = f"{grouped(count / (now - self.started))}/s" if now > self.started else ""
        failed = f"{grouped(self.failed)} failed" if self.failed else ""
        limit = self.limit().partition(":")[0]  # why is too long for a bar
        limit = f"limit {limit}" if limit else ""
        self._display.update(self._task, completed=count, rate=rate, failed=failed, limit=limit)


def progress(show: bool = True, stream: TextIO | None = None, *, clock: Clock = time.monotonic) -> Progress:
    """The kind that suits stderr: `Bar` on a terminal, `Lines` elsewhere; one that shows nothing with `show=False`."""
    if not show:
        return Progress(clock=clock)
    if stream is None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(clock=clock)
    return Lines(stream, clock=clock)


Batch = list[Any]  # of outcomes

# A terminal has room for one display: a run within another one, or beside it, is not shown.
_taken = threading.Lock()


@contextlib.contextmanager
def _displayed(total: int | None, name: str, limit: Callable[[], str]) -> Iterator[Callable[[Batch], None]]:
    """Gives what is to be told of each batch."""
    mine = _taken.acquire(blocking=False)
    display = progress(mine)
    display.limit = limit
    try:
        display.begin(total, name)
        try:
            yield lambda batch: _count(display, batch)
        finally:
            display.end()
    finally:
        if mine:
            _taken.release()


def _count(display: Progress, batch: Batch) -> None:
    ok = sum(outcome.ok for outcome in batch)
    display.advance(ok, len(batch) - ok)


def watched(
    batches: Generator[Batch, None, None], total: int | None, name: str, limit: Callable[[], str] = str
) -> Generator[Batch, None, None]:
    """The same batches, shown on stderr as they pass."""
    with contextlib.closing(batches), _displayed(total, name, limit) as tell:
        for batch in batches:
            tell(batch)
            yield batch


async def watched_async(
    batches: AsyncGenerator[Batch, None], total: int | None, name: str, limit: Callable[[], str] = str
) -> AsyncGenerator[Batch, None]:
    """`watched` for async callers."""
    async with contextlib.aclosing(batches):
        with _displayed(total, name, limit) as tell:
            async for batch in batches:
                tell(batch)
                yield batch
