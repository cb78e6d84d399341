"""Progress on stderr: a display on a terminal or in a notebook, a line every few seconds elsewhere: `progress`.

    outcomes ──advance──► counts ─┐
    the run  ──look─────► Status ─┴─► view.View ──► Bar (rich) · Cell (a notebook) · Lines (logs)

A display is told `begin(total, name)`, then `advance(ok, failed)` as often as anybody likes, then `end()`. `advance` adds two
whole numbers and looks at the clock; whatever is shown is made a few times a second at most, from what the run says of itself
at that moment (`look`), so that an item costs nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ..engine.history import Again
from ..engine.status import Status
from ..errors import said
from ..plain import sayable
from ..worker.nesting import depth
from .summary import KINDS, Summary
from .view import View

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.drive import AsyncDrive

__all__ = ["Bar", "Cell", "Lines", "Progress", "WatchedAsync", "alone", "progress", "watched"]

Clock = Callable[[], float]


class Look(Protocol):
    """Gives what the run is doing now; may be called from any thread."""

    def __call__(self, *, workers: bool = False) -> Status: ...


class Progress:
    """Counts and shows nothing; what the others have in common.

    `begin`'s `total` is None where nobody knows it. `look` is set by whoever runs (`watch`); before that nothing is known but
    the counts. `workers`: show each of them. `end` ends the display, also after a failure, and shows the summary, if there
    is one.
    """

    every = math.inf  # seconds between two looks

    def __init__(self, *, workers: bool = False, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._look: Look | None = None
        self.put_off: Callable[[Again], None] | None = None  # told of failures that are not final: set by whoever wants to know
        self.amount: Callable[[], str] = lambda: ""  # of what came, in words: set by whoever counts it
        self._workers = workers
        self._next = math.inf
        self._pace: list[tuple[float, int]] = []
        self._ended_at = 0.0  # when the last one did
        self.name = ""
        self.total: int | None = None
        self.ok = 0
        self.failed = 0
        self.kinds: dict[str, int] = {}
        self.started = 0.0

    def watch(self, look: Look) -> None:
        """The run has begun: this tells what it is doing."""
        self._look = look

    def begin(self, total: int | None, name: str) -> None:
        self.total, self.name = total, name
        self.started = self._ended_at = self._clock()
        self._pace = [(self.started, 0)]
        self._next = self.started + self.every

    def advance(self, ok: int = 0, failed: int = 0, kind: str = "") -> None:
        """So many more have ended; `kind` is what those that failed are called."""
        self.ok += ok
        if failed:
            self.failed += failed
            if kind:
                kind = kind if kind in self.kinds or len(self.kinds) < KINDS else "other"
                self.kinds[kind] = self.kinds.get(kind, 0) + failed
        now = self._clock()
        if ok or failed:
            self._ended_at = now
        if now >= self._next:
            self._next = now + self.every
            self._show(now)

    def end(self, summary: Summary | None = None) -> None:
        self._next = math.inf

    def view(self, now: float) -> View:
        """All there is to show."""
        count = self.ok + self.failed
        rate, left = self._speed(now, count)
        status = self.status(workers=self._workers)
        kinds = sorted(self.kinds.copy().items(), key=lambda each: -each[1])
        seconds, amount = now - self.started, self.amount()
        return View(self.name, count, self.total, self.failed, tuple(kinds), rate, left, seconds, status, amount)

    def status(self, *, workers: bool = False) -> Status | None:
        """What the run is doing; None where nobody knows."""
        if self._look is not None:
            with contextlib.suppress(Exception):  # it is for show only
                return self._look(workers=workers)
        return None

    def _speed(self, now: float, count: int) -> tuple[float, float | None]:
        """(items a second, seconds left), by what ended lately: what was long ago says little. Where nothing has ended for
        much longer than one took to, that is 0 and None."""
        pace = self._pace
        if now - pace[-1][0] >= 1.0:
            pace.append((now, count))
            while len(pace) > 2 and now - pace[1][0] >= WINDOW and count - pace[1][1] >= FEWEST:
                del pace[0]
        then, before = next((each for each in reversed(pace) if now - each[0] >= LEAST and count - each[1] >= ENOUGH), pace[0])
        ended = count - before
        if ended <= 0 or now <= then or now - self._ended_at > max(LEAST, GAPS * (self._ended_at - then) / ended):
            return 0.0, None
        rate = ended / (now - then)
        return rate, None if self.total is None else max(0, self.total - count) / rate

    def _show(self, now: float) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.ok + self.failed} of {self.total}, {self.failed} failed>"


# Seconds that the rate looks back: at least, where so many have ended since; and at most, unless fewer than these have.
LEAST, ENOUGH, WINDOW, FEWEST = 5.0, 20, 30.0, 3
# Times as long as one took to end lately: when none has ended for that long, the rate is of a time that is over.
GAPS = 4


class Lines(Progress):
    """A line every five seconds, for logs: `map: 1 200 of 20 000 (6 %), 240/s, 3 failed (ValueError 3), 1:18 min left`.

    A thread of its own writes where no item ends meanwhile, unless `ticking` is false.
    """

    every = 5.0

    def __init__(
        self, stream: TextIO | None = None, *, workers: bool = False, clock: Clock = time.monotonic, ticking: bool = True
    ) -> None:
        super().__init__(workers=workers, clock=clock)
        self._stream = sys.stderr if stream is None else stream
        self._before = (0.0, 0)  # when the last line was, and how many items had ended
        self._ticking = ticking
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._ticker: threading.Thread | None = None

    def begin(self, total: int | None, name: str) -> None:
        super().begin(total, name)
        self._before = (self.started, 0)
        if self._ticking:
            self._ticker = threading.Thread(target=self._tick, name="atonce-progress", daemon=True)
            self._ticker.start()

    def _tick(self) -> None:
        while not self._over.wait(max(0.05, self._before[0] + self.every - self._clock())):
            self._show(self._clock())

    def end(self, summary: Summary | None = None) -> None:
        super().end()
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        with contextlib.suppress(ValueError, OSError):  # nobody reads it any more, or it is full
            for line in summary.lines() if summary else ():
                print(line, file=self._stream)

    def _show(self, now: float) -> None:
        with self._lock:
            then, before = self._before
            if now - then < self.every:
                return  # the other thread has just written
            view = self.view(now)
            self._before = (now, view.count)
            with contextlib.suppress(ValueError, OSError):  # nobody reads it any more
                for line in view.for_logs((view.count - before) / (now - then)):
                    print(line, file=self._stream, flush=True)


# Columns that are left free: a Ctrl-C is shown as ^C behind the last line, and would begin another one.
ECHO = 3


class Bar(Progress):
    """A bar with items, rate, failures and the time left; below it what it is limited by and waits for. rich is loaded when it
    begins.

    rich draws it from a thread of its own, four times a second, so that the time goes on where no item ends.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        workers: bool = False,
        clock: Clock = time.monotonic,
        auto_refresh: bool = True,
    ) -> None:
        super().__init__(workers=workers, clock=clock)
        self._console = console
        self._auto_refresh = auto_refresh
        self._live: Any = None

    def begin(self, total: int | None, name: str) -> None:
        from rich.console import Console
        from rich.live import Live

        super().begin(total, name)
        self._console = self._console or Console(stderr=True)
        self._live = Live(
            console=self._console,
            auto_refresh=self._auto_refresh,
            refresh_per_second=4,
            transient=True,
            get_renderable=self._drawn,
            # stdout is data; on the same terminal, what is printed goes above the bar
            redirect_stdout=sys.stdout.isatty(),
            vertical_overflow="crop",
        )
        self._live.start()

    def end(self, summary: Summary | None = None) -> None:
        super().end()
        with contextlib.suppress(OSError):  # the terminal is gone, which is no reason to keep back what was done
            if self._live is not None:
                self._live.stop()
            if summary and self._console:
                for line in summary.lines():
                    self._console.print(sayable(line, self._console.encoding), markup=False, highlight=False, soft_wrap=True)

    def _drawn(self) -> Any:
        from rich.text import Text

        assert self._console is not None
        encoding = self._console.encoding
        room = max(8, self._console.height - 1)
        width = max(20, self._console.width - ECHO)
        lines = self.view(self._clock()).for_terminal(width, encoding=encoding, most=room)
        text = Text(no_wrap=True, overflow="crop")
        for number, line in enumerate(lines):
            if number:
                text.append("\n")
            for words, style in line:
                text.append(words, style)
        return text


class Cell(Progress):
    """The same in the output of a notebook's cell, which is written anew twice a second; its last state stays there."""

    every = 0.5

    def __init__(self, *, workers: bool = False, clock: Clock = time.monotonic, display: Any = None) -> None:
        super().__init__(workers=workers, clock=clock)
        self._display, self._handle = display, None

    def begin(self, total: int | None, name: str) -> None:
        super().begin(total, name)
        if self._display is None:
            from IPython.display import display

            self._display = display
        self._handle = self._display(self._bundle(self.started), raw=True, display_id=True)

    def end(self, summary: Summary | None = None) -> None:
        super().end()
        self._show(self._clock(), over=True)

    def _show(self, now: float, *, over: bool = False) -> None:
        if self._handle is not None:
            self._handle.update(self._bundle(now, over=over), raw=True)

    def _bundle(self, now: float, *, over: bool = False) -> dict[str, str]:
        view = self.view(now)
        if over:
            view = view._replace(status=None, left=None, rate=view.count / view.seconds if view.seconds > 0 else 0.0)
        lines = view.for_terminal(96, encoding="utf-8", most=40)
        text = "\n".join("".join(words for words, _ in line).rstrip() for line in lines)
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text/plain": text, "text/html": f'<pre style="margin:0;line-height:1.35">{escaped}</pre>'}


def progress(
    show: bool = True, stream: TextIO | None = None, *, workers: bool = False, clock: Clock = time.monotonic
) -> Progress:
    """The kind that suits stderr: `Bar` on a terminal, `Cell` in a notebook, `Lines` elsewhere; one that shows nothing with
    `show=False`, and in a worker, whose terminal is its parent's."""
    if not show or depth() or (stream is None and sys.stderr is None):  # a program without a terminal may have none
        return Progress(clock=clock)
    if stream is None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Bar(workers=workers, clock=clock)
    if stream is None and _in_notebook():
        return Cell(workers=workers, clock=clock)
    return Lines(stream, workers=workers, clock=clock)


def _in_notebook() -> bool:
    """Whether a kernel shows what this process displays; asks nothing of IPython where nobody has loaded it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


Batch = Collection[Any]  # of outcomes
_OK = itemgetter(2)

# A terminal has room for one display: a run within another one, or beside it, is not shown.
_taken = threading.Lock()


@contextlib.contextmanager
def alone(show: bool = True) -> Iterator[bool]:
    """Whether there may be a display: as long as this one is, there is no other."""
    mine = show and _taken.acquire(blocking=False)
    try:
        yield mine
    finally:
        if mine:
            _taken.release()


class Watched(Protocol):
    """A run that a display looks at."""

    @property
    def failed(self) -> int: ...

    def status(self, *, workers: bool = False) -> Status: ...


@contextlib.contextmanager
def _displayed(conductor: Watched, total: int | None, name: str, workers: bool) -> Iterator[Callable[[Batch], None]]:
    """Gives what is to be told of each batch."""
    with alone() as mine:
        display = progress(mine, workers=workers)
        display.watch(conductor.status)
        display.begin(total, name)
        try:
            yield lambda batch: _count(display, batch, conductor)
        finally:
            display.end()


def _count(display: Progress, batch: Batch, conductor: Watched) -> None:
    """One batch. Its outcomes are looked at only while some of those that failed have not been counted."""
    bad: list[Any] = []
    if conductor.failed > display.failed and not all(map(_OK, batch)):
        bad = [outcome for outcome in batch if not outcome.ok]
    for outcome in bad:
        display.advance(0, 1, said(outcome.error)[0])
    display.advance(len(batch) - len(bad))


def watched(
    batches: Generator[Batch, None, None], conductor: Watched, total: int | None, name: str, *, workers: bool = False
) -> Generator[Batch, None, None]:
    """The same batches, shown on stderr as they pass."""
    with contextlib.closing(batches), _displayed(conductor, total, name, workers) as tell:
        for batch in batches:
            tell(batch)
            yield batch


class WatchedAsync:
    """`watched` for async callers; as what it shows, no async generator."""

    def __init__(self, batches: AsyncDrive, conductor: Watched, total: int | None, name: str, *, workers: bool = False) -> None:
        self._batches = batches
        self._display = _displayed(conductor, total, name, workers)
        self._tell: Callable[[Batch], None] | None = None

    def __aiter__(self) -> WatchedAsync:
        return self

    async def __anext__(self) -> Batch:
        if self._tell is None:
            self._tell = self._display.__enter__()
        batch = await self._batches.__anext__()
        self._tell(batch)
        return batch

    async def aclose(self) -> None:
        try:
            if self._tell is not None:
                self._tell = None
                self._display.__exit__(None, None, None)
        finally:
            await self._batches.aclose()
