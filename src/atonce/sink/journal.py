"""The file that `journal=` names: every outcome as it becomes final, to be read again by the same call.

    a line that says what it is │ frame: who made it (JSON) │ frame: an outcome │ frame: an outcome │ …
    outcome = index, what its item is known by, attempts, ok, times │ its item, to show it │ its value or error, pickled

What is promised, and by what:

- An outcome that `record` has returned for survives the end of this process, SIGKILL included: it is with the system, by one
  write for a batch. A power cut may take what the system had not written yet: the last half minute, as a rule.
- An outcome is there whole or not at all: what a crash tore is cut when the file is opened, a file that is damaged is refused.
- One run at a time: the file is locked while it is open.
- A later record of an item replaces an earlier one. Nothing is ever rewritten.

In memory an item that is held costs sixteen bytes: where its record is, and how long. Its value is read when its turn comes.
"""

from __future__ import annotations

import json
import marshal
import os
import pickle
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from atonce.errors import JournalMismatch, NotCarried, OutputError, shown
from atonce.outcome import Outcome
from atonce.source.identity import MARSHAL, NAME, Print, changes, shown_by
from atonce.worker import wire

from .files import append_whole, trouble
from .frames import INVERTED, LENGTHS, Damaged, Frame, framed, frames
from .lock import Lock, open_locked

__all__ = ["JournalFile", "Places"]

MAGIC = b"atonce journal 1\n"
# index, CRC-32 of the item, attempts, ok, bytes that show the item, start (seconds since 1970), duration, waited, CPU
_FIELDS = "QIIBHdddd"
_HEAD = struct.Struct(f"<{_FIELDS}")
_BEGIN = struct.Struct(LENGTHS + _FIELDS)
# Values of these types are written by `marshal`, in a fifth of the time of a pickle. (Of just these: it takes a bytearray for
# bytes.) A pickle is told by its first byte, which no marshalled value has.
_SIMPLE = {int, str, float, bool, bytes, type(None)}
_PICKLE = b"\x80"
# Records that are read at once, in number and in bytes: a batch for the machine, and no more in memory.
MOST_AT_ONCE = 256
MOST_BYTES = 4 << 20
# Bytes of a value from which it is not copied together with others before it is written.
LARGE = 1 << 20
# Bytes read at least, since the next record is mostly the one that follows.
WINDOW = 1 << 16


class JournalFile:
    """An opened journal, of the function that `made_by` (`atonce.source.identity.identity`) describes, over `total` items (None
    when nobody knows).

    Reading: `run` tells which items it held when it was opened, `outcome` gives them. Writing: `expect` says what items were
    read that it does not hold, `record` adds their outcomes. `retry_failed`: it does not hold items that failed. Raises
    OutputError where the file cannot be used, JournalMismatch where it is another function's.
    """

    def __init__(self, path: str, made_by: dict[str, str], *, total: int | None = None, retry_failed: bool = False) -> None:
        self.path = path
        self._made_by = made_by
        self._retry_failed = retry_failed
        self._total = total
        self._places = Places()
        self._expected: dict[int, Print] = {}
        self._wall = time.time() - time.monotonic()
        self._window = (0, b"")
        self._end = 0  # of the last whole record
        self._unsynced = False
        self._fd = -1
        self._lock: Lock | None = None
        if os.path.isdir(path):
            raise OutputError(f"{path} is a folder, not a journal", hint=f"journal={os.path.join(path, 'run.journal')!r}")
        with trouble(path):
            self._fd, self._lock = open_locked(path)
            try:
                self._take_up()
            except BaseException:
                self.close()
                raise

    def __repr__(self) -> str:
        return f"<JournalFile {self.path}: {len(self)} held, {len(self._expected)} expected>"

    # ── what it held ─────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self._places)

    @property
    def last(self) -> int:
        """The highest index that it holds; -1 for none."""
        return self._places.last

    def run(self, index: int) -> int:
        """From this item on, how many it holds (as many as should be read at once), or below 0 how many it does not."""
        return self._places.run(index)

    def outcome(self, index: int, item: Any, seen: Print) -> Outcome[Any]:
        """The outcome of an item that it holds. JournalMismatch: that was another item. OutputError: it cannot be read."""
        place, length = self._places[index]
        body = self._read(place, length)
        _, check, attempts, ok, size, started, seconds, waited, cpu = _HEAD.unpack_from(body)
        if check != seen[0]:
            raise self._another(index, shown_by(body[_HEAD.size :][:size]), item)
        data = memoryview(body)[_HEAD.size + size :]
        try:
            value = pickle.loads(data) if data[:1] == _PICKLE else marshal.loads(data)
        except Exception as error:
            raise OutputError(
                f"{self.path}: the value of item {index} cannot be read again: {type(error).__name__}: {error}",
                item=shown(item),
                causes=("a class that it is made of was moved or renamed",),
                hint="put that back, or name another journal",
            ) from error
        started -= self._wall
        times = started, started + seconds, waited, cpu
        if ok:
            return Outcome(index, item, True, value, None, attempts, *times)
        return Outcome(index, item, False, None, wire.load_error(*value), attempts, *times)

    def _read(self, at: int, length: int) -> bytes:
        first, window = self._window
        if not first <= at <= at + length <= first + len(window):
            with trouble(self.path):
                os.lseek(self._fd, at, os.SEEK_SET)
                window = os.read(self._fd, max(WINDOW, length))
                while len(window) < length:  # the system reads at most 2 GiB at once
                    window += os.read(self._fd, length - len(window))
            first = at
            self._window = first, window if length <= WINDOW else b""
        return window[at - first : at - first + length]

    # ── what comes to it ─────────────────────────────────────────────────────────────────────────────────────────────

    def expect(self, first: int, seen: Sequence[Print]) -> None:
        """Items from number `first` on were read. (Their prints are taken now: the function may change an item.)"""
        self._expected.update(enumerate(seen, first))

    def record(self, outcomes: Sequence[Outcome[Any]]) -> dict[int, Outcome[Any]]:
        """Add these; an outcome that was recorded already is passed over, so that a call which Ctrl-C ended can be repeated.

        Returns the failures, by position in `outcomes`, that stand in the place of values which cannot be pickled.
        """
        refused: dict[int, Outcome[Any]] = {}
        self._append(self._records(outcomes, refused))
        for outcome in outcomes:
            self._expected.pop(outcome[0], None)
        return refused

    def _records(self, outcomes: Sequence[Outcome[Any]], refused: dict[int, Outcome[Any]]) -> Iterator[bytes]:
        """What to write, in pieces: a large value is one by itself. The loop is what a journal costs an item: 1 µs."""
        pieces: list[bytes] = []
        simple, expected, wall = _SIMPLE, self._expected, self._wall
        for position, outcome in enumerate(outcomes):
            index, _, ok, value, error, attempts, started, ended, waited, cpu, _ = outcome
            seen = expected.get(index)
            if seen is None:
                continue
            if ok and type(value) in simple:
                data = marshal.dumps(value, MARSHAL)
            else:
                if ok:
                    try:
                        data = _pickled(value)
                    except Exception as why:
                        ok, error = False, self._unkept(outcome, why)
                        refused[position] = outcome._replace(ok=False, value=None, error=error)
                if error is not None:
                    data = pickle.dumps(wire.dump_error(error), 5)
            check, kept = seen
            length = _HEAD.size + len(kept) + len(data)
            lasted = ended - started
            head = (length, length ^ INVERTED, index, check, attempts, ok, len(kept), started + wall, lasted, waited, cpu)
            begin = _BEGIN.pack(*head) + kept
            pieces.append(begin)
            if len(data) >= LARGE:
                yield b"".join(pieces)
                yield data
                pieces = []
            else:
                pieces.append(data)
            pieces.append(crc32(data, crc32(begin)).to_bytes(4, "little"))
        yield b"".join(pieces)

    def _unkept(self, outcome: Outcome[Any], why: Exception) -> NotCarried:
        return NotCarried(
            f"its result, of type {type(outcome.value).__name__}, cannot be recorded in {self.path}: "
            f"{type(why).__name__}: {why}",
            item=f"{outcome.index}: {shown(outcome.item)}",
            causes=("it holds a lock, a socket, an open file or a generator",),
            hint="return what is to be kept of it, as plain data",
        )

    def _append(self, pieces: Iterator[bytes]) -> None:
        with trouble(self.path):
            self._unsynced = True
            self._end = append_whole(self._fd, pieces, self._end)

    def close(self) -> None:
        """Have all of it survive a power cut, and let go; a second call does nothing."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if self._unsynced:
                with trouble(self.path):
                    os.fsync(fd)
        finally:
            os.close(fd)
            if self._lock is not None:
                self._lock.release()

    # ── taking it up again ───────────────────────────────────────────────────────────────────────────────────────────

    def _take_up(self) -> None:
        size = os.fstat(self._fd).st_size
        with open(self._fd, "rb", buffering=1 << 20, closefd=False) as file:
            if size and file.read(len(MAGIC)) != MAGIC:
                raise OutputError(f"{self.path} is not a journal of atonce", hint="name another file, or remove that one")
            found = frames(file, size, 1 << 20)
            try:
                header = next(found, None)
                if header is not None:
                    self._check(header)
                    self._end = header.end
                    self._take(frames(file, size, _HEAD.size))
                    if self._total is not None and self._total <= self.last:
                        raise self.fewer(self._total)
            except Damaged as damage:
                raise self._damaged(damage.at) from None
        if header is None:  # new, or torn before anything was recorded
            os.ftruncate(self._fd, 0)
            about = json.dumps({"made by": self._made_by}).encode()
            self._append(iter((MAGIC + framed(about),)))
        elif self._end != size:
            os.ftruncate(self._fd, self._end)

    def _check(self, header: Frame) -> None:
        made_by = json.loads(header.head)["made by"]
        if different := changes(made_by, self._made_by):
            raise JournalMismatch(
                f"{self.path} was not made by {self._made_by[NAME]}: what differs is {', '.join(different)}",
                causes=("the function was edited since the journal was begun",),
                hint=self._remedy,
            )

    def _take(self, found: Iterator[Frame]) -> None:
        places, retry_failed = self._places, self._retry_failed
        for at, length, head, end in found:
            index, _, _, ok, *_ = _HEAD.unpack(head)
            if ok or not retry_failed:
                places.add(index, at, length)
            self._end = end

    @property
    def _remedy(self) -> str:
        return f"name another journal, or remove {self.path} to run every item again"

    def _another(self, index: int, recorded: str, item: Any) -> JournalMismatch:
        return JournalMismatch(
            f"item {index} is not the one that {self.path} holds under this number",
            item=f"{shown(item)}; recorded: {recorded}",
            causes=("the input was changed", "it comes in another order"),
            hint=self._remedy,
        )

    def fewer(self, count: int) -> JournalMismatch:
        """What is wrong when the input ends after `count` items."""
        return JournalMismatch(
            f"the input has {count} items, but {self.path} holds item {self.last}",
            causes=("the input was changed",),
            hint=self._remedy,
        )

    def _damaged(self, at: int) -> OutputError:
        return OutputError(
            f"{self.path} is damaged at byte {at}: what is there was not written by atonce",
            causes=("another program wrote to it", "the disk or a copy lost something"),
            hint=f"to go on with what is before it: truncate -s {at} {self.path}",
        )


class Places:
    """Where the record of each item is, and how long, in sixteen bytes an item (kept in pages: see `Done`)."""

    PAGE = 4096
    _EMPTY = bytes(8 * PAGE)

    def __init__(self) -> None:
        self._pages: dict[int, tuple[array[int], array[int]]] = {}
        self._count = 0
        self.last = -1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[int, int]:
        at, lengths = self._pages[index // self.PAGE]
        return at[index % self.PAGE], lengths[index % self.PAGE]

    def add(self, index: int, at: int, length: int) -> None:
        number, slot = divmod(index, self.PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = array("Q", self._EMPTY), array("Q", self._EMPTY)
        self._count += not page[0][slot]
        page[0][slot], page[1][slot] = at, length
        self.last = max(self.last, index)

    def run(self, index: int) -> int:
        """See `JournalFile.run`."""
        if index > self.last:
            return -(1 << 60)
        count = size = 0
        length = self._length(index)
        held = length > 0
        while (length > 0) == held and count < MOST_AT_ONCE and size < MOST_BYTES:
            count += 1
            size += length
            length = self._length(index + count)
        return count if held else -count

    def _length(self, index: int) -> int:
        page = self._pages.get(index // self.PAGE)
        return page[1][index % self.PAGE] if page is not None and page[0][index % self.PAGE] else 0


def _pickled(value: Any) -> bytes:
    """By name what can be imported, so that it is an instance of the same class again; else by value."""
    try:
        return pickle.dumps(value, 5)
    except Exception:
        return wire.dumps(value)
