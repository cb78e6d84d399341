"""A body that is too large to be kept in memory, written as it comes: `Spool`."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from .files import new_file, write_all

__all__ = ["LARGE", "Spool", "Stored", "pieces_of"]

# Bytes of a body from which it is not kept in memory: with 64 in flight that is 64 MB. Most pages, and most pictures, are less,
# and cost no file of their own before they have their place.
LARGE = 1 << 20
_READ = 1 << 18


class Stored(NamedTuple):
    """A body that is in a file of its own already: where, its bytes and its SHA-256. Without a path it was let go."""

    path: str
    size: int
    sha256: str


class Spool:
    """A new file at `path`, or none where that is empty: the body is counted and hashed only. Raises OSError, as `add` does.

    To go through it is to read what is in it by now, which is all that was added without an error.
    """

    def __init__(self, path: str) -> None:
        self.size = 0
        self._path = path
        self._hash = hashlib.sha256()
        self._fd = -1
        self._fd = new_file(path) if path else -1

    def add(self, piece: bytes) -> None:
        if self._path:
            write_all(self._fd, piece)
        self._hash.update(piece)
        self.size += len(piece)

    def __iter__(self) -> Iterator[bytes]:
        return pieces_of(self._path, self.size) if self._path else iter(())

    def end(self) -> Stored:
        """It is whole, and belongs to whoever is told where it is."""
        self._close()
        path, self._path = self._path, ""
        return Stored(path, self.size, self._hash.hexdigest())

    def drop(self) -> None:
        """Nobody wants it. Does nothing once it has come to its end, or a second time."""
        self._close()
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = ""

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.drop()


def pieces_of(path: str, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a file, or what there is of them. Raises OSError."""
    with open(path, "rb") as file:
        left = size
        while left and (piece := file.read(min(left, _READ))):
            left -= len(piece)
            yield piece
