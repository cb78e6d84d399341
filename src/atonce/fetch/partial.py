"""What came of a body that was cut, kept in a file until its rest is asked for: `Partials` is the folder, `Part` one body.

    attempt: ask for the rest, if there is a part ──► answered: it is the rest, the whole, or neither
                  ▲                                        │ add, add, …   (written as it comes, 64 KiB at a time)
                  │                                        ▼
                  └────────────────── keep ◄── cut     whole ──► drop

A file is one line of JSON, what its bytes are known by, and then the bytes: a beginning of the body, whenever its writer was
killed. What a power cut may have spoilt is not trusted: the line names the boot it was written in until all is synced.
`ranges` decides; here is what touches the disk. A part only saves time: whatever goes wrong with one costs no more.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import NamedTuple

from ..sink.files import SAFELY, write_all
from ..sink.shelf import PART
from .ranges import Known, ask, fits, known_of, may_go_on, name_of
from .request import Headers, Request

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["Part", "Partials"]

PIECE = 64 << 10  # bytes that wait to be written: what a kill may take of a body

_READ = 1 << 18
_SYNCED = "-" * 36
_BOOT_AT = len('{"boot":"')
_LINE = 1 << 17  # a head that is longer is none of ours: an ETag has a line of a head at most


class Partials(NamedTuple):
    """A folder for the parts of bodies. With `go_on` their rest is asked for, and they are written while they come; without
    it they are written when a body was cut, for a later run that does."""

    folder: str
    go_on: bool = True

    def of(self, request: Request) -> Part | None:
        """For an attempt at this request; None where its answer cannot be put together."""
        if fcntl is None or not may_go_on(request):
            return None
        return Part(os.path.join(self.folder, name_of(request) + PART), self.go_on)


class Part:
    """One body of one attempt. `start`: the bytes of it that an earlier one left; `is_rest`: the answer brings what follows."""

    def __init__(self, path: str, goes_on: bool) -> None:
        self.goes_on = goes_on
        self.is_rest = False
        self.start = 0
        self._path = path
        self._fd = -1
        self._known: Known | None = None
        self._body_at = 0  # where in the file the body begins
        self._asked = False
        self._waiting: list[bytes] = []
        self._weight = 0
        self._size = 0  # of the body, in the file
        self.takes = False  # the answer's body is worth adding
        self.verdict: bool | None = None  # of `answered`, for what `headers` asked last
        if goes_on:
            self._take_up()

    def headers(self, url: str) -> Headers:
        """What asks this URL for the rest, if there is a part of what it serves."""
        asked = () if self._known is None else ask(self._known, url, self.start)
        self._asked, self.verdict = bool(asked), None
        return asked

    def answered(self, url: str, status: int, headers: Mapping[str, str]) -> bool:
        """The head of the answer is here. False: it is not what was asked for, so ask anew, for the whole."""
        self.is_rest = self.takes = False
        self.verdict = True
        if self._asked and status in (206, 416):
            if self._known is None or not fits(self._known, self.start, status, headers):
                self.drop()
                self.verdict = False
                return False
            self.is_rest = self.takes = True
            self._cut_to(self.start)
        elif status == 200:
            self.drop()
            self._known = known_of(url, status, headers)
            self.takes = self._known is not None
        return True

    def add(self, piece: bytes) -> None:
        """More of the body, in the order of its bytes."""
        if self.takes:
            self._waiting.append(piece)
            self._weight += len(piece)
            if self.goes_on and self._weight >= PIECE:
                self._write()

    def before(self) -> Iterator[bytes]:
        """What was there of the body before the answer, a piece at a time. Raises OSError."""
        left = self.start
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(self._body_at)
            while left:
                piece = file.read(min(left, _READ))
                if not piece:
                    raise OSError(f"{self._path} has lost a part of what was in it")
                left -= len(piece)
                yield piece

    def keep(self) -> bool:
        """Until its rest is asked for. True if more is there than before."""
        if self._waiting:
            self._write()
        grown = self.takes and self._size > self.start
        if grown:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
                os.pwrite(self._fd, _SYNCED.encode(), _BOOT_AT)
        self.close()
        return grown

    def drop(self) -> None:
        """Nothing is to be kept of it."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # while it is locked: nobody else's can be there
        self.close()
        self.is_rest = self._asked = False
        self.start = self._size = 0
        self._known = None

    def close(self) -> None:
        """What is in the file stays; a second call does nothing."""
        self._waiting, self._weight, self.takes = [], 0, False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()

    def _take_up(self) -> None:
        """What an earlier attempt left, unless another one is at it."""
        try:
            self._fd = os.open(self._path, os.O_RDWR | SAFELY)
        except OSError:
            return
        try:
            if not self._lock():
                self.close()
                return
            self._read()
        except (OSError, ValueError, TypeError, KeyError):
            self.drop()

    def _lock(self) -> bool:
        """One attempt at a time. The file may have been removed by the one before."""
        assert fcntl is not None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return os.fstat(self._fd).st_nlink > 0

    def _read(self) -> None:
        with open(self._fd, "rb", closefd=False) as file:
            line = file.readline(_LINE)
        head = json.loads(line)
        size = os.fstat(self._fd).st_size - len(line)
        boot = head.pop("boot")
        known = Known(**head)
        if (boot != _SYNCED and boot != boot_id()) or size <= 0 or (known.length is not None and size > known.length):
            raise ValueError
        self._known, self._body_at, self._size = known, len(line), size
        # of one that is whole its last byte is asked for: the answer says whether it is still the same
        self.start = size if known.length is None else min(size, known.length - 1)

    def _cut_to(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, self._body_at + size)
            os.pwrite(self._fd, boot_id().encode(), _BOOT_AT)
            os.lseek(self._fd, 0, os.SEEK_END)
            self._size = size
        except OSError:
            self.takes = False

    def _write(self) -> None:
        pieces, self._waiting, self._weight = self._waiting, [], 0
        try:
            if self._fd < 0:
                self._create()
            for piece in pieces:
                write_all(self._fd, piece)
                self._size += len(piece)
        except OSError:  # what has been written is a beginning of the body all the same
            self.takes = False

    def _create(self) -> None:
        assert self._known is not None
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFELY, 0o600)  # or another attempt has it
        if not self._lock():
            raise OSError
        line = json.dumps({"boot": boot_id(), **self._known._asdict()}, separators=(",", ":")).encode() + b"\n"
        write_all(self._fd, line)
        self._body_at = len(line)


@functools.cache
def boot_id() -> str:
    """Which start of the system this is, in 36 characters; where it does not tell, only what is synced is trusted."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip():36.36}"
    except OSError:
        return f"{os.getpid():036}"
