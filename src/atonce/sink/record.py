"""An append-only file of rows that can be resumed: `RecordFile`, under both `.jsonl` and a folder's manifest.

What is promised, and by what:

- A row that `append` has returned for survives the end of this process, `SIGKILL` included: it is with the system,
  not in a buffer of ours.
- A row that was committed survives a power cut: `commit` is an fsync, done once for a group of rows (1 000 of them,
  or half a second's), since it costs as much as hundreds of writes.
- A row is there whole or not at all: what a crash tore at the end is cut when the file is opened again, and what a
  full disk tore is cut at once.
- One run at a time: the file is locked while it is open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

from atonce.errors import OutputError

from .done import Done
from .files import SAFELY, append_whole, sync_folder, trouble, write_all
from .lock import Lock, check_place, open_locked
from .row import Head, read_head

__all__ = ["RecordFile"]

GROUP_ROWS = 1000
GROUP_SECONDS = 0.5

_BEGIN = b'{"index":'


class RecordFile:
    """Rows at `path`. `keep` says of a row that is already there whether it stands; rows that do not are taken out at
    opening. With `kinds`, it is told the classes of failures. `before_commit` is called then: for what rows speak of."""

    def __init__(
        self,
        path: str,
        *,
        keep: Callable[[Head], bool] | None = None,
        kinds: bool = False,
        before_commit: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.done = Done()
        self._keep = keep or (lambda head: True)
        self._kinds = kinds
        self._before_commit = before_commit
        self._clock = clock
        self._fd = -1
        self._lock: Lock | None = None
        self._end = 0  # of the last whole row
        self._pending = 0  # rows since the last commit
        self._committed_at = 0.0

    def open(self) -> None:
        """Create the file (mode 0600) or read which items it holds, and hold it against other runs."""
        with trouble(self.path):
            self._fd, self._lock = open_locked(self.path)
            try:
                self._resume()
            except BaseException:
                self.close()
                raise
        self._committed_at = self._clock()

    def append(self, lines: bytes, rows: int) -> None:
        """Add whole lines, `rows` of them."""
        with trouble(self.path):
            try:
                write_all(self._fd, lines)
            except OSError:
                written = os.fstat(self._fd).st_size - self._end
                self._end += lines.rfind(b"\n", 0, written) + 1  # the whole rows among what had room
                os.ftruncate(self._fd, self._end)
                self._pending += rows
                raise
            self._added(len(lines), rows)

    def append_long(self, pieces: Iterable[bytes]) -> None:
        """Add a line that need not be in memory. What goes wrong with a piece is as if it could not be written."""
        with trouble(self.path):
            self._added(append_whole(self._fd, pieces, self._end) - self._end, 1)

    def _added(self, size: int, rows: int) -> None:
        self._end += size
        self._pending += rows
        if self._pending >= GROUP_ROWS or self._clock() - self._committed_at >= GROUP_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Have everything appended so far survive a power cut."""
        if self._pending:
            with trouble(self.path):
                check_place(os.fstat(self._fd), self.path)
                self._before_commit()
                os.fsync(self._fd)
        self._pending = 0
        self._committed_at = self._clock()

    def close(self) -> None:
        """Commit and let go; a second call does nothing."""
        if self._fd < 0:
            return
        try:
            self.commit()
        finally:
            os.close(self._fd)
            self._fd = -1
            if self._lock is not None:
                self._lock.release()

    def _resume(self) -> None:
        stale = 0
        for head, line in self._rows():
            if self._keep(head):
                self.done.add(head.index, head.input, ok=head.ok, kind=head.kind)
            else:
                stale += 1
            self._end += len(line)
        if self._end != os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)
        if stale:
            self._rewrite()

    def _rows(self) -> Iterator[tuple[Head, bytes]]:
        """The rows from the beginning to where the file is torn; what follows a torn line was never committed."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        with open(self._fd, "rb", closefd=False) as file:
            for number, line in enumerate(file, 1):
                if _is_torn(line, number):
                    return
                head = read_head(line, kinds=self._kinds)
                if head is None:
                    raise OutputError(
                        f"{self.path} is not an output of atonce: its line {number} is no row",
                        hint="name another output, or remove that " + ("file" if number == 1 else "line: its item runs again"),
                    )
                yield head, line

    def _rewrite(self) -> None:
        """Put a file with only the rows that stand in the place of this one: at any moment one of both is there."""
        new = f"{self.path}.new"
        if os.path.lexists(new):  # of a run that was killed right here; we hold the lock, so nobody is writing it
            os.unlink(new)
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | SAFELY, 0o600)
        try:
            lock = self._lock.moved_to(fd) if self._lock else None
            for head, line in self._rows():
                if self._keep(head):
                    write_all(fd, line)
            os.fsync(fd)
            os.replace(new, self.path)
        except BaseException:
            os.close(fd)
            os.unlink(new)
            raise
        os.close(self._fd)
        self._fd, self._lock, self._end = fd, lock, os.fstat(fd).st_size
        sync_folder(self.path)


def _is_torn(line: bytes, number: int) -> bool:
    """A line without its end, as a kill leaves it, or with NUL bytes, as a power cut leaves what was not committed.

    It must also begin as a row does: somebody's notes without a final newline are not ours to cut.
    """
    if line.endswith(b"\n") and b"\0" not in line:
        return False
    return line.startswith(_BEGIN) or _BEGIN.startswith(line) or (number > 1 and line.startswith(b"\0"))
