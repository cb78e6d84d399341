"""Bodies that worker processes write themselves, so that they cross no pipe on their way into a folder: `Shelf`.

    worker: Shelf.put ──► .partial/<pid>-<number> ──(Stored: where, size, hash)──► near side: Folder renames, appends the row

Only the near side gives a body its place and its row, as ever: what a worker or the whole run leaves behind when it is
killed lies in `.partial`, which whoever opens or closes the folder clears.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
from typing import NamedTuple

from .files import SAFELY, write_all

__all__ = ["PART", "PARTIAL", "Shelf", "Stored", "shelf_of"]

PARTIAL = ".partial"  # in the folder: bodies that have no place yet
PART = ".part"  # the ending of what is there of a body that was cut: see `atonce.fetch.partial`

_numbers = itertools.count()


class Stored(NamedTuple):
    """A body that is in a file of its own already: where, its bytes and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Shelf:
    """Where bodies are put. In the process that made it nothing is: that has the output, and a thread which writes."""

    folder: str
    maker: int = dataclasses.field(default_factory=os.getpid)

    @property
    def takes(self) -> bool:
        """Whether this process puts bodies there."""
        return os.getpid() != self.maker

    def put(self, body: bytes) -> Stored | None:
        """Write a file, or None: the body is to go the usual way, at whose end whatever is wrong here is met, and told."""
        if not self.takes:
            return None
        path = f"{self.folder}/{os.getpid()}-{next(_numbers)}"
        try:
            # 0666 less the umask: bodies are files as any other program writes them
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o666)
        except OSError:
            return None
        try:
            write_all(fd, body)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        finally:
            os.close(fd)
        return Stored(path, len(body), hashlib.sha256(body).hexdigest())


def shelf_of(folder: str) -> Shelf:
    """For the folder that `-o` names, as long as it is open."""
    return Shelf(os.path.join(os.path.abspath(folder), PARTIAL))
