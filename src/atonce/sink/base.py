"""What every output can do: `Sink`."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from types import TracebackType

from .done import Done
from .row import Row

__all__ = ["Sink"]


class Sink(abc.ABC):
    """An output that rows are written to and that, unless it is a stream, can be resumed.

    `with sink:` opens it, which is when another run's lock, missing rights and foreign content are found, and closes
    it. In between `done` says which items it held when it was opened. `resumable` is false where a run cannot be
    continued; `forks`: whether a fork of the process that opened it may write it. Rows are recorded when they are committed,
    which `Writer` has done `commit_after` seconds after the first one that is not.
    """

    resumable = True
    forks = False
    commit_after = 0.5

    @property
    def before(self) -> Done | None:
        """What an earlier run recorded, where this one does it all anew."""
        return None

    def earlier(self, index: int) -> bytes | None:
        """The row of that run, as a line of JSON."""
        return None

    @property
    @abc.abstractmethod
    def done(self) -> Done:
        """What it held when it was opened."""

    @abc.abstractmethod
    def open(self) -> None:
        """Make it or take it up again; raises OutputError."""

    @abc.abstractmethod
    def write(self, rows: Iterable[Row]) -> None:
        """Take these items. What is appended to a file survives the end of this process at once; nothing is sure to
        before `commit`."""

    @abc.abstractmethod
    def commit(self) -> None:
        """Have everything written so far survive the end of this process, and a power cut."""

    def finish(self) -> None:  # noqa: B027 - for most there is nothing to do
        """All items of the input have been written."""

    @abc.abstractmethod
    def close(self) -> None:
        """Commit and let go; a second call does nothing."""

    def __enter__(self) -> Sink:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
