"""Where the lines go: to a terminal by rich, with a line that moves while something is measured; else plainly."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from .layout import Glyphs, Row

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Plain", "Screen", "Silent", "Terminal", "screen_for"]

NARROW, WIDE = 60, 100
PIPED = 80


class Screen(Protocol):
    """What the tour needs of an output. `begin` and `step` say what goes on; `close` leaves nothing moving behind."""

    width: int
    glyphs: Glyphs

    def put(self, rows: Sequence[Row]) -> None: ...
    def begin(self, number: int, of: int, name: str) -> None: ...
    def step(self, text: str) -> None: ...
    def close(self) -> None: ...


class Plain:
    """Lines as they come, for pipes and files: a claim's head appears before it is measured, the rest after."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.width = PIPED
        self.glyphs = glyphs_of(stream)

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            print(self.glyphs.spell("".join(segment.text for segment in row).rstrip()), file=self._stream)
        self._stream.flush()

    def begin(self, number: int, of: int, name: str) -> None:
        pass

    def step(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class Terminal:
    """rich, with a last line that says what is measured now, how far the tour is and for how long it has gone on."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = shutil.get_terminal_size().columns
        self.width = max(NARROW, min(WIDE, columns))
        self.glyphs = glyphs_of(stream)
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[name]}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[step]}", style="dim"),
            console=self._console,
            transient=True,
            refresh_per_second=5,  # the screen must not be what is measured
        )
        self._task = self._progress.add_task("", name="", step="", total=None)
        self._progress.start()

    def put(self, rows: Sequence[Row]) -> None:
        from rich.text import Text

        for row in rows:
            parts = [(self.glyphs.spell(text), style) for text, style in row]
            self._console.print(Text.assemble(*parts), soft_wrap=True)

    def begin(self, number: int, of: int, name: str) -> None:
        self._progress.update(self._task, completed=number - 1, total=of, name=name, step="")

    def step(self, text: str) -> None:
        self._progress.update(self._task, step=text)

    def close(self) -> None:
        self._progress.stop()


class Silent(Plain):
    """Nothing at all: for JSON, when nobody watches."""

    def put(self, rows: Sequence[Row]) -> None:
        pass


class Quiet(Terminal):
    """The moving line alone, on stderr, while JSON is made for stdout."""

    def put(self, rows: Sequence[Row]) -> None:
        pass


def screen_for(stream: TextIO, *, quiet: bool = False) -> Screen:
    """By what the stream is. rich itself obeys NO_COLOR; a dumb terminal is no terminal."""
    moving = stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    if quiet:
        return Quiet(stream) if moving else Silent(stream)
    return Terminal(stream) if moving else Plain(stream)


def glyphs_of(stream: TextIO) -> Glyphs:
    """Blocks where the stream's encoding has them."""
    glyphs = Glyphs()
    try:
        glyphs.all().encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return Glyphs.plain()
    return glyphs
